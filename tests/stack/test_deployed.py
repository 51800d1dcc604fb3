"""The whole stack of template.yaml in fakecloud: a reset, requested over HTTP, and the delivery of its emails.

Everything happens once with a users table of the stack, and once with one of another application. Fixtures are the
steps of one reset, in this order: requested, waiting, links, changed, bounced. Each test is about one step, so any
test runs by itself."""

import fnmatch
import json
import re
from types import SimpleNamespace

import pytest

from deployed import CHANGE, FORGOT, FUNCTIONS, WORKED, Deployment
from local_system import wait_until

pytestmark = pytest.mark.fakecloud

BOUNCING = "bounce@simulator.amazonses.com"
PARAMETERS = {
    # Without a cool-down, two emails may follow each other within a second.
    "AccountCooldownSeconds": "0",
    # All requests come from 127.0.0.1.
    "ClientLimit": "1000",
}

# Actions that a role allows although its function never calls them, and why.
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


@pytest.fixture(scope="module", params=["new_table", "existing_table"])
def variant(request):
    return request.param


@pytest.fixture(scope="module")
def domain(variant):
    """The sender's domain, which SES has not verified yet."""
    return f"{variant.replace('_', '-')}.example.com"


@pytest.fixture(scope="module")
def ada(domain):
    return f"Ada@{domain}"


@pytest.fixture(scope="module")
def stack(cloud, variant, domain, ada):
    parameters = PARAMETERS | {"MailFrom": f"Example <no-reply@{domain}>"}
    if variant == "existing_table":
        create_people(cloud.client("dynamodb"))
        parameters |= {"UsersTableName": "people", "UsersEmailIndex": "by-email"}
    stack = Deployment(cloud, f"recovery-{variant.replace('_', '-')}", parameters)
    stack.add_user(ada)
    stack.add_user(BOUNCING)
    return stack


def create_people(dynamodb):
    """Creates a users table with its own key and an index on the address."""
    dynamodb.create_table(
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


def test_the_stack_is_created(stack):
    assert stack.status == "CREATE_COMPLETE"


def test_the_functions_are_ready_for_the_chosen_table(stack, variant):
    is_created = "UsersTable" in stack.names
    assert is_created == (variant == "new_table")
    table = stack.names["UsersTable"] if is_created else "people"
    assert stack.environment("MailerFunction")["USERS_TABLE"] == table


# The request


@pytest.mark.parametrize("slash", ["", "/"])
@pytest.mark.parametrize("path", [FORGOT, CHANGE])
def test_a_page_is_served(stack, path, slash):
    page = stack.request("GET", path + slash)
    assert page.status == 200
    assert page.headers["content-type"].startswith("text/html")


def test_password_managers_get_the_page_or_a_redirect_to_it(stack):
    assert stack.request("GET", "/.well-known/change-password").status in (200, 302, 303, 307)


def test_an_unknown_path_gets_problem_details(stack):
    unknown = stack.request("GET", "/unknown")
    assert (unknown.status, unknown.body["code"]) == (404, "not_found")


@pytest.fixture(scope="module")
def requested(stack, ada):
    """The responses to two requests, with and without a slash."""
    return stack.forgot(ada), stack.forgot(ada, f"{FORGOT}/")


def test_requests_with_and_without_a_slash_work(requested):
    assert requested == (WORKED, WORKED)


# The emails


@pytest.fixture(scope="module")
def waiting(stack, ada, requested):
    """The recovery state of the user's emails before SES has verified the sender, after two attempts at least."""

    def states():
        emails = stack.user(ada).get("recovery_mails", {"L": []})["L"]
        return [email["M"]["state"]["S"] for email in emails if "state" in email["M"]]

    wait_until(lambda: len(states()) == 2, "two emails that wait")
    known = len(stack.calls("MailerFunction"))
    wait_until(lambda: len(stack.calls("MailerFunction")) > known, "another attempt")
    assert stack.emails(ada) == []
    return states()


@pytest.fixture(scope="module")
def links(stack, domain, ada, waiting):
    """The emailed tokens after SES has verified the sender, oldest first."""
    stack.cloud.client("sesv2").create_email_identity(EmailIdentity=domain)
    return stack.tokens(stack.wait_for_emails(ada, 2))


def test_emails_wait_until_ses_knows_the_sender(waiting):
    assert waiting == ["waiting", "waiting"]


def test_then_each_request_has_its_link(stack, ada, links):
    assert len(set(links)) == 2


def test_the_delivery_is_recorded_at_the_user(stack, ada, links):
    def states():
        return [email["M"].get("state", {}).get("S") for email in stack.user(ada)["recovery_mails"]["L"]]

    wait_until(lambda: states()[:2] == ["delivered", "delivered"], "the delivery of both emails")


# The new password


@pytest.fixture(scope="module")
def changed(stack, ada, links):
    """Sets a password with the newest link, after a weak password and with an unknown token."""
    older, newer = links
    weak = stack.change(newer, "password1234567")
    unknown = stack.change("A" * 43)
    response = stack.change(newer, path=f"{CHANGE}/")
    user = stack.user(ada)
    repeated = [stack.change(token) for token in (newer, older)]
    emails = stack.wait_for_emails(ada, 3)[2:]
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
    assert "was changed" in notice["subject"]


# The bounce


@pytest.fixture(scope="module")
def bounced(stack, ada, changed):
    """A user whose email bounces asks again. Once an email to another user has arrived, nothing is still on the way."""
    known = len(stack.emails(BOUNCING))
    stack.forgot(BOUNCING)
    wait_until(lambda: "recovery_suppression" in stack.user(BOUNCING), "the bounce at the user")
    response = stack.forgot(BOUNCING)
    stack.forgot(ada)
    stack.wait_for_emails(ada, 4)
    return SimpleNamespace(response=response, emails=stack.emails(BOUNCING)[known:])


def test_a_bounce_suppresses_the_address(bounced):
    assert bounced.response == WORKED
    assert len(bounced.emails) == 1


def matches_rule(stack, configuration_set):
    """Returns whether the stack's rule passes a bounce of an email with this configuration set."""
    events = stack.cloud.client("events")
    [rule] = [name for logical, name in stack.names.items() if logical.endswith("MailReports")]
    pattern = events.describe_rule(Name=rule.rpartition("|")[2])["EventPattern"]
    detail = {"eventType": "Bounce", "mail": {"tags": {"ses:configuration-set": [configuration_set]}}}
    event = {
        "id": "1",
        "detail-type": "Email Bounced",
        "source": "aws.ses",
        "account": "123456789012",
        "time": "2026-01-05T09:30:12Z",
        "region": "eu-central-1",
        "resources": [],
        "detail": detail,
    }
    return events.test_event_pattern(EventPattern=pattern, Event=json.dumps(event))["Result"]


def test_the_rule_ignores_other_configuration_sets(stack):
    assert matches_rule(stack, stack.outputs["ConfigurationSetName"])
    assert not matches_rule(stack, "another")


# The roles. fakecloud enforces them for DynamoDB, but not for SES.


def needs(stack, function):
    """Yields what the function called: each action with resources, of which one must be allowed."""
    for action, body in stack.calls(function):
        if "outbound-emails" in action:
            sender = re.search(r"[^\s<>]+@[^\s<>]+", body["FromEmailAddress"])[0]
            yield "ses:SendEmail", tuple(arn("ses", f"identity/{one}") for one in (sender, sender.split("@")[1]))
            yield "ses:SendEmail", (arn("ses", f"configuration-set/{body['ConfigurationSetName']}"),)
        elif action == "TransactWriteItems":
            # A transaction needs the action of each of its items.
            for item in body["TransactItems"]:
                ((write, request),) = item.items()
                yield f"dynamodb:{write}{'' if write.endswith('Item') else 'Item'}", (table_arn(request),)
        else:
            yield f"dynamodb:{action}", (table_arn(body),)


def arn(service, resource):
    return f"arn:aws:{service}:eu-central-1:123456789012:{resource}"


def table_arn(request):
    table = arn("dynamodb", f"table/{request['TableName']}")
    return f"{table}/index/{request['IndexName']}" if "IndexName" in request else table


def grants(stack, function):
    """Returns the actions that the function's role allows, each with its resource."""
    # fakecloud has a role's ARN in place of its name.
    iam, role = stack.cloud.client("iam"), stack.names[f"{function}Role"].rpartition("/")[2]
    assert iam.list_attached_role_policies(RoleName=role)["AttachedPolicies"] == []
    return {
        (action, resource)
        for name in iam.list_role_policies(RoleName=role)["PolicyNames"]
        for statement in iam.get_role_policy(RoleName=role, PolicyName=name)["PolicyDocument"]["Statement"]
        for action in as_list(statement["Action"])
        for resource in as_list(statement["Resource"])
    }


def as_list(one_or_many):
    return one_or_many if isinstance(one_or_many, list) else [one_or_many]


def allows(grant, need):
    (granted_action, granted_resource), (action, resources) = grant, need
    return fnmatch.fnmatchcase(action, granted_action) and any(
        fnmatch.fnmatchcase(resource, granted_resource) for resource in resources
    )


@pytest.fixture(params=FUNCTIONS)
def role(request, stack, bounced):
    """What one function needed in the whole reset, and what its role grants."""
    return SimpleNamespace(needed=set(needs(stack, request.param)), granted=grants(stack, request.param))


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
