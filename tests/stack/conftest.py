"""Options and fixtures that several modules share."""

import os
import pathlib
import subprocess

import pytest

import deployed
from fakecloud import Fakecloud
from template import ROOT

# No test reaches an account, whatever the caller's environment holds.
os.environ.update(
    AWS_ACCESS_KEY_ID="test",
    AWS_SECRET_ACCESS_KEY="test",
    AWS_DEFAULT_REGION="eu-central-1",
    AWS_REGION="eu-central-1",
)

# With `tests` among the packages, dependencies have the same features as under `cargo test`.
PACKAGES = ["request", "confirm", "mailer", "manage", "local", "tests"]


def pytest_addoption(parser):
    parser.addoption(
        "--functions",
        type=pathlib.Path,
        default=ROOT / "target/debug",
        help="folder of the functions' binaries, such as .aws-sam/build",
    )


@pytest.fixture(scope="session")
def binaries():
    """Builds all binaries and returns their folder."""
    packages = [f"--package={name}" for name in PACKAGES]
    subprocess.run(["cargo", "build", "--quiet", "--bins", *packages], cwd=ROOT, check=True)
    return ROOT / "target/debug"


@pytest.fixture(scope="session")
def cloud(binaries, pytestconfig):
    """The emulator, with the functions' code in its S3."""
    with Fakecloud() as cloud:
        deployed.upload_code(cloud, deployed.function_binaries(pytestconfig.getoption("--functions")))
        yield cloud


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    """Adds the end of each log of the emulator to the report of a failed test."""
    report = yield
    cloud = item.funcargs.get("cloud") or getattr(item.funcargs.get("stack"), "cloud", None)
    if report.failed and cloud:
        for path in [cloud.log, *sorted(cloud.containers.glob("*/log"))]:
            lines = path.read_text().splitlines()[-20:]
            report.sections.append((str(path.relative_to(ROOT)), "\n".join(lines)))
    return report


def pytest_terminal_summary(terminalreporter):
    if deployed.NOTES:
        terminalreporter.section("how the stack was deployed")
        for note in deployed.NOTES.values():
            terminalreporter.line(note)
