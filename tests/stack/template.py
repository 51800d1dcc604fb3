"""template.yaml, as written and as SAM transforms it."""

import copy
import functools
import pathlib

from samtranslator.translator.transform import transform
from samtranslator.yaml_helper import yaml_parse

ROOT = pathlib.Path(__file__).parents[2]


@functools.cache
def load():
    """Returns the template. Callers must not change it."""
    return yaml_parse((ROOT / "template.yaml").read_text())


def resources(kind):
    """Returns the resources of one type by their logical names."""
    return {name: one for name, one in load()["Resources"].items() if one["Type"] == kind}


def transformed(parameters):
    """Returns the CloudFormation template that SAM makes of the template and the parameters."""
    template = copy.deepcopy(load())
    for resource in template["Resources"].values():
        if resource["Type"] == "AWS::Serverless::Function":
            resource["Properties"]["CodeUri"] = "s3://bucket/code.zip"
    return transform(template, dict(parameters), NoManagedPolicies())


class NoManagedPolicies:
    """Stands in for SAM's lookup of AWS's managed policies, which needs an account."""

    def load(self):
        return {}
