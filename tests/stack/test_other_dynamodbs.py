"""The end-to-end tests in Rust on Amazon's DynamoDB Local and on moto instead of the embedded
DynamoDB. Needs Java 17 and Maven."""

import os
import subprocess
import threading
import urllib.error
import urllib.request
from contextlib import contextmanager

import pytest
from moto.server import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import make_server

from local_system import free_ports, wait_until
from template import ROOT

DYNAMODB_LOCAL = "target/stack-tests/dynamodb-local"

# Tests that fail on moto because it differs from DynamoDB, by the difference.
MOTO_SKIPS = {
    "It refuses a row just below DynamoDB's limit of 400 KB as too large": [
        "a_row_that_takes_no_update_holds_up_nobody",
        "a_row_that_takes_no_update_returns_only_its_own_message",
        "lambda_gets_only_the_message_that_failed",
    ],
    "It handles one call after the other, and this test makes 8,000": [
        "of_1000_messages_only_the_failing_ones_are_not_sent",
    ],
    "It ignores ClientRequestToken, so a transaction cannot be repeated": [
        "a_lost_response_is_still_a_success_after_the_sdk_gives_up",
        "a_lost_response_to_the_transaction_is_still_a_success",
    ],
    "It reports that a write consumes half a unit": [
        "a_request_costs_one_write_for_every_address",
        "each_step_of_a_reset_consumes_the_documented_units",
    ],
    "Its transactions copy all tables, which can take longer than the SDK waits": [
        "an_interrupted_import_can_be_continued",
    ],
    "It undoes a failed transaction by restoring copies of all tables, which ends the streams that are being read": [
        "a_repeat_after_an_applied_503_says_to_try_the_new_password",
        "attack_08_one_of_fifty_concurrent_changes_with_one_token_succeeds",
        "attack_09_the_first_change_invalidates_every_link",
        "two_links_used_at_once_make_one_change",
    ],
}

DYNAMODB_LOCAL_SKIPS = {
    "It reports that a transaction consumes twice the documented units": [
        "each_step_of_a_reset_consumes_the_documented_units",
    ],
}

BOTH_SKIP = {
    "It needs the demo account, which only a system with its own DynamoDB has": [
        "a_killed_system_sends_waiting_emails_after_a_restart",
    ],
    "Each case of it has its own region, in which another DynamoDB has no tables": [
        "every_call_meets_every_fault",
    ],
}


def names(skips):
    return [name for tests in skips.values() for name in tests]


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


def run_end_to_end_tests(url, skips):
    # `--skip` matches substrings, in whatever module a test is.
    options = [f"--skip={name}" for name in names(BOTH_SKIP) + names(skips)]
    command = ["cargo", "test", "--quiet", "--package", "tests", "--", *options]
    subprocess.run(command, cwd=ROOT, env=os.environ | {"TEST_DYNAMODB_URL": url}, check=True)


def test_the_end_to_end_tests_pass_on_dynamodb_local():
    [port] = free_ports(1)
    command = ["mvn", "--quiet", "--batch-mode", "--file", "tests/stack/dynamodb-local.xml"]
    command += ["dependency:copy-dependencies", f"-DoutputDirectory={ROOT / DYNAMODB_LOCAL}"]
    subprocess.run(command, cwd=ROOT, check=True)
    command = ["java", f"-Djava.library.path={DYNAMODB_LOCAL}", "-cp", f"{DYNAMODB_LOCAL}/*"]
    command += ["com.amazonaws.services.dynamodbv2.local.main.ServerRunner", "-inMemory", "-port", str(port)]
    with server(command, port) as url:
        run_end_to_end_tests(url, DYNAMODB_LOCAL_SKIPS)


@contextmanager
def moto_server():
    """Runs moto until the block ends. It handles one request at a time, because its writes are not atomic."""
    moto, lock = DomainDispatcherApplication(create_backend_app), threading.Lock()

    def one_at_a_time(*request):
        with lock:
            return moto(*request)

    # Threads read the requests: an idle connection must not hold up the others.
    server = make_server("127.0.0.1", 0, one_at_a_time, threaded=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.port}"
    server.shutdown()


def test_the_end_to_end_tests_pass_on_moto(monkeypatch):
    # Each test has its own region.
    monkeypatch.setenv("MOTO_ALLOW_NONEXISTENT_REGION", "true")
    with moto_server() as url:
        run_end_to_end_tests(url, MOTO_SKIPS)


@pytest.fixture(scope="module")
def rust_tests():
    """The names of the end-to-end tests, without their modules."""
    command = ["cargo", "test", "--quiet", "--package", "tests", "--", "--list", "--format", "terse"]
    listed = subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True).stdout
    return {line.removesuffix(": test").rsplit("::", 1)[-1] for line in listed.splitlines()}


@pytest.mark.parametrize("name", sorted({*names(MOTO_SKIPS), *names(DYNAMODB_LOCAL_SKIPS), *names(BOTH_SKIP)}))
def test_a_skipped_test_exists(rust_tests, name):
    assert name in rust_tests
