"""The stack of template.yaml, rehearsed without an account.

The result of SAM's transformation becomes a stack in moto. The functions' binaries run with the
environment that the stack sets, against moto's DynamoDB, streams and SES. All their calls are
recorded and compared with what their roles allow.

Fixtures are the steps of one reset, in this order: requested, refused, links, changed,
bounced. Each test is about one step, so any test runs by itself."""

import copy
import fnmatch
import json
import re
import urllib.request
from types import SimpleNamespace

import boto3
import pytest
from moto.events.models import EventPattern
from moto.server import ThreadedMotoServer

from moto_stack import Stack
from rehearsal import ACCOUNT, ADDRESS, CHANGE, FORGOT, REGION, SENDER, System
from template import ROOT

FUNCTIONS = ["RequestFunction", "ConfirmFunction", "MailerFunction"]
WORKED = (200, {"worked": True})
# Without a cool-down, two emails may follow each other within a second.
PARAMETERS = {"MailFrom": f"Example <{SENDER}>", "AccountCooldownSeconds": "0"}

# Actions that a role allows and its function never calls, and who does.
CALLED_BY_LAMBDA = {
    "sqs:ReceiveMessage": "Lambda reads the mail queue with the function's role",
    "sqs:DeleteMessage": "Lambda reads the mail queue with the function's role",
    "sqs:GetQueueAttributes": "Lambda reads the mail queue with the function's role",
    "sqs:SendMessage": "Lambda sends SES events that failed to their queue with the function's role",
    "logs:CreateLogStream": "Lambda writes the function's logs",
    "logs:PutLogEvents": "Lambda writes the function's logs",
    "xray:PutTraceSegments": "Lambda writes the function's traces",
    "xray:PutTelemetryRecords": "Lambda writes the function's traces",
}


# The stack


@pytest.fixture(scope="module")
def moto():
    """The URL of a moto server in this process."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    yield f"http://127.0.0.1:{server.get_host_and_port()[1]}"
    server.stop()


@pytest.fixture(scope="module", params=["new_table", "existing_table"])
def has_existing_table(request):
    """Whether the stack works on a users table of another application."""
    return request.param == "existing_table"


@pytest.fixture(scope="module")
def stack(moto, has_existing_table):
    # The other variant's stack is in the same moto.
    urllib.request.urlopen(urllib.request.Request(f"{moto}/moto-api/reset", method="POST")).close()
    if not has_existing_table:
        return Stack(moto, PARAMETERS)
    create_people(moto)
    return Stack(moto, PARAMETERS | {"UsersTableName": "people", "UsersEmailIndex": "by-email"})


def create_people(moto):
    """Creates a users table with its own key and an index on the address."""
    boto3.client("dynamodb", endpoint_url=moto).create_table(
        TableName="people",
        BillingMode="PAY_PER_REQUEST",
        AttributeDefinitions=[{"AttributeName": name, "AttributeType": "S"} for name in ("id", "email")],
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
        GlobalSecondaryIndexes=[
            {
                "IndexName": "by-email",
                "KeySchema": [{"AttributeName": "email", "KeyType": "HASH"}],
                "Projection": {"ProjectionType": "ALL"},
            }
        ],
    )


@pytest.fixture(scope="module")
def system(stack, has_existing_table, binaries, pytestconfig):
    table = "people" if has_existing_table else stack.names["UsersTable"]
    key = {"id": {"S": "u-1"}} if has_existing_table else {"email": {"S": ADDRESS.lower()}}
    folder = pytestconfig.getoption("--functions")
    with System(stack, table, key, function_binaries(folder), binaries / "lambda-emulator") as system:
        system.add_user()
        yield system


def function_binaries(folder):
    """Returns the path of each function's binary, in cargo's or in SAM's layout."""
    if (folder / FUNCTIONS[0]).is_dir():
        return {name: folder / name / "bootstrap" for name in FUNCTIONS}
    return {name: folder / name.removesuffix("Function").lower() for name in FUNCTIONS}


def test_the_stack_is_created(stack):
    assert stack.status == "CREATE_COMPLETE"


def test_the_stream_has_new_images(stack):
    assert stack.piped_table()["StreamSpecification"]["StreamViewType"] == "NEW_IMAGE"


# The request


@pytest.mark.parametrize("path", [FORGOT, CHANGE])
def test_a_page_is_served(system, path):
    assert system.request("GET", path)[0] == 200


def test_password_managers_are_redirected_to_the_page(system):
    assert system.request("GET", "/.well-known/change-password")[0] in (302, 303, 307)


@pytest.fixture(scope="module")
def requested(system):
    """The responses to two requests, with and without a slash."""
    return system.forgot(), system.forgot(f"{FORGOT}/")


def test_requests_with_and_without_a_slash_work(requested):
    assert requested == (WORKED, WORKED)


# The emails


@pytest.fixture(scope="module")
def refused(system, requested):
    """Whether the mailer succeeds before SES has verified the sender."""
    return not system.deliver()


@pytest.fixture(scope="module")
def links(system, refused):
    """The emailed tokens after SES has verified the sender, oldest first."""
    system.stack.client("sesv2").create_email_identity(EmailIdentity=SENDER)
    assert system.deliver()
    return system.tokens()


def test_the_mailer_reports_failed_messages_until_ses_knows_the_sender(refused):
    assert refused


def test_then_ses_has_both_links(links):
    assert len(links) >= 2


# The new password


@pytest.fixture(scope="module")
def changed(system, links):
    """Sets a password with the newest link, after a weak password and with an unknown token."""
    older, newer = links[0], links[-1]
    weak = system.change(newer, "password1234567")
    unknown = system.change("A" * 43)
    response = system.change(newer, path=f"{CHANGE}/")
    user = system.user()
    repeated = [system.change(token) for token in (newer, older)]
    known = len(system.emails())
    assert system.deliver()
    emails = system.emails()[known:]
    return SimpleNamespace(weak=weak, unknown=unknown, response=response, user=user, repeated=repeated, emails=emails)


def test_a_weak_password_is_refused(changed):
    assert changed.weak[0] == 422


def test_an_unknown_token_is_refused(changed):
    assert changed.unknown[0] == 400


def test_the_newer_link_sets_the_password(changed):
    assert changed.response == WORKED


def test_the_hash_and_the_session_epoch_are_in_the_users_row(changed):
    assert changed.user["password_hash"]["S"].startswith("$argon2id$")
    assert changed.user["session_epoch"]["N"] == "1"


def test_no_link_works_after_the_change(changed):
    assert [problem["code"] for _, problem in changed.repeated] == ["invalid_token", "invalid_token"]


def test_one_notice_says_that_the_password_was_changed(changed):
    [notice] = changed.emails
    assert "was changed" in notice.subject


# The bounce


def bounce_event(system):
    """Returns SES's event for a bounce of the last email."""
    sent = [body for action, body in system.mailer.calls if "outbound-emails" in action][-1]
    event = json.loads((ROOT / "events/mailer-bounce.json").read_text())
    mail = event["detail"]["mail"]
    mail["destination"] = sent["Destination"]["ToAddresses"]
    tags = {tag["Name"]: [tag["Value"]] for tag in sent["EmailTags"]}
    mail["tags"] = {"ses:configuration-set": [sent["ConfigurationSetName"]], **tags}
    return event


@pytest.fixture(scope="module")
def bounced(system, changed):
    """The last email bounces; then the user asks again."""
    event = bounce_event(system)
    result = system.mailer.invoke(event)
    user = system.user()
    known = len(system.emails())
    response = system.forgot()
    delivered = system.deliver()
    return SimpleNamespace(
        event=event,
        result=result,
        user=user,
        response=response,
        delivered=delivered,
        emails=system.emails()[known:],
    )


def matches_rule(system, event):
    return EventPattern.load(json.dumps(system.stack.rule())).matches_event(event)


def test_the_rule_passes_a_bounce(system, bounced):
    assert matches_rule(system, bounced.event)


def test_the_rule_ignores_other_configuration_sets(system, bounced):
    event = copy.deepcopy(bounced.event)
    event["detail"]["mail"]["tags"]["ses:configuration-set"] = ["another"]
    assert not matches_rule(system, event)


def test_the_mailer_accepts_a_bounce(bounced):
    assert bounced.result is None


def test_a_bounce_suppresses_the_address(bounced):
    assert "recovery_suppression" in bounced.user


def test_a_suppressed_address_gets_no_email(bounced):
    assert bounced.response[0] == 200
    assert bounced.delivered
    assert bounced.emails == []


# The roles


def needs(function):
    """Yields what the function called: each action with resources, of which one must be allowed."""
    for action, body in function.calls:
        if "outbound-emails" in action:
            sender = re.search(r"[^\s<>]+@[^\s<>]+", body["FromEmailAddress"])[0]
            identities = (f"identity/{sender}", f"identity/{sender.split('@')[1]}")
            yield "ses:SendEmail", tuple(f"arn:aws:ses:{REGION}:{ACCOUNT}:{one}" for one in identities)
            if "ConfigurationSetName" in body:
                name = body["ConfigurationSetName"]
                yield "ses:SendEmail", (f"arn:aws:ses:{REGION}:{ACCOUNT}:configuration-set/{name}",)
        elif action == "TransactWriteItems":
            # A transaction needs the action of each of its items.
            for item in body["TransactItems"]:
                ((write, request),) = item.items()
                yield f"dynamodb:{write}{'' if write.endswith('Item') else 'Item'}", (table_arn(request),)
        else:
            yield f"dynamodb:{action}", (table_arn(body),)


def table_arn(request):
    arn = f"arn:aws:dynamodb:{REGION}:{ACCOUNT}:table/{request['TableName']}"
    return f"{arn}/index/{request['IndexName']}" if "IndexName" in request else arn


def allows(grant, need):
    (granted_action, granted_resource), (action, resources) = grant, need
    return fnmatch.fnmatchcase(action, granted_action) and any(
        fnmatch.fnmatchcase(resource, granted_resource) for resource in resources
    )


@pytest.fixture(params=FUNCTIONS)
def role(request, system, bounced):
    """What one function needed in the whole reset, and what its role grants."""
    needed = set(needs(system.functions[request.param]))
    return SimpleNamespace(needed=needed, granted=system.stack.grants(request.param))


def test_the_function_called_something(role):
    assert role.needed


def test_the_role_allows_every_call(role):
    denied = [need for need in role.needed if not any(allows(grant, need) for grant in role.granted)]
    assert denied == []


def test_the_role_allows_nothing_else(role):
    unused = [
        grant
        for grant in role.granted
        if grant[0] not in CALLED_BY_LAMBDA and not any(allows(grant, need) for need in role.needed)
    ]
    assert unused == []
