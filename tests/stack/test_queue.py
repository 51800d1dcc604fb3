"""The way from the outbox to the mail queue and the dead-letter queue, as template.yaml declares it, in fakecloud.
There is no event source mapping, so the tests see the messages.

fakecloud differs from AWS: its records have no time and a longer `eventID`, a pipe is ready at once, and it checks
no role."""

import json
import time

import pytest

from fakecloud import MAIL_RESOURCES
from local_system import wait_until

pytestmark = pytest.mark.fakecloud

ADDRESS = "ada@example.com"
PARAMETERS = {"MailFrom": "no-reply@example.com"}
ROW = "request#192.0.2.1#1767605400"


class MailQueue:
    """The resources between the outbox and the mailer."""

    def __init__(self, cloud):
        self.outputs = cloud.create_stack("queue", MAIL_RESOURCES, PARAMETERS)
        self.dynamodb, self.sqs, self.pipes = (cloud.client(name) for name in ("dynamodb", "sqs", "pipes"))

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
def mail(cloud):
    return MailQueue(cloud)


@pytest.fixture(scope="module")
def bodies(mail):
    """The bodies of the messages after writes of every kind, of which two come last."""
    mail.put()
    mail.put(count={"N": "2"})
    mail.delete()
    mail.put(id={"S": "other"}, kind={"S": "another"})
    mail.put(id={"S": "changed#1"}, kind={"S": "password_changed"})
    messages = mail.take("MailQueueUrl", 3)
    # Anything else that the pipe passed would have arrived by now: it delivers within half a second.
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
