"""The local system, as `cargo run -- runserver --memory` starts it."""

import json
import os
import re
import socket
import subprocess
import time
import urllib.request
from contextlib import ExitStack

from template import ROOT

DEMO_ADDRESS = "ada@example.com"
RESET_PATH = "/core/user/change-forgotten-password/"


def free_ports(count):
    """Returns ports of 127.0.0.1 that nothing listens on."""
    with ExitStack() as open_sockets:
        sockets = [open_sockets.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


def wait_until(condition, what, seconds=60):
    """Waits for a condition and returns its value."""
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < deadline, f"{what}: not within {seconds} seconds"
        time.sleep(0.1)
    return value


class LocalSystem:
    """A running local system; a context manager. Its log is in target/stack-tests."""

    def __init__(self, binaries, ports=None, **settings):
        self.ports = ports or free_ports(3)
        self.url, self.dynamodb_url, self.ses_url = (f"http://127.0.0.1:{port}" for port in self.ports)
        options = zip(["--port", "--dynamodb-port", "--ses-port"], map(str, self.ports), strict=True)
        self.command = [binaries / "local", "runserver", "--memory", *(word for pair in options for word in pair)]
        # Without an endpoint the system starts its own DynamoDB. Emails may follow each other at once.
        self.environment = {
            **os.environ,
            "AWS_ENDPOINT_URL_DYNAMODB": "",
            "ACCOUNT_COOLDOWN_SECONDS": "0",
            "ACCOUNT_LIMIT_PER_HOUR": "100",
            **settings,
        }

    def __enter__(self):
        log = ROOT / f"target/stack-tests/local-system-{self.ports[0]}.log"
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("w") as output:
            self.process = subprocess.Popen(self.command, env=self.environment, stdout=output, stderr=output)

        def is_ready():
            assert self.process.poll() is None, f"the local system has stopped; see {log}"
            # Printed last. The API responds a little earlier, before the demo account exists.
            return "Press Ctrl-C to stop." in log.read_text()

        wait_until(is_ready, f"the local system is ready; see {log}")
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait()

    def emails(self):
        """Returns the emails in the inbox, newest first."""
        with urllib.request.urlopen(f"{self.url}/inbox.json", timeout=5) as response:
            return json.load(response)

    def wait_for_email(self, known):
        """Waits for the one email to the demo account that follows `known`, and returns it."""
        emails = wait_until(lambda: (now := self.emails()) != known and now, "an email arrives", seconds=20)
        assert len(emails) == len(known) + 1
        assert emails[0]["to"] == [DEMO_ADDRESS]
        return emails[0]


def token_in(email, url):
    """Returns the token of the link to `url` in an email."""
    link = re.escape(url) + r"#email=[^&\s]+&token=([A-Za-z0-9_-]{43})(?![A-Za-z0-9_-])"
    found = re.search(link, email["text"])
    assert found, f"no link to {url} in {email['subject']!r}"
    return found[1]
