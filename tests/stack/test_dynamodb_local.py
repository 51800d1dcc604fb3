"""The end-to-end tests in Rust on Amazon's DynamoDB Local instead of the embedded DynamoDB. Needs
Java 17 and Maven."""

import os
import subprocess
import urllib.error
import urllib.request
from contextlib import contextmanager

import pytest

from local_system import free_ports, wait_until
from template import ROOT

DYNAMODB_LOCAL = "target/stack-tests/dynamodb-local"

# Tests that cannot run on DynamoDB Local, by the reason.
SKIPS = {
    "It reports that a transaction consumes twice the documented units": [
        "each_step_of_a_reset_consumes_the_documented_units",
    ],
    "It needs the demo account, which only a system with its own DynamoDB has": [
        "a_killed_system_sends_waiting_emails_after_a_restart",
    ],
    "Each case of it has its own region, in which another DynamoDB has no tables": [
        "every_call_meets_every_fault",
    ],
}


SKIPPED_TESTS = [name for tests in SKIPS.values() for name in tests]


@contextmanager
def server(command, port):
    """Runs a server until the block ends. Its log is in target/stack-tests."""
    log = ROOT / f"target/stack-tests/port-{port}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("w") as output:
        process = subprocess.Popen(command, cwd=ROOT, stdout=output, stderr=output)

    def responds():
        assert process.poll() is None, f"{command[0]} has stopped; see {log}"
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=5).close()
        except urllib.error.HTTPError:
            return True
        except OSError:
            return False
        return True

    try:
        wait_until(responds, f"{command[0]} responds; see {log}")
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait()


def test_the_end_to_end_tests_pass_on_dynamodb_local():
    [port] = free_ports(1)
    command = ["mvn", "--quiet", "--batch-mode", "--file", "tests/stack/dynamodb-local.xml"]
    command += ["dependency:copy-dependencies", f"-DoutputDirectory={ROOT / DYNAMODB_LOCAL}"]
    subprocess.run(command, cwd=ROOT, check=True)
    command = ["java", f"-Djava.library.path={DYNAMODB_LOCAL}", "-cp", f"{DYNAMODB_LOCAL}/*"]
    command += ["com.amazonaws.services.dynamodbv2.local.main.ServerRunner", "-inMemory", "-port", str(port)]
    with server(command, port) as url:
        # `--skip` matches substrings, in whatever module a test is.
        skips = [f"--skip={name}" for name in SKIPPED_TESTS]
        command = ["cargo", "test", "--quiet", "--package", "tests", "--", *skips]
        subprocess.run(command, cwd=ROOT, env=os.environ | {"TEST_DYNAMODB_URL": url}, check=True)


@pytest.fixture(scope="module")
def rust_tests():
    """The names of the end-to-end tests, without their modules."""
    command = ["cargo", "test", "--quiet", "--package", "tests", "--", "--list", "--format", "terse"]
    listed = subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True).stdout
    return {line.removesuffix(": test").rsplit("::", 1)[-1] for line in listed.splitlines()}


@pytest.mark.parametrize("name", SKIPPED_TESTS)
def test_a_skipped_test_exists(rust_tests, name):
    assert name in rust_tests
