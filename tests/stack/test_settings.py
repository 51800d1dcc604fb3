"""The settings that the functions read, the template's parameters and docs/configuration.md agree."""

import re

import pytest

import template
from template import ROOT

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
        properties = function["Properties"]
        variables = dict(properties["Environment"]["Variables"])
        # Lambda sets this variable to the value of the property.
        variables["AWS_LAMBDA_LOG_LEVEL"] = properties["LoggingConfig"]["ApplicationLogLevel"]
        for variable, value in variables.items():
            found.setdefault(variable, {})[name.removesuffix("Function").lower()] = value
    return found


def variables_in_docs():
    """Returns the readers and the default of each variable in the table of docs/configuration.md."""
    page = (ROOT / "docs/configuration.md").read_text()
    rows = re.search(r"^\| variable \|.*\n\|[-|]+\n((?:\|.*\n)+)", page, re.MULTILINE)[1].splitlines()
    cells = ([cell.strip(" `") for cell in row.strip("|").split("|")] for row in rows)
    return {variable: (set(re.findall(r"\w+", readers)), default) for variable, readers, default, *_ in cells}


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
    method = r"\.(?:get|optional|required|number|table|attribute|with_default)\(\s*"
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
    expected = {"request", "confirm", "mailer"} if readers == {"all"} else readers
    assert IN_TEMPLATE[variable].keys() == expected


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
