"""An upgrade from the oldest template that needs no special steps, with emails owed on the way, in fakecloud.

The code is the same before and after: the binaries of older commits are not built."""

import threading
from types import SimpleNamespace

import pytest

import deployed
import template
from deployed import WORKED, Deployment
from local_system import wait_until
from test_deployed import PARAMETERS

pytestmark = pytest.mark.fakecloud

DOMAIN = "upgrade.example.com"
BEFORE, DURING, AFTER = (
    [f"{when}-{number}@{DOMAIN}" for number in range(count)]
    for when, count in (("before", 3), ("during", 20), ("after", 1))
)


@pytest.fixture(scope="module")
def older():
    """The older template, and the parameters that both templates have."""
    parameters = PARAMETERS | {"MailFrom": f"no-reply@{DOMAIN}"}
    found = template.oldest(parameters)
    if not found:
        deployed.NOTES["upgrade"] = "upgrade: skipped, because this clone has no older template"
        pytest.skip("no older template in this clone")
    older, commit = found
    deployed.NOTES["upgrade"] = f"upgrade: from the template of commit {commit[:12]}, with the same code"
    return older, parameters


@pytest.fixture(scope="module")
def upgraded(cloud, older):
    """The stack after the upgrade, and the responses to all requests by address.

    Until the upgrade has ended, SES refuses the sender, so no email leaves the stack."""
    template, parameters = older
    stack = Deployment(cloud, "upgrade", parameters, template)
    for address in [*BEFORE, *DURING, *AFTER]:
        stack.add_user(address)
    responses = {address: stack.forgot(address) for address in BEFORE}
    wait_until(lambda: "the email will be retried" in stack.log("MailerFunction"), "an email that waits")
    users = threading.Thread(target=lambda: responses.update((one, stack.forgot(one)) for one in DURING))
    users.start()
    stack.update(parameters)
    users.join()
    responses |= {address: stack.forgot(address) for address in AFTER}
    cloud.client("sesv2").create_email_identity(EmailIdentity=DOMAIN)
    return SimpleNamespace(stack=stack, responses=responses)


def test_the_stack_is_updated(upgraded):
    assert upgraded.stack.status == "UPDATE_COMPLETE"


def test_requests_are_accepted_throughout(upgraded):
    assert set(upgraded.responses) == {*BEFORE, *DURING, *AFTER}
    assert [address for address, response in upgraded.responses.items() if response != WORKED] == []


def test_each_email_owed_is_sent_once(upgraded):
    stack = upgraded.stack
    for address in upgraded.responses:
        stack.wait_for_emails(address, 1)
    states = ("ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible")
    wait_until(lambda: not any(stack.count("MailQueue", state) for state in states), "an empty queue")
    assert {address: len(stack.emails(address)) for address in upgraded.responses} == dict.fromkeys(
        upgraded.responses, 1
    )
    assert stack.count("UnsentMailQueue") == 0
