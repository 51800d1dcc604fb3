"""The end-to-end tests in Rust on Amazon's DynamoDB Local and on moto instead of the embedded
DynamoDB. Needs Java 17 and Maven."""

import os
import subprocess
import urllib.error
import urllib.request
from contextlib import contextmanager

import pytest

from local_system import free_ports, wait_until
from template import ROOT

DYNAMODB_LOCAL = "target/stack-tests/dynamodb-local"

# Tests that fail on moto because it differs from DynamoDB, by the difference.
MOTO_SKIPS = {
    "A write that creates a row is two records in its stream": [
        "a_batch_with_little_time_left_is_handed_back",
        "a_client_that_asks_too_often_is_told_when_to_come_back",
        "a_failing_dynamodb_reports_the_failed_record_and_those_behind_it",
        "a_failing_ses_reports_the_failed_record_and_those_behind_it",
        "a_record_that_comes_after_its_link_was_used_gives_one_that_works",
        "an_account_that_changes_meanwhile_is_read_again",
        "an_address_that_ses_refuses_is_not_tried_again",
        "both_mails_are_written_down_before_they_are_sent",
        "the_same_batch_twice_leaves_links_that_work_and_no_error",
        "the_whole_journey_goes_through_the_binaries_behind_every_gateway",
        "what_is_about_the_sender_is_kept_for_later",
    ],
    "It ignores ClientRequestToken, so a transaction cannot be repeated": [
        "a_lost_answer_behind_the_retries_of_the_sdk_is_still_a_success",
        "a_lost_answer_to_the_transaction_is_still_a_success",
    ],
    "It reports that a write consumes half a unit": [
        "a_request_costs_one_write_whoever_it_is_for",
        "each_step_of_a_reset_consumes_what_the_page_about_costs_says",
    ],
    "Its transactions copy all tables, which can take longer than the SDK waits": [
        "an_import_that_was_cut_off_goes_on",
    ],
    "It undoes a failed transaction by restoring copies of all tables, which ends the streams that are being read": [
        "anything_in_any_order_is_as_the_model_says",
        "after_a_503_whose_write_was_applied_the_repeat_says_to_try_the_new_password",
        "attack_08_of_fifty_changes_with_one_token_one_succeeds_and_none_after",
        "attack_09_every_link_works_until_one_is_used_and_then_none_does",
        "two_links_used_at_once_are_one_change",
    ],
}

DYNAMODB_LOCAL_SKIPS = {
    "It reports that a transaction consumes twice the documented units": [
        "each_step_of_a_reset_consumes_what_the_page_about_costs_says",
    ],
}

BOTH_SKIP = {
    "Each case of it has its own region, in which another DynamoDB has no tables": [
        "every_call_meets_every_fault",
    ],
}


def names(skips):
    return [name for tests in skips.values() for name in tests]


@contextmanager
def server(command, port, **variables):
    """Runs a server until the block ends. Its log is in target/stack-tests."""
    log = ROOT / f"target/stack-tests/port-{port}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("w") as output:
        process = subprocess.Popen(command, cwd=ROOT, env=os.environ | variables, stdout=output, stderr=output)

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


def test_the_end_to_end_tests_pass_on_moto():
    [port] = free_ports(1)
    # Each test has its own region.
    with server(["moto_server", "--port", str(port)], port, MOTO_ALLOW_NONEXISTENT_REGION="true") as url:
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
