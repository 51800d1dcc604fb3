"""The stack of template.yaml, created in moto's CloudFormation."""

import ast
import json
import re

import boto3
from moto.cloudformation import parsing

import template

# Resources that moto knows but fails to create, and why.
MOTO_FAILS = {
    "AWS::Lambda::EventSourceMapping": "moto would start containers; the rehearsal reads the queue itself",
    "AWS::SNS::Topic": "moto fails on a subscription that a condition removes",
}


def as_list(one_or_many):
    return one_or_many if isinstance(one_or_many, list) else [one_or_many]


def without_unsupported_resources(stack):
    """Returns the CloudFormation template without the resources that moto cannot create.

    References to them become references to a stand-in."""
    stand_ins = {
        name: name.lower()
        for name, resource in stack["Resources"].items()
        if resource["Type"] in MOTO_FAILS or resource["Type"] not in parsing.get_model_map()
    }
    resources = {name: one for name, one in stack["Resources"].items() if name not in stand_ins}
    for resource in resources.values():
        depends = [name for name in as_list(resource.pop("DependsOn", [])) if name not in stand_ins]
        if depends:
            resource["DependsOn"] = depends
    return replace_references(stack | {"Resources": resources}, stand_ins)


def of_type(stack, kind):
    return {name: one for name, one in stack["Resources"].items() if one["Type"] == kind}


def replace_references(node, stand_ins):
    if isinstance(node, list):
        return [replace_references(one, stand_ins) for one in node]
    if isinstance(node, str):
        return re.sub(r"\$\{(\w+)(?:\.\w+)?\}", lambda found: stand_ins.get(found[1], found[0]), node)
    if not isinstance(node, dict):
        return node
    name = node.get("Ref") or (node.get("Fn::GetAtt") or [None])[0]
    if name in stand_ins and len(node) == 1:
        return stand_ins[name]
    return {key: replace_references(value, stand_ins) for key, value in node.items()}


class Stack:
    """The stack in the moto server at `url`."""

    def __init__(self, url, parameters):
        self.url = url
        stack = template.transformed(parameters)
        self.routes = list(routes(stack))
        self.pipe, self.mapping = (stack["Resources"][name]["Properties"] for name in ("MailPipe", "MailQueueMapping"))
        self.template = without_unsupported_resources(stack)
        formation = self.client("cloudformation")
        formation.create_stack(
            StackName="rehearsal",
            TemplateBody=json.dumps(self.template),
            Parameters=[{"ParameterKey": name, "ParameterValue": value} for name, value in parameters.items()],
            Capabilities=["CAPABILITY_IAM"],
        )
        self.status = formation.describe_stacks(StackName="rehearsal")["Stacks"][0]["StackStatus"]
        listed = formation.list_stack_resources(StackName="rehearsal")["StackResourceSummaries"]
        self.names = {one["LogicalResourceId"]: one["PhysicalResourceId"] for one in listed}

    def client(self, service):
        return boto3.client(service, endpoint_url=self.url)

    def environment(self, function):
        """Returns the variables that the stack sets for a function."""
        declared = self.client("lambda").get_function_configuration(FunctionName=self.names[function])
        variables = declared.get("Environment", {}).get("Variables", {})
        return {name: str(value) for name, value in variables.items()}

    def piped_table(self):
        """Returns the description of the table whose stream the pipe reads."""
        table, _ = self.pipe["Source"]["Fn::GetAtt"]
        return self.client("dynamodb").describe_table(TableName=self.names[table])["Table"]

    def rule(self):
        """Returns the event pattern of the stack's EventBridge rule."""
        [name] = of_type(self.template, "AWS::Events::Rule")
        return json.loads(self.client("events").describe_rule(Name=self.names[name])["EventPattern"])

    def grants(self, function):
        """Returns the actions that the function's role allows, each with its resource."""
        iam, role = self.client("iam"), self.names[f"{function}Role"]
        granted = set()
        for name in iam.list_role_policies(RoleName=role)["PolicyNames"]:
            document = iam.get_role_policy(RoleName=role, PolicyName=name)["PolicyDocument"]
            document = ast.literal_eval(document) if isinstance(document, str) else document
            for statement in filter(None, document["Statement"]):
                for action in as_list(statement["Action"]):
                    granted |= {(action, one) for one in as_list(statement["Resource"]) if one}
        # moto does not have AWS's managed policies, so they are read from the template.
        managed = json.dumps(self.template["Resources"][f"{function}Role"]["Properties"].get("ManagedPolicyArns", []))
        return granted | {(one, "*") for one in re.findall(r"policy/[\w/-]+", managed)}


def routes(stack):
    """Yields the API's routes: path, method and the function's logical name."""
    for path, methods in stack["Resources"]["Api"]["Properties"]["Body"]["paths"].items():
        for method, operation in methods.items():
            uri = json.dumps(operation["x-amazon-apigateway-integration"]["uri"])
            method = "ANY" if method == "x-amazon-apigateway-any-method" else method.upper()
            yield path, method, re.search(r"\b(\w+Function)", uri)[1]
