"""Options and fixtures that several modules share."""

import os
import pathlib
import subprocess

import pytest

from template import ROOT

# No test reaches an account, whatever the caller's environment holds.
os.environ.update(
    AWS_ACCESS_KEY_ID="test",
    AWS_SECRET_ACCESS_KEY="test",
    AWS_DEFAULT_REGION="eu-central-1",
    AWS_REGION="eu-central-1",
)
# moto would look for the functions' code in S3.
os.environ["VALIDATE_LAMBDA_S3"] = "false"

# With `tests` among the packages, dependencies have the same features as under `cargo test`.
PACKAGES = ["request", "confirm", "mailer", "manage", "local", "runtime-api", "tests"]


def pytest_addoption(parser):
    parser.addoption(
        "--functions",
        type=pathlib.Path,
        default=ROOT / "target/debug",
        help="folder of the functions' binaries for test_rehearsal.py, such as .aws-sam/build",
    )


@pytest.fixture(scope="session")
def binaries():
    """Builds all binaries and returns their folder."""
    packages = [f"--package={name}" for name in PACKAGES]
    subprocess.run(["cargo", "build", "--quiet", "--bins", *packages], cwd=ROOT, check=True)
    return ROOT / "target/debug"
