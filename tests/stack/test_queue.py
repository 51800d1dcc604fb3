"""The way from the outbox through the mailer to SES or the dead-letter queue, as template.yaml declares it,
in fakecloud. In place of Lambda's event source mapping, the tests call the mailer's binary.

fakecloud differs from AWS: its records have no time and a longer `eventID`, a pipe is ready at once, and it checks
no role."""

import json
import time
import urllib.request

import pytest

from fakecloud import MAIL_RESOURCES, Fakecloud
from functions import Function, deliver_batch
from local_system import wait_until

SENDER, ADDRESS = "no-reply@example.com", "ada@example.com"
PARAMETERS = {"MailFrom": SENDER}
ROW = "request#192.0.2.1#1767605400"


class MailQueue:
    """The resources between the outbox and the mailer."""

    def __init__(self, cloud):
        self.url = cloud.url
        self.outputs = cloud.create_stack("recovery", MAIL_RESOURCES, PARAMETERS)
        services = ("dynamodb", "sqs", "pipes", "sesv2")
        self.dynamodb, self.sqs, self.pipes, self.ses = (cloud.client(name) for name in services)

    def put(self, **attributes):
        """Puts a row into the outbox."""
        row = {
            "id": {"S": ROW},
            "kind": {"S": "reset_requested"},
            "email": {"S": ADDRESS},
            "count": {"N": "1"},
            "at": {"N": str(int(time.time() * 1000))},
            **attributes,
        }
        self.dynamodb.put_item(TableName=self.outputs["OutboxTableName"], Item=row)
        return row

    def delete(self):
        self.dynamodb.delete_item(TableName=self.outputs["OutboxTableName"], Key={"id": {"S": ROW}})

    def receive(self, queue, **options):
        options = {"MaxNumberOfMessages": 10, "WaitTimeSeconds": 1, "AttributeNames": ["All"]} | options
        return self.sqs.receive_message(QueueUrl=self.outputs[queue], **options).get("Messages", [])

    def count(self, queue, name="ApproximateNumberOfMessages"):
        """Returns the number of messages: the visible ones, unless another attribute is named."""
        found = self.sqs.get_queue_attributes(QueueUrl=self.outputs[queue], AttributeNames=[name])
        return int(found["Attributes"][name])

    def take(self, queue, count):
        """Waits for messages, deletes them and returns them, oldest first."""
        taken = []

        def is_complete():
            for message in self.receive(queue):
                self.sqs.delete_message(QueueUrl=self.outputs[queue], ReceiptHandle=message["ReceiptHandle"])
                taken.append(message)
            return len(taken) >= count

        wait_until(is_complete, f"{count} messages in {queue}", seconds=20)
        return sorted(taken, key=lambda message: sequence_number(message["Body"]))


def sequence_number(body):
    return json.loads(body)["dynamodb"]["SequenceNumber"]


@pytest.fixture(scope="module")
def mail():
    with Fakecloud() as cloud:
        yield MailQueue(cloud)


@pytest.fixture(scope="module")
def bodies(mail):
    """The bodies of the messages after writes of every kind, of which two come last."""
    mail.put()
    mail.put(count={"N": "2"})
    mail.delete()
    mail.put(id={"S": "other"}, kind={"S": "another"})
    mail.put(id={"S": "changed#1"}, kind={"S": "password_changed"})
    messages = mail.take("MailQueueUrl", 3)
    # Whatever else the pipe passed would have arrived by now: it delivers within half a second.
    time.sleep(1)
    return [json.loads(one["Body"]) for one in [*messages, *mail.receive("MailQueueUrl")]]


def test_the_pipe_runs(mail):
    assert mail.pipes.describe_pipe(Name=mail.outputs["MailPipeName"])["CurrentState"] == "RUNNING"


def test_new_and_changed_rows_arrive_and_deletions_and_other_kinds_do_not(bodies):
    images = [(one["eventName"], one["dynamodb"]["NewImage"]) for one in bodies]
    assert [(event, image["id"]["S"], image["count"]["N"]) for event, image in images] == [
        ("INSERT", ROW, "1"),
        ("MODIFY", ROW, "2"),
        ("INSERT", "changed#1", "1"),
    ]


def test_a_message_is_the_record_of_the_stream(bodies):
    [record, *_] = bodies
    assert record["eventSource"] == "aws:dynamodb"
    assert record["dynamodb"]["Keys"] == {"id": {"S": ROW}}
    assert record["dynamodb"]["StreamViewType"] == "NEW_IMAGE"
    assert "/stream/" in record["eventSourceARN"]


@pytest.fixture(scope="module")
def unsent(mail, bodies):
    """A message as each receive returned it until it moved to the queue of unsent email."""
    mail.put(id={"S": "unsent"})
    receive = {"VisibilityTimeout": 0, "MaxNumberOfMessages": 1, "WaitTimeSeconds": 0}
    received = wait_until(lambda: mail.receive("MailQueueUrl", **receive), "the message arrives", seconds=20)
    while message := mail.receive("MailQueueUrl", **receive):
        received += message
    return received


def test_a_message_moves_to_unsent_email_after_120_receives(mail, unsent):
    assert [one["Attributes"]["ApproximateReceiveCount"] for one in unsent] == [str(n + 1) for n in range(120)]
    # Not received from there: fakecloud redrives no message that was received, even if it is visible again.
    assert (mail.count("MailQueueUrl"), mail.count("UnsentMailQueueUrl")) == (0, 1)


def test_a_redrive_returns_the_message_to_the_mail_queue(mail, unsent):
    queue = mail.outputs["UnsentMailQueueUrl"]
    attributes = mail.sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])["Attributes"]
    mail.sqs.start_message_move_task(SourceArn=attributes["QueueArn"])
    [message] = mail.take("MailQueueUrl", 1)
    assert message["Body"] == unsent[0]["Body"]
    assert message["Attributes"]["ApproximateReceiveCount"] == "1"
    assert mail.count("UnsentMailQueueUrl") == 0


@pytest.fixture(scope="module")
def mailer(mail, binaries):
    """The mailer, running, with the stack's tables."""
    mail.sqs.purge_queue(QueueUrl=mail.outputs["MailQueueUrl"])
    mail.ses.create_email_identity(EmailIdentity=SENDER)
    environment = {
        "USERS_TABLE": mail.outputs["UsersTableName"],
        "TOKENS_TABLE": mail.outputs["TokensTableName"],
        "MAIL_FROM": SENDER,
        "RESET_URL": "https://example.com/reset",
    }
    with Function("mailer", binaries / "lambda-emulator", binaries / "mailer", environment, mail.url) as function:
        yield function


def sent_emails(mail):
    """Returns the recipients of the emails in fakecloud's SES."""
    with urllib.request.urlopen(f"{mail.url}/_fakecloud/ses/emails", timeout=5) as response:
        return [email["to"] for email in json.load(response)["emails"]]


@pytest.fixture(scope="module")
def delivered(mail, mailer):
    """The messages of a batch, an unreadable one among them, and those that the mailer reports as failed."""
    user = {"email": {"S": ADDRESS}, "mail_to": {"S": ADDRESS}, "user_id": {"S": "u-1"}}
    mail.dynamodb.put_item(TableName=mail.outputs["UsersTableName"], Item=user)
    mail.sqs.send_message(QueueUrl=mail.outputs["MailQueueUrl"], MessageBody="unreadable")
    mail.put(id={"S": "known"})
    mail.put(id={"S": "unknown"}, email={"S": "nobody@example.com"})
    wait_until(lambda: mail.count("MailQueueUrl") == 3, "three messages", seconds=20)
    return deliver_batch(mail.sqs, mail.outputs["MailQueueUrl"], mailer)


def test_the_mailer_sends_the_email_of_a_message(mail, delivered):
    messages, _ = delivered
    assert len(messages) == 3
    assert sent_emails(mail) == [[ADDRESS]]


def test_only_the_message_that_failed_stays_in_the_mail_queue(mail, delivered):
    _, failed = delivered
    assert [message["Body"] for message in failed] == ["unreadable"]
    assert mail.count("MailQueueUrl", "ApproximateNumberOfMessagesNotVisible") == 1
