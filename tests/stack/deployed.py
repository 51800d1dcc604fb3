"""The whole stack of template.yaml, deployed in fakecloud with the functions' binaries.

`NOTES` lists what differs from `sam deploy`; the test run prints it."""

import io
import json
import os
import re
import subprocess
import urllib.error
import urllib.request
import zipfile
from typing import NamedTuple

import container
import template
from local_system import wait_until
from template import ROOT

FORGOT, CHANGE = "/core/user/forgot-password", "/core/user/change-forgotten-password"
PASSWORD = "correct horse battery staple"
FUNCTIONS = ["RequestFunction", "ConfirmFunction", "MailerFunction"]
WORKED = (200, {"worked": True})

# URI of an integration, of which fakecloud understands only the function's ARN.
INTEGRATION_URI = re.compile(
    r"arn:\$\{AWS::Partition\}:apigateway:\$\{AWS::Region\}:lambda:path/2015-03-31/functions/(\$\{\w+\.Arn\})/invocations"
)
NOTES = {}


class Response(NamedTuple):
    status: int
    headers: dict
    body: object


def for_fakecloud(stack):
    """Returns the CloudFormation template with the values that the emulator needs."""
    text, count = INTEGRATION_URI.subn(r"\1", json.dumps(stack))
    NOTES["transform"] = "aws-sam-translator ran before the deployment, not in CloudFormation"
    NOTES["integrations"] = f"URI of the integration: the function's ARN, on {count} routes"
    return text


def function_binaries(folder):
    """Returns the path of each function's binary, in cargo's or in SAM's layout."""
    if (folder / FUNCTIONS[0]).is_dir():
        return {name: folder / name / "bootstrap" for name in FUNCTIONS}
    return {name: folder / name.removesuffix("Function").lower() for name in FUNCTIONS}


def upload_code(cloud, binaries):
    """Puts the code of each function into S3: a script that starts the binary."""
    s3 = cloud.client("s3")
    location = {"LocationConstraint": s3.meta.region_name}
    s3.create_bucket(Bucket=template.CODE_BUCKET, CreateBucketConfiguration=location)
    for function, binary in binaries.items():
        script = zipfile.ZipInfo("bootstrap")
        script.external_attr = 0o755 << 16
        archive = io.BytesIO()
        with zipfile.ZipFile(archive, "w") as code:
            code.writestr(script, f"#!/bin/sh\nexec '{binary.resolve()}'\n")
        s3.put_object(Bucket=template.CODE_BUCKET, Key=f"{function}.zip", Body=archive.getvalue())
        NOTES[function] = f"code of {function}: a script that starts {binary}"


class Deployment:
    """A stack of the template in fakecloud."""

    def __init__(self, cloud, name, parameters, source=None):
        self.cloud, self.name = cloud, name
        self.formation = cloud.client("cloudformation")
        self.lambda_, self.dynamodb, self.sqs = (cloud.client(name) for name in ("lambda", "dynamodb", "sqs"))
        self.deploy(self.formation.create_stack, parameters, source)

    def update(self, parameters, source=None):
        self.deploy(self.formation.update_stack, parameters, source)

    def delete(self):
        self.formation.delete_stack(StackName=self.name)
        stack_id = self.description["StackId"]
        self.formation.get_waiter("stack_delete_complete").wait(StackName=stack_id, WaiterConfig={"Delay": 1})

    def deploy(self, action, parameters, source=None):
        """Creates or updates the stack from the template, or from an older one, and waits for the end."""
        action(
            StackName=self.name,
            TemplateBody=for_fakecloud(template.transformed(parameters, source)),
            Parameters=[{"ParameterKey": key, "ParameterValue": value} for key, value in parameters.items()],
            Capabilities=["CAPABILITY_IAM"],
        )
        self.description = described = wait_until(self.description_at_rest, f"the end of {action.__name__}")
        self.status = described["StackStatus"]
        assert self.status in ("CREATE_COMPLETE", "UPDATE_COMPLETE"), described.get("StackStatusReason")
        self.outputs = {one["OutputKey"]: one["OutputValue"] for one in described["Outputs"]}
        pages = self.formation.get_paginator("list_stack_resources").paginate(StackName=self.name)
        resources = [one for page in pages for one in page["StackResourceSummaries"]]
        self.names = {one["LogicalResourceId"]: one["PhysicalResourceId"] for one in resources}
        self.repair_default_route()

    def repair_default_route(self):
        """Renames the route $default, which fakecloud imports as a path of that name."""
        gateway = self.cloud.client("apigatewayv2")
        for route in gateway.get_routes(ApiId=self.names["Api"])["Items"]:
            if route["RouteKey"] == "ANY $default":
                gateway.update_route(ApiId=self.names["Api"], RouteId=route["RouteId"], RouteKey="$default")
                NOTES["default route"] = "key of the route $default: set after each deployment"

    def description_at_rest(self):
        [described] = self.formation.describe_stacks(StackName=self.name)["Stacks"]
        return None if described["StackStatus"].endswith("_IN_PROGRESS") else described

    # The API

    def request(self, method, path, body=None, headers=None):
        """Returns the API's response. Its body is parsed if it is JSON."""
        request = urllib.request.Request(
            self.cloud.url + path,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Host": self.host, "content-type": "application/json"} | (headers or {}),
            method=method,
        )
        try:
            response = OPENER.open(request, timeout=60)
        except urllib.error.HTTPError as error:
            response = error
        with response:
            text = response.read().decode()
        is_json = text and "json" in response.headers["content-type"]
        return Response(response.status, response.headers, json.loads(text) if is_json else text)

    def start_proxy(self):
        """Starts a server that forwards to the API, and returns its URL: only the API's host name leads there."""

        def handle(handler):
            headers = {name.lower(): value for name, value in handler.headers.items()} | {"host": self.host}
            cloud = self.cloud.url.removeprefix("http://")
            body = handler.read_body()
            status, headers, body = container.forward(cloud, handler.command, handler.path, body, headers)
            handler.respond(status, body, headers)

        methods = {f"do_{method}": handle for method in ("GET", "HEAD", "OPTIONS", "POST", "PUT", "DELETE")}
        return f"http://127.0.0.1:{container.serve_in_background(**methods)}"

    @property
    def host(self):
        return self.outputs["ApiUrl"].removeprefix("https://")

    def post(self, path, body):
        """Returns the status and the body of the response to a POST request."""
        response = self.request("POST", path, body)
        return response.status, response.body

    def forgot(self, address, path=FORGOT):
        return self.post(path, {"email": address})

    def change(self, token, password=PASSWORD, path=CHANGE):
        return self.post(path, {"forgot_password_hash": token, "new_password": password})

    # The functions

    def environment(self, function):
        """Returns the variables of a function."""
        configuration = self.lambda_.get_function_configuration(FunctionName=self.names[function])
        return configuration["Environment"]["Variables"]

    def current_variables(self, function):
        """Returns the variables of the container that started last."""
        newest = max(self.files(function, "environment.json"), key=lambda path: path.stat().st_mtime)
        return json.loads(newest.read_text())

    def log(self, function):
        """Returns what all containers of a function have written, or "" if none has started."""
        return "".join(path.read_text() for path in self.files(function, "log"))

    def calls(self, function):
        """Returns a function's calls to AWS."""
        lines = "".join(path.read_text() for path in self.files(function, "calls")).splitlines()
        return [(call["action"], call["body"]) for call in map(json.loads, lines)]

    def files(self, function, name):
        return sorted(self.cloud.containers.glob(f"{self.names[function]}-*/{name}"))

    # The operator's command

    def manage(self, *words):
        """Runs the operator's command on this stack; returns its exit status and its output."""
        done = subprocess.run(
            [ROOT / "target/debug/manage", *words, "--stack", self.name],
            env={**os.environ, "AWS_ENDPOINT_URL": self.cloud.url},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=120,
        )
        return done.returncode, done.stdout

    # Emails, users and queues

    def emails(self, address):
        """Returns the emails to an address, oldest first."""
        emails = self.cloud.inspect("ses/emails")["emails"]
        return [email for email in emails if email["to"] == [address]]

    def wait_for_emails(self, address, count):
        """Waits until there are at least so many emails to an address, and returns them."""
        return wait_until(
            lambda: len(emails := self.emails(address)) >= count and emails, f"{count} emails to {address}"
        )

    def tokens(self, emails):
        """Returns the tokens of the links in emails."""
        link = re.compile(re.escape(self.outputs["ResetUrl"]) + r"#email=[^&\s]+&token=([A-Za-z0-9_-]{43})\b")
        return [link.search(email["textBody"])[1] for email in emails]

    def add_user(self, address, **attributes):
        """Adds a user to the users table, whatever its key."""
        row = {"id": address, "email": address.lower(), "mail_to": address, "user_id": address, **attributes}
        item = {name: {"S": value} for name, value in row.items()}
        self.dynamodb.put_item(TableName=self.outputs["UsersTableName"], Item=item)

    def user(self, address):
        """Returns the row of a user."""
        rows = self.dynamodb.scan(TableName=self.outputs["UsersTableName"], ConsistentRead=True)["Items"]
        return next(row for row in rows if row["email"]["S"] == address.lower())

    def count(self, queue, name="ApproximateNumberOfMessages"):
        """Returns the number of visible messages in a queue, or the value of another attribute."""
        found = self.sqs.get_queue_attributes(QueueUrl=self.names[queue], AttributeNames=[name])
        return int(found["Attributes"][name])


class NoRedirects(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_):
        """Follows no redirect, so that a test sees it."""


OPENER = urllib.request.build_opener(NoRedirects)
