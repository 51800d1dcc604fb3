"""The commands `unsent` and `doctor` on the queues and the pipe of template.yaml, created in fakecloud."""

import hashlib
import json
import os
import subprocess

import pytest

from fakecloud import MAIL_RESOURCES
from local_system import wait_until

pytestmark = pytest.mark.fakecloud

STACK = "unsent"
PARAMETERS = {"MailFrom": "no-reply@example.com"}
STATE, REASON = "waiting", "SendEmail: SendingPausedException"
# Addresses: users with a reason, a user whose email has no reason, and one without an account.
WAITING = [f"waiting-{number}@example.com" for number in range(18)]
SILENT, UNKNOWN = "silent@example.com", "unknown@example.com"
UNREADABLE = ["not JSON", "{}", "[]", json.dumps({"source": "aws.ses"}), json.dumps({"eventName": "REMOVE"})]


class Stack:
    """The template's tables, queues and pipe in fakecloud, and the operator's command."""

    def __init__(self, cloud, command):
        self.cloud, self.command = cloud, command
        self.outputs = cloud.create_stack(STACK, MAIL_RESOURCES, PARAMETERS)
        self.sqs, self.pipes, self.dynamodb = (cloud.client(name) for name in ("sqs", "pipes", "dynamodb"))

    def manage(self, *words):
        """Runs the operator's command; returns its exit status and its output, which must not contain an address."""
        environment = {**os.environ, "AWS_ENDPOINT_URL": self.cloud.url}
        done = subprocess.run(
            [self.command, *words], env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        assert "@example.com" not in done.stdout.replace(PARAMETERS["MailFrom"], ""), done.stdout
        return done.returncode, done.stdout

    def doctor(self, subject):
        """Returns the finding of `doctor` whose subject starts with `subject`."""
        _, output = self.manage("doctor", "--stack", STACK, "--name-server", "127.0.0.1:1", "--output", "json")
        return next(one for one in json.loads(output) if one["what"].startswith(subject))

    def count(self, output):
        """Returns the number of visible messages in the queue that an output of the stack names."""
        name = "ApproximateNumberOfMessages"
        queue = self.outputs[output]
        found = self.sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=[name])
        return int(found["Attributes"][name])

    def put_unsent(self, *bodies):
        for body in bodies:
            self.sqs.send_message(QueueUrl=self.outputs["UnsentMailQueueUrl"], MessageBody=body)

    def purge(self):
        for output in ("UnsentMailQueueUrl", "MailQueueUrl"):
            self.sqs.purge_queue(QueueUrl=self.outputs[output])

    def add_user(self, address, **outcome):
        """Adds a user whose email of `record` has this outcome."""
        email = {
            "event": {"S": email_id(address)},
            "kind": {"S": "reset_requested"},
            "at": {"N": "1790000000000"},
        } | outcome
        row = {"email": {"S": address}, "user_id": {"S": address}, "recovery_mails": {"L": [{"M": email}]}}
        self.dynamodb.put_item(TableName=self.outputs["UsersTableName"], Item=row)


def row_id(address):
    return f"request#192.0.2.{len(address)}#{address}"


def email_id(address):
    return hashlib.sha256(f"{row_id(address)}#1".encode()).hexdigest()[:32]


def digest(address):
    """Returns the account's digest in logs."""
    return hashlib.sha256(address.encode()).hexdigest()[:8]


def record(address):
    """Returns the stream record of a request, as the pipe puts it into the queue."""
    image = {
        "id": {"S": row_id(address)},
        "kind": {"S": "reset_requested"},
        "email": {"S": address},
        "count": {"N": "1"},
        "at": {"N": "1790000000000"},
    }
    change = {"Keys": {"id": image["id"]}, "NewImage": image, "SequenceNumber": "100", "StreamViewType": "NEW_IMAGE"}
    return json.dumps({"eventName": "INSERT", "eventSource": "aws:dynamodb", "dynamodb": change})


@pytest.fixture(scope="module")
def stack(cloud, binaries):
    stack = Stack(cloud, binaries / "manage")
    for address in WAITING:
        stack.add_user(address, state={"S": STATE}, state_at={"N": "1790000000000"}, reason={"S": REASON})
    stack.add_user(SILENT)
    return stack


@pytest.fixture
def unsent(stack):
    """The stack with 25 messages in the queue of unsent email, of which five are unreadable."""
    stack.purge()
    stack.put_unsent(*UNREADABLE, *(record(address) for address in [*WAITING, SILENT, UNKNOWN]))
    yield stack
    stack.purge()


# unsent list


def listed(stack):
    status, output = stack.manage("unsent", "list", "--stack", STACK, "--output", "json")
    return status, json.loads(output)


def test_every_message_is_listed(unsent):
    status, messages = listed(unsent)
    assert (status, len(messages), len({one["message"] for one in messages})) == (3, 25, 25)
    assert [one["email"] for one in messages].count(None) == len(UNREADABLE)


def test_an_email_is_listed_with_the_reason_at_its_user(unsent):
    emails = {one["email"]["account"]: one["email"] for one in listed(unsent)[1] if one["email"]}
    assert set(emails) == {digest(address) for address in [*WAITING, SILENT, UNKNOWN]}
    for address in WAITING:
        assert emails[digest(address)] == {
            "account": digest(address),
            "kind": "reset_requested",
            "requested_at": "2026-09-21T14:13:20Z",
            "reason": f"{STATE}: {REASON}",
        }


def test_an_email_without_a_reason_points_to_the_log(unsent):
    reasons = {one["email"]["account"]: one["email"]["reason"] for one in listed(unsent)[1] if one["email"]}
    assert reasons[digest(SILENT)] == f"no reason is recorded; search the mailer's log for {digest(SILENT)}"
    assert reasons[digest(UNKNOWN)] == "no account has the address"


def test_the_text_names_digests_and_reasons(unsent):
    status, text = unsent.manage("unsent", "list", "--stack", STACK)
    assert status == 3
    assert text.count(f"  {STATE}: {REASON}\n") == len(WAITING)
    assert text.count("  unreadable: not a stream record of the outbox\n") == len(UNREADABLE)
    assert all(digest(address) in text for address in [*WAITING, SILENT, UNKNOWN])


def test_listed_messages_stay_in_the_queue(unsent):
    for _ in range(2):
        assert len(listed(unsent)[1]) == 25
        assert unsent.count("UnsentMailQueueUrl") == 25


def test_an_empty_queue_is_listed_as_empty(stack):
    stack.purge()
    assert listed(stack) == (0, [])
    assert stack.manage("unsent", "list", "--stack", STACK) == (0, "the queue is empty\n")


# unsent redrive


def test_a_redrive_moves_every_message(unsent):
    status, output = unsent.manage("unsent", "redrive", "--stack", STACK)
    assert (status, output) == (0, "messages moved: 25 of 25; the mailer sends them now\n")
    assert (unsent.count("UnsentMailQueueUrl"), unsent.count("MailQueueUrl")) == (0, 25)


def test_a_redrive_of_an_empty_queue_says_so(stack):
    stack.purge()
    expected = (
        0,
        "SQS moved no message: the queue is empty, or another command is reading it; "
        "if `unsent list` shows messages, try again in a minute\n",
    )
    assert stack.manage("unsent", "redrive", "--stack", STACK) == expected


def test_a_second_redrive_is_refused_while_one_runs(unsent):
    arn = dead_letter_arn(unsent)
    started = unsent.sqs.start_message_move_task(SourceArn=arn, MaxNumberOfMessagesPerSecond=1)
    status, output = unsent.manage("unsent", "redrive", "--stack", STACK)
    assert status == 1
    assert "a redrive is already running (messages moved: " in output
    unsent.sqs.cancel_message_move_task(TaskHandle=started["TaskHandle"])
    wait_until(lambda: latest_move(unsent, arn)["Status"] == "CANCELLED", "the end of the redrive")


def dead_letter_arn(stack):
    queue = stack.outputs["UnsentMailQueueUrl"]
    return stack.sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]


def latest_move(stack, arn):
    return stack.sqs.list_message_move_tasks(SourceArn=arn)["Results"][0]


def test_only_a_dead_letter_queue_is_accepted(stack):
    queue = stack.outputs["MailQueueUrl"]
    status, output = stack.manage("unsent", "redrive", "--stack", STACK, "--queue-url", queue)
    assert status == 1
    assert "no queue uses this one as its dead-letter queue" in output
    assert "UnsentMailQueueUrl" in output


# doctor


def test_doctor_reports_a_running_pipe(stack):
    wait_until(lambda: stack.doctor("pipe ")["state"] == "ok", "the running pipe")
    assert stack.doctor("pipe ")["detail"] == "is RUNNING"


def test_doctor_reports_a_stopped_pipe_and_its_reason(stack):
    pipes, name = stack.pipes, stack.outputs["MailPipeName"]
    pipes.stop_pipe(Name=name)
    wait_until(lambda: pipes.describe_pipe(Name=name)["CurrentState"] == "STOPPED", "the stopped pipe")
    reason = pipes.describe_pipe(Name=name)["StateReason"]
    finding = stack.doctor("pipe ")
    pipes.start_pipe(Name=name)
    assert reason
    assert finding["state"] == "problem"
    assert finding["detail"] == f"is STOPPED (desired state STOPPED): {reason}"
    assert finding["advice"].endswith(f"`aws pipes start-pipe --name {name}`")


def test_doctor_reports_unsent_email(unsent):
    finding = unsent.doctor("queue of unsent email")
    assert (finding["state"], finding["detail"]) == ("problem", "emails that could not be sent for hours: 25")
    assert "`unsent list`" in finding["advice"]


def test_doctor_accepts_an_empty_queue_of_unsent_email(stack):
    stack.purge()
    assert stack.doctor("queue of unsent email")["state"] == "ok"
