"""A rehearsed stack: in place of API Gateway, the pipe and the event source mapping, it calls the
functions and reads what they did."""

import html
import json
import re

from moto.events.models import EventPattern
from moto.ses.models import ses_backends

from functions import Function, deliver_batch

ACCOUNT, REGION = "123456789012", "eu-central-1"
SENDER, ADDRESS = "no-reply@example.com", "Ada@Example.com"
FORGOT, CHANGE = "/core/user/forgot-password", "/core/user/change-forgotten-password"
PASSWORD = "correct horse battery staple"


class System:
    """The stack with its functions running; a context manager."""

    def __init__(self, stack, users_table, user_key, binaries, emulator):
        self.stack, self.users_table, self.user_key = stack, users_table, user_key
        self.stream = stack.piped_table()["LatestStreamArn"]
        self.piped = 0
        self.sqs, self.mail_queue = stack.client("sqs"), stack.names["MailQueue"]
        self.functions = {
            name: Function(name, emulator, binary, stack.environment(name), stack.url)
            for name, binary in binaries.items()
        }
        self.mailer = self.functions["MailerFunction"]

    def __enter__(self):
        for function in self.functions.values():
            function.__enter__()
        return self

    def __exit__(self, *error):
        for function in self.functions.values():
            function.__exit__(*error)

    # API Gateway

    def request(self, method, path, body=None):
        """Returns status and body of the API's response, by the template's routes."""
        route, allowed, function = self.route(method, path)
        event = {
            "version": "2.0",
            "routeKey": f"{allowed} {route}",
            "rawPath": path,
            "rawQueryString": "",
            "headers": {"content-type": "application/json", "host": "api.example.com"},
            "requestContext": {
                "accountId": ACCOUNT,
                "stage": "$default",
                "http": {
                    "method": method,
                    "path": path,
                    "protocol": "HTTP/1.1",
                    "sourceIp": "192.0.2.1",
                    "userAgent": "",
                },
                "time": "05/Jan/2026:09:30:12 +0000",
                "timeEpoch": 1767605412000,
            },
            "body": json.dumps(body) if body is not None else None,
            "isBase64Encoded": False,
        }
        response = self.functions[function].invoke(event)
        headers = {name.lower(): value for name, value in response["headers"].items()}
        body = response.get("body")
        return response["statusCode"], json.loads(body) if "json" in headers.get("content-type", "") else body

    def route(self, method, path):
        for route, allowed, function in self.stack.routes:
            pattern = re.escape(route).replace(r"\{proxy\+\}", ".*")
            if allowed in ("ANY", method) and re.fullmatch(pattern, path):
                return route, allowed, function
        raise AssertionError(f"the API has no route for {method} {path}")

    def forgot(self, path=FORGOT):
        return self.request("POST", path, {"email": ADDRESS})

    def change(self, token, password=PASSWORD, path=CHANGE):
        return self.request("POST", path, {"forgot_password_hash": token, "new_password": password})

    # The pipe

    def records(self):
        """Returns the records of the outbox's stream, as the pipe would deliver them."""
        streams = self.stack.client("dynamodbstreams")
        position = self.stack.pipe["SourceParameters"]["DynamoDBStreamParameters"]["StartingPosition"]
        found = []
        for shard in self.shards():
            iterator = streams.get_shard_iterator(
                StreamArn=self.stream, ShardId=shard["ShardId"], ShardIteratorType=position
            )["ShardIterator"]
            found += streams.get_records(ShardIterator=iterator)["Records"]
        return json.loads(json.dumps(found, default=lambda time: time.timestamp()))

    def shards(self):
        streams = self.stack.client("dynamodbstreams")
        return streams.describe_stream(StreamArn=self.stream)["StreamDescription"]["Shards"]

    def is_wanted(self, record):
        """Returns whether the pipe's filter passes the record.

        moto writes two records for a new row, the first without its attributes."""
        filters = self.stack.pipe["SourceParameters"]["FilterCriteria"]["Filters"]
        patterns = [one["Pattern"] for one in filters]
        return any(EventPattern.load(pattern).matches_event(record) for pattern in patterns)

    def pipe(self):
        """Puts the new records that the filter passes into the mail queue."""
        records = self.records()
        for record in filter(self.is_wanted, records[self.piped :]):
            self.sqs.send_message(QueueUrl=self.mail_queue, MessageBody=json.dumps(record))
        self.piped = len(records)

    # The event source mapping

    def deliver(self):
        """Hands the messages of the mail queue to the mailer, in batches of the mapping's size.

        Returns whether all succeeded. Those that failed stay in the queue and are visible at once."""
        self.pipe()
        failed = []
        while (batch := deliver_batch(self.sqs, self.mail_queue, self.mailer, self.stack.mapping["BatchSize"]))[0]:
            failed += batch[1]
        for message in failed:
            handle = message["ReceiptHandle"]
            self.sqs.change_message_visibility(QueueUrl=self.mail_queue, ReceiptHandle=handle, VisibilityTimeout=0)
        return not failed

    # SES and the users table

    def emails(self):
        """Returns the emails in moto's SES, oldest first."""
        return ses_backends[ACCOUNT][REGION].sent_messages

    def tokens(self):
        """Returns the tokens in these emails, oldest first."""
        link = re.compile(r"https://[^\s\"]+" + re.escape(CHANGE) + r"#email=[^\"]+&token=([A-Za-z0-9_-]{43})\b")
        found = [link.search(html.unescape(email.body)) for email in self.emails()]
        return [one[1] for one in found if one]

    def add_user(self):
        row = {
            "id": {"S": "u-1"},
            "email": {"S": ADDRESS.lower()},
            "mail_to": {"S": ADDRESS},
            "user_id": {"S": "u-1"},
        }
        self.stack.client("dynamodb").put_item(TableName=self.users_table, Item=row)

    def user(self):
        return self.stack.client("dynamodb").get_item(TableName=self.users_table, Key=self.user_key)["Item"]
