"""What the linters do not check in template.yaml: the values that parameters accept and refuse, the
result of SAM's transformation, the path from the outbox to the mailer, the alarms and the dashboard."""

import json
import re
import subprocess
from collections import Counter

import pytest
from cfnlint.schema.manager import PROVIDER_SCHEMA_MANAGER
from moto.events.models import EventPattern

import template
from template import REQUIRED, ROOT, accepts, broken_rules, evaluate, values_with

PARAMETERS = template.load()["Parameters"]
DOMAIN = {
    "DomainName": "account.example.com",
    "CertificateArn": "arn:aws:acm:eu-central-1:123456789012:certificate/6f0e6a4e-0000",
}
KEY = "arn:aws:kms:eu-central-1:123456789012:key/6f0e6a4e-0000"
EDGE = {
    "OriginSecret": "_-" + "a0" * 15,
    "ClientAddressHeader": "CloudFront-Viewer-Address",
    "ResetUrl": "https://account.example.com/core/user/change-forgotten-password",
}
TOPIC = "arn:aws:sns:eu-central-1:123456789012:ops"

VALID = {
    "sender only": {},
    "domain": DOMAIN,
    "domain with its zone": DOMAIN | {"HostedZoneId": "Z0123456789ABC"},
    "edge": EDGE,
    "edge in front of a domain, with both secrets": DOMAIN | EDGE | {"OriginSecret": "0" * 32 + "," + "A" * 128},
    "existing table": {"UsersTableName": "people", "UsersEmailIndex": "by-mail", "UsersEmailAttribute": "mail"},
    "existing table with a key": {"UsersTableName": "people", "UsersTableKmsKeyArn": KEY},
    "new identity": {"NewSesIdentity": "example.com", "MailReplyTo": "Help <help@example.com>"},
    "new identity with a MAIL FROM domain": {"NewSesIdentity": "example.com", "MailFromSubdomain": "bounce"},
    "existing identity and configuration set": {"SesIdentity": "example.com", "SesConfigurationSet": "ours"},
    "concurrency limits": {"RequestConcurrency": "50", "ConfirmConcurrency": "20", "MailerConcurrency": "5"},
    "alarms by email": {"AlarmEmail": "ops@example.com", "LogRetentionDays": "365"},
    "alarms to a topic": {"AlarmTopicArn": TOPIC},
    "clients as digests": {"LogClient": "digest", "LogClientKey": "0" * 32},
}

# Values that must be refused before anything is created.
INVALID = {
    "MailFrom": ["", "nobody", "a@b", "Name no-reply@example.com", "a@example.com, b@example.com"],
    "MailReplyTo": ["nobody", "<a@example.com"],
    "NewSesIdentity": ["example", "a@example.com", "https://example.com"],
    "MailFromSubdomain": ["bounce.example.com", "bounce@", "-bounce", "x" * 64],
    "UsersTableName": ["us", "arn:aws:dynamodb:eu-central-1:123456789012:table/users", "my users"],
    "UsersEmailAttribute": ["", "e mail"],
    "UsersEmailIndex": ["by mail", "x"],
    "UsersTableKmsKeyArn": ["alias/users", "arn:aws:kms:eu-central-1:123456789012:alias/users"],
    "SupportUrl": ["http://example.com", "example.com"],
    "BrandColor": ["blue", "#fff"],
    "LogoUrl": ["http://example.com/a.png", "data:text/html,x", "https://" + "x" * 2048],
    "ResetUrl": ["http://example.com/", "https://example.com/#x"],
    "TokenTtlHours": ["0", "25", "1.5", "day"],
    "ClientLimit": ["0", "1000001"],
    "ClientWindowSeconds": ["0", "86401"],
    "AccountCooldownSeconds": ["-1", "3601"],
    "AccountLimitPerHour": ["0", "101"],
    "CorsOrigins": ["*", "https://a.example/", "app.example.com"],
    "PasswordMinLength": ["7", "65"],
    "PasswordMinScore": ["-1", "5"],
    "PwnedPasswordsUrl": ["http://example.com/"],
    "PasswordHashFormat": ["bcrypt"],
    "Argon2MemoryKib": ["7167", "524289"],
    "Argon2Iterations": ["0", "101"],
    "Argon2Parallelism": ["0", "17"],
    "DomainName": ["example", "https://account.example.com"],
    "CertificateArn": ["certificate", "arn:aws:iam::123456789012:server-certificate/x"],
    "HostedZoneId": ["/hostedzone/Z1"],
    "OriginSecret": ["0" * 31, "0" * 129, "0" * 31 + " ", "0" * 32 + ",", ",".join(["0" * 32] * 3)],
    "ClientAddressHeader": ["X Real IP", "X-Real-IP:"],
    "ApiRateLimit": ["0"],
    "ApiBurstLimit": ["0", "5001"],
    "Architecture": ["x86"],
    "RequestConcurrency": ["-1", ""],
    "ConfirmConcurrency": ["-1", ""],
    "MailerConcurrency": ["1", "1001", ""],
    "SesIdentity": ["my identity", "https://example.com"],
    "SesConfigurationSet": ["my set", "x" * 65],
    "UsersPasswordAttribute": ["", "pass word"],
    "UsersActiveAttribute": ["", "is active"],
    "LogLevel": ["WARN"],
    "LogClient": ["address", ""],
    "LogClientKey": ["short", "with a space" * 4, "0" * 129],
    "LogRetentionDays": ["2"],
    "LogKmsKeyArn": ["alias/logs"],
    "AlarmTopicArn": ["ops"],
    "AlarmEmail": ["ops"],
    "LimitedRequestsAlarm": ["0"],
    "Canary": ["true"],
}

# Combinations that must be refused, each with the rule that refuses it.
INVALID_TOGETHER = [
    ("DomainAndCertificate", {"DomainName": "account.example.com"}),
    ("DomainAndCertificate", {"CertificateArn": DOMAIN["CertificateArn"]}),
    ("DomainAndCertificate", {"HostedZoneId": "Z0123456789ABC"}),
    ("SecretAndAddressOfTheEdge", EDGE | {"OriginSecret": ""}),
    ("SecretAndAddressOfTheEdge", EDGE | {"ClientAddressHeader": ""}),
    ("LinksThroughTheEdge", EDGE | {"ResetUrl": ""}),
    ("IndexOfAnExistingTable", {"UsersEmailIndex": "by-mail"}),
    ("IndexOfAnExistingTable", {"UsersEmailAttribute": "mail"}),
    ("IndexOfAnExistingTable", {"UsersTableKmsKeyArn": KEY}),
    ("SubdomainOfNewIdentity", {"MailFromSubdomain": "bounce"}),
    ("KeyOfClientDigests", {"LogClient": "digest"}),
    ("EmailOfOwnTopic", {"AlarmEmail": "ops@example.com", "AlarmTopicArn": TOPIC}),
]

# The key of each table. A table with another logical name or key would be another table.
KEYS = {"UsersTable": "email", "TokensTable": "token_digest", "OutboxTable": "id"}
# Names of tables that CloudFormation does not choose. No parameter is in them.
NAMES = {"OutboxTable": {"Fn::Sub": "${AWS::StackName}-outbox"}}

ALARMS = template.resources("AWS::CloudWatch::Alarm")
RUNBOOK = (ROOT / "docs/operate.md").read_text()


# Parameters


def test_each_parameter_is_in_exactly_one_group():
    groups = template.load()["Metadata"]["AWS::CloudFormation::Interface"]["ParameterGroups"]
    grouped = Counter(name for group in groups for name in group["Parameters"])
    assert PARAMETERS.keys() - grouped.keys() == set(), "in no group"
    assert grouped.keys() - PARAMETERS.keys() == set(), "in a group but not declared"
    assert [name for name, count in grouped.items() if count > 1] == [], "in several groups"


@pytest.mark.parametrize("name", PARAMETERS)
def test_a_parameter_has_a_description(name):
    assert PARAMETERS[name].get("Description")


@pytest.mark.parametrize("name", PARAMETERS)
def test_a_parameter_has_a_default_unless_it_is_required(name):
    assert ("Default" in PARAMETERS[name]) != (name in REQUIRED)


@pytest.mark.parametrize("chosen", VALID.values(), ids=VALID)
def test_valid_values_are_accepted(chosen):
    values = values_with(chosen)
    assert [name for name, value in values.items() if not accepts(PARAMETERS[name], value)] == []
    assert broken_rules(values) == []


def test_every_restricted_parameter_has_invalid_values():
    restrictions = {"AllowedPattern", "AllowedValues", "MinValue", "MaxValue"}
    restricted = {name for name, parameter in PARAMETERS.items() if restrictions & parameter.keys()}
    assert restricted - INVALID.keys() == set(), "add invalid values to INVALID"


@pytest.mark.parametrize(
    ("name", "value"),
    [pytest.param(name, value, id=f"{name}={value[:40]}") for name, values in INVALID.items() for value in values],
)
def test_an_invalid_value_is_refused(name, value):
    assert not accepts(PARAMETERS[name], value)


@pytest.mark.parametrize(
    ("rule", "chosen"), INVALID_TOGETHER, ids=lambda part: "+".join(part) if isinstance(part, dict) else part
)
def test_an_invalid_combination_is_refused(rule, chosen):
    assert broken_rules(values_with(chosen)) == [rule]


# The result of SAM's transformation


@pytest.fixture(scope="module")
def transformed():
    return template.transformed(values_with({}))


def tables(stack):
    return {name: one for name, one in stack["Resources"].items() if one["Type"] == "AWS::DynamoDB::Table"}


def properties_that_replace_a_table():
    """Returns the properties whose change makes CloudFormation replace a table."""
    schema = PROVIDER_SCHEMA_MANAGER.get_resource_schema("us-east-1", "AWS::DynamoDB::Table").schema
    pointers = schema["createOnlyProperties"] + schema["conditionalCreateOnlyProperties"]
    return {pointer.split("/")[2] for pointer in pointers} | {"AttributeDefinitions"}


def test_tables_keep_their_logical_names_and_keys(transformed):
    keys = {
        name: [part["AttributeName"] for part in table["Properties"]["KeySchema"]]
        for name, table in tables(transformed).items()
    }
    assert keys == {name: [key] for name, key in KEYS.items()}


@pytest.mark.parametrize("name", KEYS)
def test_no_parameter_can_replace_a_table(transformed, name):
    properties = tables(transformed)[name]["Properties"]
    fixed = {key: properties[key] for key in properties_that_replace_a_table() & properties.keys()}
    assert fixed.pop("TableName", None) == NAMES.get(name)
    assert '"Ref"' not in json.dumps(fixed)
    assert "Fn::" not in json.dumps(fixed)


@pytest.mark.parametrize("name", KEYS)
def test_a_table_has_explicit_deletion_policies(transformed, name):
    assert {"DeletionPolicy", "UpdateReplacePolicy"} <= tables(transformed)[name].keys()


@pytest.mark.parametrize("policy", ["DeletionPolicy", "UpdateReplacePolicy"])
def test_users_outlive_the_stack(transformed, policy):
    assert tables(transformed)["UsersTable"][policy] == "Retain"


def test_the_identity_outlives_the_stack_but_not_a_failed_creation(transformed):
    identity = transformed["Resources"]["SenderIdentity"]
    assert (identity["DeletionPolicy"], identity["UpdateReplacePolicy"]) == ("RetainExceptOnCreate", "Retain")


def key_statements(role):
    """Returns the statements of a role about KMS, each with its condition."""
    policies = template.load()["Resources"][role]["Properties"]["Policies"]
    statements = [one for policy in policies for one in policy["PolicyDocument"]["Statement"]]
    return [one for one in statements if "kms:" in json.dumps(one)]


@pytest.mark.parametrize("role", template.resources("AWS::IAM::Role"))
def test_only_the_functions_that_use_the_users_table_may_use_its_key(role):
    statement = {
        "Effect": "Allow",
        "Action": "kms:Decrypt",
        "Resource": {"Ref": "UsersTableKmsKeyArn"},
        "Condition": {
            "StringEquals": {"kms:ViaService": {"Fn::Sub": "dynamodb.${AWS::Region}.${AWS::URLSuffix}"}},
        },
    }
    granted = [{"Fn::If": ["HasUsersTableKmsKey", statement, {"Ref": "AWS::NoValue"}]}]
    uses_the_table = role in ("ConfirmFunctionRole", "MailerFunctionRole")
    assert key_statements(role) == (granted if uses_the_table else [])


def test_the_outputs_list_the_records_of_the_domain_in_the_envelope(transformed):
    _, mail_from, _ = transformed["Resources"]["SenderIdentity"]["Properties"]["MailFromAttributes"]["Fn::If"]
    domain = mail_from["MailFromDomain"]["Fn::Sub"]
    assert domain.endswith(".${NewSesIdentity}")
    records = [transformed["Outputs"][f"MailFrom{kind}Record"]["Value"]["Fn::Sub"] for kind in ("Mx", "Spf")]
    assert records == [
        f"{domain} MX 10 feedback-smtp.${{AWS::Region}}.amazonses.com",
        f'{domain} TXT "v=spf1 include:amazonses.com ~all"',
    ]


def test_the_transformed_template_passes_cfn_lint(transformed, tmp_path):
    file = tmp_path / "template.json"
    file.write_text(json.dumps(transformed))
    subprocess.run(["cfn-lint", "--", file], check=True)


def callers(stack):
    """Yields each resource that calls or configures a function, with the value that names the function."""
    for name, one in stack["Resources"].items():
        properties = one["Properties"]
        if one["Type"] == "AWS::ApiGatewayV2::Api":
            operations = [operation for path in properties["Body"]["paths"].values() for operation in path.values()]
            yield from ((name, operation["x-amazon-apigateway-integration"]["uri"]) for operation in operations)
        elif one["Type"] == "AWS::Events::Rule":
            yield from ((name, target["Arn"]) for target in properties["Targets"])
        elif one["Type"].startswith("AWS::Lambda::") and "FunctionName" in properties:
            yield name, properties["FunctionName"]


def test_every_caller_names_a_function_itself(transformed):
    names = template.resources("AWS::Serverless::Function")
    lambda_uri = (
        "arn:${AWS::Partition}:apigateway:${AWS::Region}:lambda:path/2015-03-31/functions/${%s.Arn}/invocations"
    )
    allowed = [value for name in names for value in ({"Ref": name}, arn(name), {"Fn::Sub": lambda_uri % name})]
    found = list(callers(transformed))
    assert [(name, value) for name, value in found if value not in allowed] == []
    assert {"Api", "MailQueueMapping", "MailerFunctionMailReports"} <= {name for name, _ in found}


def test_the_api_responds_to_no_path_or_method_itself(transformed):
    paths = transformed["Resources"]["Api"]["Properties"]["Body"]["paths"]
    assert all(operations.keys() == {"x-amazon-apigateway-any-method"} for operations in paths.values())
    unknown = paths["$default"]["x-amazon-apigateway-any-method"]["x-amazon-apigateway-integration"]["uri"]
    assert "${RequestFunction.Arn}" in json.dumps(unknown)


def test_retries_of_events_are_configured_for_the_function_itself(transformed):
    properties = transformed["Resources"]["MailerFunctionEventInvokeConfig"]["Properties"]
    assert (properties["FunctionName"], properties["Qualifier"]) == ({"Ref": "MailerFunction"}, "$LATEST")


# The API's addresses


@pytest.mark.parametrize(("chosen", "is_disabled"), [({}, False), (DOMAIN, True), (EDGE, False), (DOMAIN | EDGE, True)])
def test_the_gateways_own_address_is_closed_if_the_api_has_a_domain(chosen, is_disabled):
    values = values_with(chosen)
    stack = template.transformed(values)
    [server] = stack["Resources"]["Api"]["Properties"]["Body"]["servers"]
    endpoint = server["x-amazon-apigateway-endpoint-configuration"]
    condition, then, otherwise = endpoint["disableExecuteApiEndpoint"]["Fn::If"]
    assert (then if evaluate(stack["Conditions"][condition], values) else otherwise) is is_disabled


def test_the_secret_of_the_edge_reaches_the_functions_of_the_api_and_the_canary_only(transformed):
    assert PARAMETERS["OriginSecret"]["NoEcho"] is True
    secret = json.dumps({"Ref": "OriginSecret"})
    assert json.dumps(transformed["Outputs"]).count(secret) == 0
    found = {name for name, one in transformed["Resources"].items() if secret in json.dumps(one)}
    assert found == {"RequestFunction", "ConfirmFunction", "CanarySchedule"}


# From the outbox to the mailer


def resource(name):
    """Returns the properties of a resource."""
    return template.load()["Resources"][name]["Properties"]


def arn(name):
    return {"Fn::GetAtt": [name, "Arn"]}


OUTBOX_STREAM = {"Fn::GetAtt": ["OutboxTable", "StreamArn"]}
QUEUES = template.resources("AWS::SQS::Queue")
QUEUE_POLICIES = template.resources("AWS::SQS::QueuePolicy")
SOURCE = resource("MailPipe")["SourceParameters"]


def outbox_kinds():
    """Returns the kinds of outbox rows, read from the Rust code."""
    code = (ROOT / "shared/rules/src/recovery.rs").read_text()
    kinds = re.search(r"^impl EmailKind \{.*?^\}", code, re.DOTALL | re.MULTILINE)[0]
    return sorted(re.findall(r'Self::\w+ => "(\w+)"', kinds))


def test_the_pipe_leads_from_the_outbox_to_the_mail_queue():
    pipe = resource("MailPipe")
    assert (pipe["Source"], pipe["Target"], pipe["RoleArn"]) == (OUTBOX_STREAM, arn("MailQueue"), arn("MailPipeRole"))


def test_the_stream_has_new_images():
    assert resource("OutboxTable")["StreamSpecification"] == {"StreamViewType": "NEW_IMAGE"}


def passes_filter(record):
    patterns = [one["Pattern"] for one in SOURCE["FilterCriteria"]["Filters"]]
    return any(EventPattern.load(pattern).matches_event(record) for pattern in patterns)


def stream_record(event, kind):
    return {"eventName": event, "dynamodb": {"NewImage": {"kind": {"S": kind}}}}


@pytest.mark.parametrize("kind", outbox_kinds())
@pytest.mark.parametrize("event", ["INSERT", "MODIFY"])
def test_the_pipe_passes_new_images_of_every_kind(event, kind):
    assert passes_filter(stream_record(event, kind))


# TTL's deletions arrive as REMOVE.
@pytest.mark.parametrize(
    "record",
    [
        stream_record("REMOVE", "reset_requested"),
        {"eventName": "REMOVE", "dynamodb": {"Keys": {"id": {"S": "x"}}}},
        stream_record("INSERT", "another"),
        {"eventName": "INSERT", "dynamodb": {"NewImage": {"id": {"S": "x"}}}},
    ],
    ids=["deletion", "deletion by TTL", "another kind", "no kind"],
)
def test_the_pipe_skips_deletions_and_other_kinds(record):
    assert not passes_filter(record)


def test_a_batch_of_the_pipe_fits_into_one_call_to_sqs():
    assert SOURCE["DynamoDBStreamParameters"]["BatchSize"] <= 10


def test_the_pipe_starts_with_the_oldest_record_and_waits_for_no_batch():
    parameters = SOURCE["DynamoDBStreamParameters"]
    assert (parameters["StartingPosition"], parameters["MaximumBatchingWindowInSeconds"]) == ("TRIM_HORIZON", 0)


def test_the_pipe_retries_until_the_stream_drops_a_record():
    parameters = SOURCE["DynamoDBStreamParameters"]
    assert (parameters["MaximumRetryAttempts"], parameters["MaximumRecordAgeInSeconds"]) == (-1, -1)
    assert parameters["DeadLetterConfig"] == {"Arn": arn("PipeFailuresQueue")}


def test_only_pipes_of_this_account_and_region_may_assume_the_role_of_the_pipe():
    [statement] = resource("MailPipeRole")["AssumeRolePolicyDocument"]["Statement"]
    pipes = "arn:${AWS::Partition}:pipes:${AWS::Region}:${AWS::AccountId}:pipe/*"
    assert statement == {
        "Effect": "Allow",
        "Principal": {"Service": "pipes.amazonaws.com"},
        "Action": "sts:AssumeRole",
        "Condition": {
            "StringEquals": {"aws:SourceAccount": {"Ref": "AWS::AccountId"}},
            "ArnLike": {"aws:SourceArn": {"Fn::Sub": pipes}},
        },
    }


def test_the_pipe_may_read_the_stream_and_write_two_queues_and_nothing_else():
    role = resource("MailPipeRole")
    assert role.keys() == {"AssumeRolePolicyDocument", "Policies"}
    statements = [one for policy in role["Policies"] for one in policy["PolicyDocument"]["Statement"]]
    reads = ["DescribeStream", "GetRecords", "GetShardIterator", "ListStreams"]
    assert statements == [
        {"Effect": "Allow", "Action": [f"dynamodb:{read}" for read in reads], "Resource": OUTBOX_STREAM},
        {"Effect": "Allow", "Action": "sqs:SendMessage", "Resource": [arn("MailQueue"), arn("PipeFailuresQueue")]},
    ]


def test_the_pipe_is_created_after_the_policies_of_its_queues(transformed):
    assert set(transformed["Resources"]["MailPipe"]["DependsOn"]) == {"MailQueuePolicy", "PipeFailuresQueuePolicy"}


@pytest.mark.parametrize("name", QUEUES)
def test_a_queue_is_encrypted_and_keeps_messages_for_14_days(name):
    properties = resource(name)
    assert properties["SqsManagedSseEnabled"] is True
    assert properties["MessageRetentionPeriod"] == 14 * 24 * 3600


@pytest.mark.parametrize("name", QUEUES)
def test_a_queue_refuses_calls_without_tls(name):
    [policy] = [one["Properties"] for one in QUEUE_POLICIES.values() if one["Properties"]["Queues"] == [{"Ref": name}]]
    assert {
        "Effect": "Deny",
        "Principal": "*",
        "Action": "sqs:*",
        "Resource": arn(name),
        "Condition": {"Bool": {"aws:SecureTransport": "false"}},
    } in policy["PolicyDocument"]["Statement"]


def test_a_message_stays_invisible_for_six_times_the_timeout_of_the_mailer():
    assert resource("MailQueue")["VisibilityTimeout"] >= 6 * resource("MailerFunction")["Timeout"]


def test_an_email_is_retried_for_six_hours():
    queue = resource("MailQueue")
    assert queue["RedrivePolicy"].keys() == {"deadLetterTargetArn", "maxReceiveCount"}
    assert queue["RedrivePolicy"]["deadLetterTargetArn"] == arn("UnsentMailQueue")
    assert queue["RedrivePolicy"]["maxReceiveCount"] * queue["VisibilityTimeout"] == 6 * 3600


def test_a_message_that_keeps_failing_does_not_raise_the_delay_alarm():
    # SQS no longer counts the age of a message that was received three times.
    assert resource("MailDelayAlarm")["Threshold"] > 3 * resource("MailQueue")["VisibilityTimeout"]


def test_the_mailer_reports_each_message_of_the_mail_queue():
    assert resource("MailQueueMapping") == {
        "FunctionName": {"Ref": "MailerFunction"},
        "EventSourceArn": arn("MailQueue"),
        "BatchSize": 10,
        "MaximumBatchingWindowInSeconds": 0,
        "ScalingConfig": {"MaximumConcurrency": {"Ref": "MailerConcurrency"}},
        "FunctionResponseTypes": ["ReportBatchItemFailures"],
    }


def test_the_mailer_changes_after_nothing_writes_to_the_old_outbox(transformed):
    after = set(transformed["Resources"]["MailerFunctionRole"]["DependsOn"])
    assert after == {"RequestFunction", "ConfirmFunction"}
    assert after <= transformed["Resources"].keys()


# Alarms, dashboard and runbook


def metrics():
    """Returns the names of the metrics by their variants, read from the Rust code."""
    code = (ROOT / "shared/aws/src/metrics.rs").read_text()
    declared = re.search(r"^metrics! \{.*?^\}", code, re.DOTALL | re.MULTILINE)[0]
    return dict(re.findall(r'^    (\w+) = "(\w+)",$', declared, re.MULTILINE))


METRICS = metrics()
METRIC_NAMES = set(METRICS.values())


def own_metrics(alarm):
    """Returns the names of the project's own metrics that an alarm watches."""
    properties = alarm["Properties"]
    measured = [query["MetricStat"]["Metric"] for query in properties.get("Metrics", []) if "MetricStat" in query]
    return {metric["MetricName"] for metric in measured or [properties] if metric["Namespace"] == "AccountRecovery"}


def dashboard(canary="on"):
    """Returns the dashboard's body. Its variables remain, except the one that depends on the canary."""
    body, variables = template.load()["Resources"]["Dashboard"]["Properties"]["DashboardBody"]["Fn::Sub"]
    [(name, choice)] = variables.items()
    condition, with_canary, without = choice["Fn::If"]
    assert condition == "HasCanary"
    return body.replace(f"${{{name}}}", with_canary["Fn::Sub"] if canary == "on" else without)


@pytest.mark.parametrize("name", ALARMS)
def test_an_alarm_names_a_section_of_the_runbook(name):
    description = ALARMS[name]["Properties"]["AlarmDescription"]
    section = re.search(r"See docs/operate.md, (.*)\.$", description)[1]
    assert section in re.findall("^## (.*)$", RUNBOOK, re.MULTILINE)


@pytest.mark.parametrize("name", ALARMS)
def test_the_runbook_names_an_alarm(name):
    assert re.search(rf"\b{name}\b", RUNBOOK)


@pytest.mark.parametrize("name", ALARMS)
def test_the_functions_count_the_metrics_of_an_alarm(name):
    assert own_metrics(ALARMS[name]) <= METRIC_NAMES


@pytest.mark.parametrize("variant", METRICS)
def test_a_function_counts_a_metric(variant):
    code = "".join(path.read_text() for path in ROOT.glob("functions/*/src/**/*.rs"))
    assert re.search(rf"\bMetric::{variant}\b", code)


@pytest.mark.parametrize("canary", ["on", "off"])
def test_the_dashboard_is_json(canary):
    json.loads(dashboard(canary))


def test_the_dashboard_shows_every_alarm():
    assert set(re.findall(r"\$\{(\w+)\.Arn\}", dashboard())) == ALARMS.keys()


def test_without_a_canary_the_dashboard_does_not_name_its_alarm():
    assert "CanaryAlarm" not in dashboard("off")


def test_the_canary_is_the_sample_event():
    schedule = template.load()["Resources"]["CanarySchedule"]["Properties"]
    sample = json.loads((ROOT / "events/request-canary.json").read_text())
    event, variables = schedule["Target"]["Input"]["Fn::Sub"]
    assert json.loads(event.replace("${Secret}", "")) == sample
    # Behind an edge, the event has the first of its secrets.
    first = {"Fn::Select": [0, {"Fn::Split": [",", {"Ref": "OriginSecret"}]}]}
    assert variables == {"Secret": {"Fn::If": ["HasOriginSecret", first, ""]}}


def test_the_functions_count_every_metric_on_the_dashboard():
    shown = set(re.findall(r'"([a-z]+_[a-z_]+|requests|resets)"', dashboard()))
    assert shown
    assert shown <= METRIC_NAMES


def test_the_runbook_explains_every_metric():
    assert set(re.findall("`([a-z_]+)`", RUNBOOK)) >= METRIC_NAMES
