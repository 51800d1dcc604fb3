"""The settings that the functions read, the template's parameters and docs/configuration.md agree, and a changed
parameter reaches the functions."""

import functools
import re

import pytest

import template
from template import ROOT, accepts, broken_rules, evaluate, values_with

FUNCTIONS = template.resources("AWS::Serverless::Function")
PARAMETERS = template.load()["Parameters"]

# Variables whose parameter has another name, or none because the stack creates the table.
PARAMETER_NAMES = {
    "USERS_TABLE": "UsersTableName",
    "TOKENS_TABLE": None,
    "OUTBOX_TABLE": None,
    "AWS_LAMBDA_LOG_LEVEL": "LogLevel",
}
# Parameters that are empty by default: the stack creates the table, the function has the default.
EMPTY_PARAMETERS = {"USERS_TABLE", "BRAND_COLOR"}
# Defaults that are not beside the name of the variable in the code.
DEFAULTS_ELSEWHERE = {
    "USERS_EMAIL_ATTRIBUTE": r'\bemail: "email"',
    "USERS_PASSWORD_ATTRIBUTE": r'\bpassword: "password_hash"',
    "USERS_ACTIVE_ATTRIBUTE": r'\bactive: "is_active"',
    "BRAND_COLOR": r"DEFAULT_COLOR: Color = Color\(\[0x1d, 0x4e, 0xd8\]\)",
    "PASSWORD_HASH_FORMAT": r"unwrap_or\(HashFormat::Phc\)",
    "AWS_LAMBDA_LOG_LEVEL": r"unwrap_or\(Level(?:Filter)?::INFO\)",
}
# Variables that the SDK and the Lambda runtime define.
FOREIGN = re.compile(r"AWS_(?!LAMBDA_LOG_LEVEL)|SSL_CERT_FILE")


def parameter_name(variable):
    """Returns the name of the parameter that sets a variable, or None."""
    camel_case = "".join(word.capitalize() for word in variable.split("_"))
    return PARAMETER_NAMES.get(variable, camel_case)


def variables_in_template():
    """Returns the values of each variable in the template, by function."""
    found = {}
    for name, function in FUNCTIONS.items():
        for variable, value in variables_of(function["Properties"]).items():
            found.setdefault(variable, {})[short_name(name)] = value
    return found


def variables_of(function):
    """Returns the variables that a function gets, by its properties."""
    # Lambda sets this variable to the value of the property.
    log_level = function["LoggingConfig"]["ApplicationLogLevel"]
    return function["Environment"]["Variables"] | {"AWS_LAMBDA_LOG_LEVEL": log_level}


def short_name(function):
    return function.removesuffix("Function").lower()


def variables_in_docs():
    """Returns the readers and the default of each variable in the table of docs/configuration.md."""
    page = (ROOT / "docs/configuration.md").read_text()
    rows = re.search(r"^\| variable \|.*\n\|[-|]+\n((?:\|.*\n)+)", page, re.MULTILINE)[1].splitlines()
    cells = ([cell.strip(" `") for cell in row.strip("|").split("|")] for row in rows)
    return {variable: (function_names(readers), default) for variable, readers, default, *_ in cells}


def function_names(readers):
    return {"request", "confirm", "mailer"} if readers == "all" else set(re.findall(r"\w+", readers))


def documented_default(variable):
    """Returns the default in the table, or "" if it says that there is none."""
    _, default = IN_DOCS[variable]
    return "" if default in ("none", "off", "required") else default


def rust_code():
    """Returns the code of the functions and of what they share, without unit tests."""
    paths = [*ROOT.glob("functions/*/src/**/*.rs"), *ROOT.glob("shared/**/*.rs")]
    return "".join(path.read_text().split("#[cfg(test)]")[0] for path in paths)


def variables_in_code():
    """Returns the default of each variable that the functions read, or "" if it is not a literal.

    Matches `env.number("NAME", 20, …)` and `table_name(env, "NAME", "users")`."""
    method = r"\.(?:get|optional|secret|required|number|table|attribute|with_default)\(\s*"
    function = r"\b\w+\(\s*env,\s*"
    name = rf'(?:{method}|{function})"([A-Z][A-Z0-9_]+)"'
    default = r'(?:,\s*(?:([0-9][0-9_]*),|"(\w+)"[,)]))?'
    return {
        variable: number.replace("_", "") or text
        for variable, number, text in re.findall(name + default, rust_code())
        if not FOREIGN.match(variable)
    }


IN_TEMPLATE, IN_DOCS, IN_CODE = variables_in_template(), variables_in_docs(), variables_in_code()


def test_the_docs_list_the_variables_that_the_functions_read():
    assert IN_DOCS.keys() == IN_CODE.keys()


def test_the_template_sets_the_variables_that_the_functions_read():
    assert IN_TEMPLATE.keys() == IN_CODE.keys()


@pytest.mark.parametrize("variable", IN_TEMPLATE)
def test_the_docs_name_the_functions_that_have_a_variable(variable):
    readers, _ = IN_DOCS[variable]
    assert IN_TEMPLATE[variable].keys() == readers


@pytest.mark.parametrize("variable", IN_TEMPLATE)
def test_a_variable_is_set_by_the_parameter_of_its_name(variable):
    parameter = parameter_name(variable)
    for value in IN_TEMPLATE[variable].values():
        if parameter is None:
            assert value["Ref"] in template.resources("AWS::DynamoDB::Table")
        else:
            # A value that the stack chooses itself if the parameter is empty is an Fn::If.
            assert {"Ref": parameter} in value.get("Fn::If", [value])


@pytest.mark.parametrize("variable", [name for name in IN_DOCS if parameter_name(name)])
def test_a_parameter_has_the_documented_default(variable):
    default = "" if variable in EMPTY_PARAMETERS else documented_default(variable)
    assert str(PARAMETERS[parameter_name(variable)].get("Default", "")) == default


@pytest.mark.parametrize("variable", IN_DOCS)
def test_the_code_has_the_documented_default(variable):
    if not IN_CODE[variable] and variable in DEFAULTS_ELSEWHERE:
        assert re.search(DEFAULTS_ELSEWHERE[variable], rust_code())
    else:
        assert IN_CODE[variable] == documented_default(variable)


def test_only_the_sender_is_required():
    required = [name for name, parameter in PARAMETERS.items() if "Default" not in parameter]
    assert required == ["MailFrom"]
    assert [name for name, (_, default) in IN_DOCS.items() if default == "required"] == ["RESET_URL", "MAIL_FROM"]


# A changed parameter

# Values beside which any parameter may change.
BEFORE = values_with(
    {
        "NewSesIdentity": "example.com",
        "UsersTableName": "people",
        "DomainName": "account.example.com",
        "CertificateArn": "arn:aws:acm:eu-central-1:123456789012:certificate/6f0e6a4e-0000",
    }
)
# The same for the parameters of an edge, which require a ResetUrl.
BEFORE_BEHIND_AN_EDGE = BEFORE | {
    "ResetUrl": "https://account.example.com/reset",
    "OriginSecret": "0" * 32,
    "ClientAddressHeader": "CloudFront-Viewer-Address",
}
OTHER_TEXTS = {
    "MailFrom": "Example <hello@example.com>",
    "MailReplyTo": "help@example.com",
    "NewSesIdentity": "example.org",
    "MailFromSubdomain": "bounce",
    "SesIdentity": "example.com",
    "SesConfigurationSet": "ours",
    "UsersTableName": "users-restored",
    "UsersEmailAttribute": "mail",
    "UsersPasswordAttribute": "password",
    "UsersActiveAttribute": "active",
    "UsersEmailIndex": "by-mail",
    "UsersTableKmsKeyArn": "arn:aws:kms:eu-central-1:123456789012:key/6f0e6a4e-0000",
    "AppName": "Example",
    "SupportUrl": "https://example.com/help",
    "BrandColor": "#047857",
    "LogoUrl": "https://example.com/logo.png",
    "ResetUrl": "https://example.com/reset",
    "CorsOrigins": "https://example.com",
    "OriginSecret": "0" * 32 + "," + "1" * 32,
    "ClientAddressHeader": "True-Client-IP",
    "PwnedPasswordsUrl": "https://api.pwnedpasswords.com/range/",
    "DomainName": "recovery.example.com",
    "CertificateArn": "arn:aws:acm:eu-central-1:123456789012:certificate/6f0e6a4e-0001",
    "HostedZoneId": "Z0123456789ABC",
    "LogClientKey": "0" * 64,
    "LogKmsKeyArn": "arn:aws:kms:eu-central-1:123456789012:key/6f0e6a4e-0000",
    "AlarmTopicArn": "arn:aws:sns:eu-central-1:123456789012:ops",
    "AlarmEmail": "ops@example.com",
}


def values_before(name):
    """Returns values beside which the parameter may change."""
    return BEFORE_BEHIND_AN_EDGE if name in ("OriginSecret", "ClientAddressHeader") else BEFORE


def other_value(name):
    """Returns a valid value of a parameter that differs from the one before."""
    if name in OTHER_TEXTS:
        return OTHER_TEXTS[name]
    parameter = PARAMETERS[name]
    default = parameter["Default"]
    values = parameter["AllowedValues"] if "AllowedValues" in parameter else [default + 1, default - 1]
    return next(str(one) for one in values if one != default and accepts(parameter, str(one)))


def resolved(node, values, conditions):
    """Replaces parameters and conditions in a value of the template."""
    if not isinstance(node, dict):
        return node
    [(function, argument)] = node.items()
    if function == "Ref":
        return values.get(argument, node)
    if function == "Fn::If":
        condition, then, otherwise = argument
        return resolved(then if evaluate(conditions[condition], values) else otherwise, values, conditions)
    assert function == "Fn::Sub"
    text, parts = argument
    parts = {name: resolved(part, values, conditions) for name, part in parts.items()}
    return re.sub(r"\$\{(\w+)\}", lambda found: parts[found[1]], text)


def variables_with(values):
    """Returns the variables of each function in a stack with these parameters, after SAM's transformation."""
    stack = template.transformed(values)
    return {
        short_name(name): {
            variable: resolved(value, values, stack["Conditions"])
            for variable, value in variables_of(stack["Resources"][name]["Properties"]).items()
        }
        for name in FUNCTIONS
    }


@functools.cache
def variables_before(is_behind_an_edge):
    return variables_with(BEFORE_BEHIND_AN_EDGE if is_behind_an_edge else BEFORE)


def documented_changes(parameter, value):
    """Returns the variables that a parameter sets, by function, according to docs/configuration.md."""
    changes = {short_name(name): {} for name in FUNCTIONS}
    for variable, (readers, _) in IN_DOCS.items():
        for reader in readers if parameter_name(variable) == parameter else ():
            changes[reader][variable] = value
    if parameter == "DomainName":
        changes["mailer"]["RESET_URL"] = f"https://{value}/core/user/change-forgotten-password"
    return changes


@pytest.mark.parametrize("name", PARAMETERS)
def test_another_value_of_a_parameter_is_valid(name):
    value = other_value(name)
    assert value != values_before(name)[name]
    assert accepts(PARAMETERS[name], value)
    assert broken_rules(values_before(name) | {name: value}) == []


@pytest.mark.parametrize("name", PARAMETERS)
def test_a_changed_parameter_reaches_the_functions_that_read_it(name):
    value = other_value(name)
    before = values_before(name)
    after = variables_with(before | {name: value})
    changes = {
        function: {variable: now for variable, now in after[function].items() if now != old[variable]}
        for function, old in variables_before(before is BEFORE_BEHIND_AN_EDGE).items()
    }
    assert changes == documented_changes(name, value)


@pytest.mark.parametrize("name", PARAMETERS)
def test_no_version_or_alias_keeps_old_settings(name):
    stack = template.transformed(values_before(name) | {name: other_value(name)})
    kinds = {one["Type"] for one in stack["Resources"].values()}
    assert {kind for kind in kinds if re.match("AWS::Lambda::(Version|Alias)$|AWS::CodeDeploy::", kind)} == set()
