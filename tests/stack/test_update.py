"""Changed parameters of a deployed stack take effect in what runs, and deletion leaves the users. In fakecloud."""

import json

import pytest

from deployed import CHANGE, FORGOT, WORKED, Deployment
from local_system import wait_until
from test_deployed import PARAMETERS

pytestmark = pytest.mark.fakecloud

ADA, BEA, CANARY = "ada@update.example.com", "bea@update.example.com", "success+canary@simulator.amazonses.com"
BEFORE = PARAMETERS | {
    "MailFrom": "no-reply@update.example.com",
    "NewSesIdentity": "update.example.com",
    # No window ends during the tests.
    "ClientWindowSeconds": "86400",
}


@pytest.fixture(scope="module")
def stack(cloud):
    stack = Deployment(cloud, "update", BEFORE)
    stack.add_user(ADA)
    assert stack.forgot(ADA) == WORKED
    stack.wait_for_emails(ADA, 1)
    return stack


@pytest.fixture
def update(stack):
    """Updates the stack with changed parameters, and returns it."""

    def update(**changed):
        stack.update(BEFORE | changed)
        assert stack.status == "UPDATE_COMPLETE"
        return stack

    return update


# Settings of the functions


def test_a_lower_client_limit_refuses_the_next_request(update):
    stack = update(ClientLimit="1")
    status, problem = stack.forgot(ADA)
    assert (status, problem["code"]) == (429, "rate_limited")


def test_another_log_level_reaches_the_function(update):
    stack = update(LogLevel="DEBUG")
    assert stack.request("GET", FORGOT).status == 200
    assert stack.current_variables("RequestFunction")["AWS_LAMBDA_LOG_LEVEL"] == "DEBUG"


def test_another_password_policy_is_enforced(update):
    stack = update(PasswordMinLength="64")
    [token, *_] = stack.tokens(stack.emails(ADA))
    status, problem = stack.change(token)
    assert (status, problem["code"]) == (422, "weak_password")


@pytest.mark.parametrize("path", [FORGOT, CHANGE])
def test_other_branding_is_on_the_pages(update, path):
    stack = update(AppName="Example Shop", BrandColor="#047857")
    page = stack.request("GET", path)
    assert "Example Shop" in page.body
    assert "#047857" in page.body


# Other resources


def test_other_values_reach_log_groups_and_reservations(update):
    stack = update(LogRetentionDays="30", RequestConcurrency="5")
    groups = stack.cloud.client("logs").describe_log_groups(logGroupNamePrefix="/aws/lambda/update-")["logGroups"]
    assert {group["retentionInDays"] for group in groups} == {30}
    reserved = stack.lambda_.get_function_concurrency(FunctionName=stack.names["RequestFunction"])
    assert reserved["ReservedConcurrentExecutions"] == 5


# The canary


@pytest.fixture(scope="module")
def canary(stack):
    """The metric of a stack with a canary, after its schedule has fired for the canary's account."""
    stack.update(BEFORE | {"Canary": "on"})
    stack.add_user(CANARY)
    stack.cloud.act(f"scheduler/fire/default/{stack.names['CanarySchedule']}")
    wait_until(lambda: "canary_delivered" in stack.log("MailerFunction"), "the delivery of the canary's email")
    lines = [line for line in stack.log("MailerFunction").splitlines() if "canary_delivered" in line]
    return json.loads(lines[0])


def test_the_delivery_of_a_scheduled_email_is_counted(canary):
    assert canary["canary_delivered"] == 1


def test_the_canary_s_alarm_watches_that_metric(stack, canary):
    alarms = stack.cloud.client("cloudwatch").describe_alarms(AlarmNames=[stack.names["CanaryAlarm"]])
    [watched] = alarms["MetricAlarms"]
    assert watched["Namespace"] == canary["_aws"]["CloudWatchMetrics"][0]["Namespace"]
    assert watched["MetricName"] == "canary_delivered"
    assert watched["Dimensions"] == [{"Name": "function", "Value": canary["function"]}]


# Another users table


@pytest.fixture(scope="module")
def restored(stack):
    """The name of the users table that the stack created, after an update to another one."""
    own = stack.names["UsersTable"]
    stack.dynamodb.create_table(
        TableName="users-restored",
        BillingMode="PAY_PER_REQUEST",
        AttributeDefinitions=[{"AttributeName": "email", "AttributeType": "S"}],
        KeySchema=[{"AttributeName": "email", "KeyType": "HASH"}],
    )
    stack.update(BEFORE | {"UsersTableName": "users-restored"})
    stack.add_user(BEA)
    return own


def test_a_reset_uses_the_other_users_table(stack, restored):
    assert stack.forgot(BEA) == WORKED
    [token] = stack.tokens(stack.wait_for_emails(BEA, 1))
    assert stack.change(token) == WORKED
    assert "password_hash" in stack.user(BEA)


# Deletion


@pytest.fixture(scope="module")
def deleted(stack, restored):
    """The name of the users table that the deleted stack created."""
    stack.delete()
    return restored


def test_the_stack_is_gone(stack, deleted):
    assert stack.request("GET", FORGOT).status in (403, 404)
    tables = stack.dynamodb.list_tables()["TableNames"]
    assert [name for name in tables if name.startswith("update-") and name != deleted] == []
    functions = stack.lambda_.list_functions()["Functions"]
    assert [one["FunctionName"] for one in functions if one["FunctionName"].startswith("update-")] == []
    assert stack.sqs.list_queues(QueueNamePrefix="update-").get("QueueUrls", []) == []


def test_the_users_outlive_the_stack(stack, deleted):
    rows = stack.dynamodb.scan(TableName=deleted)["Items"]
    assert ADA in {row["email"]["S"] for row in rows}


def test_the_ses_identity_outlives_the_stack(stack, deleted):
    identity = stack.cloud.client("sesv2").get_email_identity(EmailIdentity="update.example.com")
    assert identity["IdentityType"] == "DOMAIN"
