"""fakecloud, an emulator of AWS that runs stacks, and stacks of some of the template's resources in it."""

import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import urllib.request

import boto3

import template
from local_system import free_ports, wait_until
from template import ROOT

VERSION = "0.51.0"
MISSING = f"fakecloud is not installed; see CONTRIBUTING.md or run `cargo install --locked fakecloud@{VERSION}`"

CONTAINER = pathlib.Path(__file__).with_name("container.py")

# The tables, and everything between the outbox and the mailer.
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
    """A running emulator without any resources; a context manager. Its log is in target/stack-tests.

    It runs functions through container.py, whose folders are in `containers`."""

    def __enter__(self):
        binary = shutil.which("fakecloud")
        assert binary, MISSING
        [port] = free_ports(1)
        self.url = f"http://127.0.0.1:{port}"
        self.log = ROOT / f"target/stack-tests/fakecloud-{port}.log"
        self.containers = self.log.with_suffix("")
        shutil.rmtree(self.containers, ignore_errors=True)
        self.containers.mkdir(parents=True)
        # Its default address is every interface.
        address = f"127.0.0.1:{port}"
        options = ["--addr", address, "--region", os.environ["AWS_REGION"], "--iam", "strict"]
        environment = os.environ | {
            "FAKECLOUD_CONTAINER_CLI": str(CONTAINER),
            "CONTAINERS": str(self.containers),
            "NO_COLOR": "1",
        }
        with self.log.open("w") as output:
            self.process = subprocess.Popen(
                [sys.executable, CONTAINER, "run", binary, *options],
                env=environment,
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=output,
            )
        wait_until(self.responds, f"fakecloud responds; see {self.log}")
        # The first identity generates an RSA key, which takes seconds and blocks all calls to SES meanwhile.
        self.client("sesv2").create_email_identity(EmailIdentity="first.example.com")
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait()

    def responds(self):
        assert self.process.poll() is None, "fakecloud has stopped"
        try:
            return self.inspect("health")
        except OSError:
            return False

    def inspect(self, path):
        """Returns the emulator's report about itself."""
        with urllib.request.urlopen(f"{self.url}/_fakecloud/{path}", timeout=5) as response:
            return json.load(response)

    def act(self, path):
        """Makes the emulator do at once what otherwise takes time."""
        urllib.request.urlopen(f"{self.url}/_fakecloud/{path}", data=b"", timeout=5).close()

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
