"""The local system against docs/openapi.json, with generated requests."""

import subprocess

import pytest

from local_system import LocalSystem
from template import ROOT


@pytest.fixture(scope="module")
def system(binaries):
    with LocalSystem(binaries, CLIENT_LIMIT="1000000") as system:
        yield system


@pytest.mark.parametrize(
    "options",
    [
        pytest.param([], id="JSON"),
        # The same forms from a browser, whose responses are pages.
        pytest.param(["--header", "Accept: text/html", "--include-method", "POST", "--max-examples", "20"], id="pages"),
    ],
)
def test_the_api_is_as_described(system, options):
    command = ["schemathesis", "--config-file", "tests/stack/schemathesis.toml"]
    command += ["run", f"{system.url}/openapi.json", "--url", system.url, "--phases", "examples,coverage,fuzzing"]
    command += ["--max-examples", "60", "--seed", "1", "--max-failures", "20", "--request-timeout", "10"]
    subprocess.run([*command, *options], cwd=ROOT, check=True)
