"""A deployed stack in operation, in fakecloud: the operator's commands, and an email that cannot be sent."""

import hashlib
import json
from types import SimpleNamespace

import pytest

from deployed import WORKED, Deployment
from local_system import free_ports, wait_until
from test_deployed import PARAMETERS

pytestmark = pytest.mark.fakecloud

SMOKE = "success@simulator.amazonses.com"
BAD, GOOD = "bad@example.com", ["good-1@example.com", "good-2@example.com"]
# Something else wrote this attribute of the mailer's, so DynamoDB refuses every update of the row.
BLOCKER = {"recovery_version": "one"}


@pytest.fixture(scope="module")
def stack(cloud):
    parameters = {
        "MailFrom": "no-reply@example.com",
        "NewSesIdentity": "example.com",
        "CorsOrigins": "https://example.com",
    }
    return Deployment(cloud, "operation", PARAMETERS | parameters)


# smoke and doctor


def test_smoke_finds_everything_in_order(stack):
    assert stack.manage("users", "add", SMOKE)[0] == 0
    status, output = stack.manage("smoke", "--api-url", stack.start_proxy())
    assert status == 0, output
    assert f"ok       email to {SMOKE}: was delivered after" in output


def test_smoke_reports_what_does_not_hold(stack, cloud):
    # Every response of the emulator is a 404 without the API's host name.
    status, output = stack.manage("smoke", "--api-url", cloud.url)
    assert status == 3
    assert "problem  GET /core/user/forgot-password: returns 404" in output


def test_doctor_finds_everything_in_order(stack):
    # Nothing listens on this port: no name server knows the API's host or the sender's domain.
    [port] = free_ports(1)
    _, output = stack.manage("doctor", "--output", "json", "--name-server", f"127.0.0.1:{port}")
    checked = ("settings", "table", "pipe", "queue", "SES")
    findings = [one for one in json.loads(output) if one["what"].split()[0] in checked]
    assert [one for one in findings if one["state"] != "ok"] == []
    assert {one["what"].split()[0] for one in findings} == set(checked)


# A bad row beside good ones


@pytest.fixture(scope="module")
def unsent(stack):
    """An email that cannot be sent, between two that can, after it has moved to the queue of unsent email."""
    for address in GOOD:
        stack.add_user(address)
    stack.add_user(BAD, **BLOCKER)
    responses = [stack.forgot(address) for address in (GOOD[0], BAD, GOOD[1])]
    emails = [stack.wait_for_emails(address, 1) for address in GOOD]
    wait_until(lambda: len(failures(stack)) >= 2, "two attempts")
    wait_until(lambda: move(stack), "the message moves")
    return SimpleNamespace(responses=responses, emails=emails)


def failures(stack):
    """Returns the mailer's log lines about the email that cannot be sent."""
    return [line for line in stack.log("MailerFunction").splitlines() if digest(BAD) in line and '"ERROR"' in line]


def move(stack):
    """Receives the message ten times, instead of six hours of attempts, and returns whether it has moved."""
    for _ in range(10):
        stack.sqs.receive_message(QueueUrl=stack.names["MailQueue"], VisibilityTimeout=0)
    return stack.count("UnsentMailQueue") == 1


def digest(address):
    """Returns the account's digest in logs."""
    return hashlib.sha256(address.encode()).hexdigest()[:8]


def test_emails_beside_one_that_fails_are_sent_once(stack, unsent):
    assert unsent.responses == [WORKED] * 3
    assert [len(emails) for emails in unsent.emails] == [1, 1]
    assert stack.emails(BAD) == []


def test_the_mailer_logs_why_an_email_fails(stack, unsent):
    assert all("takes no update" in line for line in failures(stack))


@pytest.fixture(scope="module")
def redriven(stack, unsent):
    """The result of `unsent redrive` after an operator has repaired the row, and the emails that follow."""
    stack.add_user(BAD)
    result = stack.manage("unsent", "redrive")
    return SimpleNamespace(result=result, emails=stack.wait_for_emails(BAD, 1))


def test_a_redriven_email_is_sent(stack, redriven):
    assert redriven.result == (0, "messages moved: 1 of 1; the mailer sends them now\n")
    assert len(redriven.emails) == 1
    assert stack.count("UnsentMailQueue") == 0


def test_unsent_list_names_an_email(stack, redriven):
    # After the redrive, because fakecloud redrives no message that was received.
    stack.add_user(BAD, **BLOCKER)
    assert stack.forgot(BAD) == WORKED
    wait_until(lambda: move(stack), "the message moves")
    status, output = stack.manage("unsent", "list")
    assert status == 0
    assert digest(BAD) in output
    assert not any(digest(address) in output for address in GOOD)
