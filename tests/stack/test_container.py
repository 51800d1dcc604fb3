"""The container command of fakecloud, container.py: functions that fail, as on Lambda, and what they leave behind."""

import io
import json
import os
import pathlib
import signal
import socket
import subprocess
import sys
import zipfile

import pytest

from fakecloud import Fakecloud
from local_system import wait_until

pytestmark = pytest.mark.fakecloud

ROLE = "arn:aws:iam::123456789012:role/function"
# A function in Python that listens on a port while it runs. It responds with the port and its variables, unless
# the event asks for a failure.
BOOTSTRAP = f"""#!{sys.executable}
import json, os, socket, sys, time, urllib.request
server = socket.create_server(("127.0.0.1", 0))
api = f"http://{{os.environ['AWS_LAMBDA_RUNTIME_API']}}/2018-06-01/runtime/invocation"
while True:
    with urllib.request.urlopen(f"{{api}}/next") as response:
        request, event = response.headers["Lambda-Runtime-Aws-Request-Id"], json.load(response)
    print("event", event, flush=True)
    if event == "exit":
        sys.exit(3)
    time.sleep(60 if event == "sleep" else 0)
    if event == "call":
        target = {{"x-amz-target": "DynamoDB_20120810.GetItem"}}
        call = urllib.request.Request(os.environ["AWS_ENDPOINT_URL"], b'{{"TableName": "users"}}', target)
        try:
            urllib.request.urlopen(call)
        except OSError:
            pass
    kind, body = "response", {{"PORT": server.getsockname()[1], **os.environ}}
    if event == "fail":
        kind, body = "error", {{"errorType": "Failure", "errorMessage": "failed"}}
    urllib.request.urlopen(f"{{api}}/{{request}}/{{kind}}", json.dumps(body).encode()).close()
"""


def create_function(cloud, name):
    """Creates a function that may run for one second."""
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as code:
        bootstrap = zipfile.ZipInfo("bootstrap")
        bootstrap.external_attr = 0o755 << 16
        code.writestr(bootstrap, BOOTSTRAP)
    cloud.client("lambda").create_function(
        FunctionName=name,
        Runtime="provided.al2023",
        Handler="bootstrap",
        Role=ROLE,
        Code={"ZipFile": archive.getvalue()},
        Timeout=1,
        MemorySize=256,
        LoggingConfig={"LogFormat": "JSON", "ApplicationLogLevel": "DEBUG"},
    )


def invoke(cloud, name, event):
    """Returns the function's response, and the error if Lambda reports one."""
    response = cloud.client("lambda").invoke(FunctionName=name, Payload=json.dumps(event))
    return json.load(response["Payload"]), response.get("FunctionError")


@pytest.fixture(scope="module")
def function(cloud):
    create_function(cloud, "tested")
    return "tested"


def containers(cloud, function):
    return list(cloud.containers.glob(f"{function}-*"))


def test_a_function_has_the_variables_of_lambda(cloud, function):
    variables, _ = invoke(cloud, function, "")
    assert variables["AWS_LAMBDA_FUNCTION_NAME"] == function
    assert variables["AWS_LAMBDA_FUNCTION_MEMORY_SIZE"] == "256"
    assert variables["AWS_LAMBDA_LOG_FORMAT"] == "JSON"
    assert variables["AWS_LAMBDA_LOG_LEVEL"] == "DEBUG"
    assert variables["AWS_REGION"] == "eu-central-1"


def test_the_caller_s_variables_do_not_reach_a_function(cloud, function):
    variables, _ = invoke(cloud, function, "")
    assert "HOME" in os.environ
    assert "HOME" not in variables


def test_an_error_of_the_function_is_its_response(cloud, function):
    response, error = invoke(cloud, function, "fail")
    assert (response["errorMessage"], bool(error)) == ("failed", True)


def test_a_function_that_takes_too_long_is_stopped_and_starts_again(cloud, function):
    response, error = invoke(cloud, function, "sleep")
    assert response["errorType"] == "Sandbox.Timedout"
    assert response["errorMessage"].endswith("Task timed out after 1.00 seconds")
    assert error
    assert invoke(cloud, function, "")[1] is None


def test_a_function_that_exits_is_reported_and_starts_again(cloud, function):
    response, error = invoke(cloud, function, "exit")
    assert response["errorType"] == "Runtime.ExitError"
    assert response["errorMessage"].endswith("exit status 3")
    assert error
    assert invoke(cloud, function, "")[1] is None


def test_calls_and_output_are_kept(cloud, function):
    invoke(cloud, function, "call")
    [container] = containers(cloud, function)
    assert '{"action": "GetItem", "body": {"TableName": "users"}}' in (container / "calls").read_text()
    assert "event call" in (container / "log").read_text()


def run_until_killed():
    """Invokes a function of an emulator, prints the ports that its processes listen on, and waits."""
    with Fakecloud() as cloud:
        create_function(cloud, "abandoned")
        variables, _ = invoke(cloud, "abandoned", "")
        [container] = containers(cloud, "abandoned")
        ports = [cloud.url.rpartition(":")[2], (container / "port").read_text(), variables["PORT"]]
        print(json.dumps([int(port) for port in ports]), flush=True)
        signal.pause()


def is_open(port):
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0


def test_nothing_survives_tests_that_are_killed():
    program = "import test_container; test_container.run_until_killed()"
    here = pathlib.Path(__file__).parent
    with subprocess.Popen([sys.executable, "-c", program], cwd=here, stdout=subprocess.PIPE, text=True) as tests:
        ports = json.loads(tests.stdout.readline())
        assert all(map(is_open, ports))
        tests.kill()
    wait_until(lambda: not any(map(is_open, ports)), "the end of the emulator and its function", seconds=20)
