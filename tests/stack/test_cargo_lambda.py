"""One reset through the functions under cargo-lambda, as docs/lambda.md describes it.

The functions' binaries are tested with every sample event in the Rust tests."""

import json
import os
import signal
import socket
import subprocess

import pytest

from local_system import RESET_PATH, LocalSystem, free_ports, token_in, wait_until
from template import ROOT

EVENTS = ROOT / "events"
PLACEHOLDER = "PASTE-THE-TOKEN-FROM-THE-MAIL-HERE-00000000"


@pytest.fixture(scope="module")
def system(binaries):
    with LocalSystem(binaries) as system:
        yield system


@pytest.fixture(scope="module")
def environment_file(system, tmp_path_factory):
    """events/local.env with the ports of the system instead of the default ones."""
    text = (EVENTS / "local.env").read_text()
    for default, port in zip((8000, 8001, 8002), system.ports, strict=True):
        assert f":{default}" in text
        text = text.replace(f":{default}", f":{port}")
    file = tmp_path_factory.mktemp("environment") / "local.env"
    file.write_text(text)
    return file


@pytest.fixture(scope="module")
def port(environment_file):
    """The port of a running `cargo lambda watch`."""
    [port] = free_ports(1)
    command = ["cargo", "lambda", "watch", "--invoke-address", "127.0.0.1", "--invoke-port", str(port)]
    command += ["--env-file", environment_file, "--ignore-changes"]
    process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.DEVNULL, start_new_session=True)
    try:
        wait_until(lambda: is_listening(port, process), "cargo lambda watch listens")
        yield port
    finally:
        # The group, because the functions are its children.
        os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def is_listening(port, process):
    assert process.poll() is None, f"cargo lambda watch ended with status {process.returncode}"
    try:
        socket.create_connection(("127.0.0.1", port), timeout=5).close()
    except OSError:
        return False
    return True


@pytest.fixture(scope="module")
def invoke(port):
    def invoke(function, *options):
        """Returns what `cargo lambda invoke` prints, as JSON."""
        command = ["cargo", "lambda", "invoke", "--invoke-address", "127.0.0.1", "--invoke-port", str(port), function]
        done = subprocess.run([*command, *options], cwd=ROOT, check=True, stdout=subprocess.PIPE, timeout=300)
        return json.loads(done.stdout)

    return invoke


@pytest.fixture(scope="module")
def email(system, invoke):
    """The email that follows a request."""
    known = system.emails()
    response = invoke("request", "--data-file", "events/request.json")
    assert (response["statusCode"], json.loads(response["body"])) == (200, {"worked": True})
    return system.wait_for_email(known)


def confirm(invoke, token):
    """Sends the sample event with a token in place of the placeholder."""
    text = (EVENTS / "confirm.json").read_text()
    assert PLACEHOLDER in text
    response = invoke("confirm", "--data-ascii", text.replace(PLACEHOLDER, token))
    return response["statusCode"], json.loads(response["body"])


def test_the_placeholder_is_an_invalid_token(invoke):
    response = invoke("confirm", "--data-file", "events/confirm.json")
    assert (response["statusCode"], json.loads(response["body"])["code"]) == (400, "invalid_token")


def assert_sets_the_password_once(system, invoke, token):
    known = system.emails()
    assert confirm(invoke, token) == (200, {"worked": True})
    # The notice.
    system.wait_for_email(known)
    status, problem = confirm(invoke, token)
    assert (status, problem["code"]) == (400, "invalid_token")


def test_the_emailed_link_sets_the_password_once(system, invoke, email):
    assert_sets_the_password_once(system, invoke, token_in(email, system.url + RESET_PATH))


def test_the_mailer_sends_the_email_of_its_sample_event(system, invoke):
    known = system.emails()
    assert invoke("mailer", "--data-file", "events/mailer.json") == {"batchItemFailures": []}
    email = system.wait_for_email(known)
    assert_sets_the_password_once(system, invoke, token_in(email, system.url + RESET_PATH))


def test_every_sample_event_is_used_by_a_rust_test():
    tests = "".join(path.read_text() for path in ROOT.glob("tests/*/**/*.rs"))
    unused = [path.name for path in EVENTS.glob("*.json") if f'"{path.name}"' not in tests]
    assert unused == []
