"""template.yaml, as written and as SAM transforms it, and edge.yaml."""

import copy
import functools
import pathlib
import re
import subprocess

from samtranslator.translator.transform import transform
from samtranslator.yaml_helper import yaml_parse

ROOT = pathlib.Path(__file__).parents[2]
# Where the functions' code is for CloudFormation.
CODE_BUCKET = "code"
# Values of the parameters without a default.
REQUIRED = {"MailFrom": "no-reply@example.com"}


@functools.cache
def load(name="template.yaml"):
    """Returns a template. Callers must not change it."""
    return yaml_parse((ROOT / name).read_text())


def resources(kind):
    """Returns the resources of one type by their logical names."""
    return {name: one for name, one in load()["Resources"].items() if one["Type"] == kind}


def transformed(parameters, template=None):
    """Returns the CloudFormation template that SAM makes of the template, or of an older one, and the parameters."""
    template = copy.deepcopy(template or load())
    for name, resource in template["Resources"].items():
        if resource["Type"] == "AWS::Serverless::Function":
            resource["Properties"]["CodeUri"] = f"s3://{CODE_BUCKET}/{name}.zip"
    return transform(template, dict(parameters), NoManagedPolicies())


def oldest(parameters):
    """Returns the oldest template in the history from which a stack is upgraded without the steps in docs/upgrade.md,
    and its commit; None if no such template describes another stack.

    Those steps are for stacks without a pipe or with aliases. A shallow clone may have no older template."""
    git = functools.partial(subprocess.run, cwd=ROOT, capture_output=True, text=True)
    found = None
    for commit in git(["git", "log", "--format=%H", "--", "template.yaml"]).stdout.split():
        text = git(["git", "show", f"{commit}:template.yaml"]).stdout
        if "AWS::Pipes::Pipe" not in text or "AutoPublishAlias" in text:
            break
        older = yaml_parse(text)
        if configuration(older, parameters) != configuration(load(), parameters):
            found = older, commit
    return found


def configuration(template, parameters):
    """Returns the type and the properties of each resource."""
    resources = transformed(parameters, template)["Resources"]
    return {name: (resource["Type"], resource.get("Properties")) for name, resource in resources.items()}


class NoManagedPolicies:
    """Stands in for SAM's lookup of AWS's managed policies, which needs an account."""

    def load(self):
        return {}


def accepts(parameter, value):
    """Returns whether CloudFormation accepts the value, judging by the parameter's properties."""
    allowed = [str(choice) for choice in parameter.get("AllowedValues", [value])]
    fits = value in allowed and len(value) <= parameter.get("MaxLength", 4096)
    if parameter["Type"] == "Number":
        if not re.fullmatch(r"-?[0-9]+", value):
            return False
        return fits and parameter.get("MinValue", int(value)) <= int(value) <= parameter.get("MaxValue", int(value))
    return fits and re.fullmatch(parameter.get("AllowedPattern", r"[\s\S]*"), value) is not None


def evaluate(condition, values):
    """Evaluates a condition of the template."""
    [(function, arguments)] = condition.items()
    if function == "Ref":
        return values[arguments]
    arguments = [evaluate(part, values) if isinstance(part, dict) else part for part in arguments]
    return {
        "Fn::Equals": lambda: arguments[0] == arguments[1],
        "Fn::Not": lambda: not arguments[0],
        "Fn::And": lambda: all(arguments),
        "Fn::Or": lambda: any(arguments),
    }[function]()


def broken_rules(values, stack=None):
    return [
        name
        for name, rule in (stack or load())["Rules"].items()
        if evaluate(rule.get("RuleCondition", {"Fn::Equals": ["", ""]}), values)
        and not all(evaluate(assertion["Assert"], values) for assertion in rule["Assertions"])
    ]


def values_with(chosen, stack=None):
    """Returns the values of all parameters: the defaults, except for those chosen."""
    parameters = (stack or load())["Parameters"]
    defaults = {name: str(parameter.get("Default", "")) for name, parameter in parameters.items()}
    return defaults | (chosen if stack else REQUIRED | chosen)
