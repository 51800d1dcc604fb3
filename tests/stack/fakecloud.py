"""fakecloud, an emulator of AWS that runs pipes and redrives queues, and stacks of the template in it."""

import json
import os
import re
import shutil
import subprocess
import urllib.request

import boto3

import template
from local_system import free_ports, wait_until
from template import ROOT

VERSION = "0.51.0"
MISSING = f"fakecloud is not installed; see CONTRIBUTING.md or run `cargo install --locked fakecloud@{VERSION}`"

# The tables, and what is between the outbox and the mailer.
MAIL_RESOURCES = [
    "UsersTable",
    "TokensTable",
    "OutboxTable",
    "MailPipe",
    "MailPipeRole",
    "MailQueue",
    "MailQueuePolicy",
    "UnsentMailQueue",
    "UnsentMailQueuePolicy",
    "PipeFailuresQueue",
    "PipeFailuresQueuePolicy",
]


class Fakecloud:
    """A running emulator without any resources; a context manager. Its log is in target/stack-tests."""

    def __enter__(self):
        binary = shutil.which("fakecloud")
        assert binary, MISSING
        [port] = free_ports(1)
        self.url = f"http://127.0.0.1:{port}"
        log = ROOT / f"target/stack-tests/fakecloud-{port}.log"
        log.parent.mkdir(parents=True, exist_ok=True)
        # Its default address is every interface.
        command = [binary, "--addr", f"127.0.0.1:{port}", "--region", os.environ["AWS_REGION"]]
        with log.open("w") as output:
            self.process = subprocess.Popen(command, stdout=output, stderr=output)
        wait_until(self.responds, f"fakecloud responds; see {log}")
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait()

    def responds(self):
        assert self.process.poll() is None, "fakecloud has stopped"
        try:
            urllib.request.urlopen(f"{self.url}/_fakecloud/health", timeout=5).close()
        except OSError:
            return False
        return True

    def client(self, service):
        return boto3.client(service, endpoint_url=self.url)

    def create_stack(self, name, resources, parameters):
        """Creates a stack of some of the template's resources, as SAM transforms them. Returns its outputs."""
        formation = self.client("cloudformation")
        formation.create_stack(
            StackName=name,
            TemplateBody=json.dumps(part_of(template.transformed(parameters), resources)),
            Parameters=[{"ParameterKey": key, "ParameterValue": value} for key, value in parameters.items()],
            Capabilities=["CAPABILITY_IAM"],
        )
        formation.get_waiter("stack_create_complete").wait(StackName=name, WaiterConfig={"Delay": 1})
        [described] = formation.describe_stacks(StackName=name)["Stacks"]
        return {one["OutputKey"]: one["OutputValue"] for one in described["Outputs"]}


def part_of(stack, resources):
    """Returns the CloudFormation template with these resources and the outputs that need no other."""
    others = stack["Resources"].keys() - set(resources)
    needed = {name: set(re.findall(r"\w+", json.dumps(one["Value"]))) for name, one in stack["Outputs"].items()}
    return stack | {
        "Resources": {name: stack["Resources"][name] for name in resources},
        "Outputs": {name: one for name, one in stack["Outputs"].items() if not needed[name] & others},
    }
