"""The recipes of docs/recipes.md for curl, Python and Django, run against the local system."""

import json
import os
import re
import subprocess
import sys
from unittest import mock

import pytest

from local_system import DEMO_ADDRESS, RESET_PATH, LocalSystem, free_ports, token_in, wait_until
from template import ROOT

OLD, NEW = "an ochre lantern on the tugboat", "Żółty sonnet of seven kettles"
# As some keyboards type it: combining accents instead of the letters in NEW.
NEW_AS_TYPED = "Z\u0307o\u0301łty sonnet of seven kettles"


def blocks(language):
    """Returns the code blocks of the page in one language."""
    page = (ROOT / "docs/recipes.md").read_text()
    return re.findall(rf"^```{language}\n(.*?)^```", page, re.DOTALL | re.MULTILINE)


FORGOT, CHANGE = blocks("sh")
PYTHON, DJANGO, DJANGO_SETTINGS = blocks("python")


@pytest.fixture(scope="module")
def ports():
    """Ports of the system, the same for all tests: boto3's clients in the recipes keep theirs."""
    return free_ports(3)


@pytest.fixture(scope="module", params=["phc", "django"])
def system(binaries, ports, request):
    """The local system that stores hashes in one format, and its DynamoDB as boto3's default."""
    endpoint = {"AWS_ENDPOINT_URL_DYNAMODB": f"http://127.0.0.1:{ports[1]}"}
    with (
        mock.patch.dict(os.environ, endpoint),
        LocalSystem(binaries, ports, PASSWORD_HASH_FORMAT=request.param) as system,
    ):
        yield system


def curl(system, recipe, **variables):
    """Returns the exit status of a curl recipe and the JSON that it prints."""
    environment = {**os.environ, "API": system.url, **variables}
    done = subprocess.run(["bash", "-euc", recipe], env=environment, stdout=subprocess.PIPE)
    return done.returncode, json.loads(done.stdout)


def emailed_tokens(system):
    """Returns the tokens in the inbox, newest first."""
    return [token_in(email, system.url + RESET_PATH) for email in system.emails() if "token=" in email["text"]]


def new_token(system):
    """Asks for an email with the recipe for curl and returns its token."""
    known = emailed_tokens(system)
    assert curl(system, FORGOT, EMAIL=DEMO_ADDRESS) == (0, {"worked": True})
    return wait_until(lambda: (now := emailed_tokens(system)) != known and now, "an email arrives", seconds=20)[0]


def reset(system, password):
    """Sets a password with the recipes for curl."""
    token = new_token(system)
    assert curl(system, CHANGE, TOKEN=token, PASSWORD=password) == (0, {"worked": True})


@pytest.fixture
def inactive(system):
    """Returns a function that deactivates the demo account until the test ends."""
    import boto3

    def set_active(is_active):
        boto3.resource("dynamodb").Table("users").update_item(
            Key={"email": DEMO_ADDRESS},
            UpdateExpression="SET is_active = :is_active",
            ExpressionAttributeValues={":is_active": is_active},
        )

    yield lambda: set_active(False)
    set_active(True)


# curl


def test_curl_prints_why_a_password_is_refused(system):
    status, problem = curl(system, CHANGE, TOKEN=new_token(system), PASSWORD="password")
    assert (status, problem["code"]) == (22, "weak_password")


def test_curl_sets_a_password_after_a_weak_one_was_refused(system):
    token = new_token(system)
    curl(system, CHANGE, TOKEN=token, PASSWORD="password")
    assert curl(system, CHANGE, TOKEN=token, PASSWORD=OLD) == (0, {"worked": True})


def test_curl_prints_that_a_token_is_used(system):
    token = new_token(system)
    curl(system, CHANGE, TOKEN=token, PASSWORD=OLD)
    status, problem = curl(system, CHANGE, TOKEN=token, PASSWORD=OLD)
    assert (status, problem["code"]) == (22, "invalid_token")


# Python


@pytest.fixture(scope="module")
def python(system):
    """The names that the recipe for Python defines."""
    names = {}
    exec(PYTHON, names)
    return names


def is_signed_in(python, session):
    """Returns whether the session is still valid, after checking that both ways to tell agree."""
    by_epoch, by_time = python["holds"](session), python["holds_by_time"](session)
    assert by_epoch == by_time
    return by_epoch


def test_python_signs_in_with_the_new_password(system, python):
    reset(system, OLD)
    session = python["sign_in"](f" {DEMO_ADDRESS.title()} ", OLD)
    assert session
    assert is_signed_in(python, session)


def test_python_refuses_another_password_or_address(system, python):
    reset(system, OLD)
    assert not python["sign_in"](DEMO_ADDRESS, OLD + " ")
    assert not python["sign_in"]("nobody@example.com", OLD)
    assert not python["sign_in"]("", OLD)


def test_python_ends_sessions_after_a_reset(system, python):
    reset(system, OLD)
    session = python["sign_in"](DEMO_ADDRESS, OLD)
    reset(system, NEW)
    assert not is_signed_in(python, session)
    assert not python["sign_in"](DEMO_ADDRESS, OLD)


def test_python_accepts_a_password_however_its_accents_are_typed(system, python):
    reset(system, NEW)
    session = python["sign_in"](DEMO_ADDRESS, NEW_AS_TYPED)
    assert session
    assert is_signed_in(python, session)


def test_python_refuses_an_inactive_user(system, python, inactive):
    reset(system, NEW)
    session = python["sign_in"](DEMO_ADDRESS, NEW)
    inactive()
    assert not python["sign_in"](DEMO_ADDRESS, NEW)
    assert not is_signed_in(python, session)


# Django


@pytest.fixture(scope="session")
def django(tmp_path_factory):
    """Sets Django up with the recipe's backend and a page that shows who is signed in."""
    folder = tmp_path_factory.mktemp("django")
    (folder / "shared_users.py").write_text(DJANGO)
    sys.path.insert(0, str(folder))
    recipe = {}
    exec(DJANGO_SETTINGS, recipe)

    import django
    from django.conf import settings
    from django.core.management import call_command
    from django.http import HttpResponse
    from django.urls import path

    class Urls:
        urlpatterns = (path("", lambda request: HttpResponse(request.user.get_username())),)

    settings.configure(
        ALLOWED_HOSTS=["testserver"],
        DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}},
        INSTALLED_APPS=["django.contrib.auth", "django.contrib.contenttypes", "django.contrib.sessions"],
        MIDDLEWARE=[
            "django.contrib.sessions.middleware.SessionMiddleware",
            "django.contrib.auth.middleware.AuthenticationMiddleware",
        ],
        ROOT_URLCONF=Urls,
        SECRET_KEY="for tests",
        **{name: value for name, value in recipe.items() if name.isupper()},
    )
    django.setup()
    call_command("migrate", verbosity=0)


@pytest.fixture
def client(django):
    from django.test import Client

    return Client()


def signed_in(client):
    """Returns the name that the page shows."""
    return client.get("/").content.decode()


def test_django_signs_in_with_the_new_password(system, client):
    reset(system, OLD)
    assert client.login(username=DEMO_ADDRESS, password=OLD)
    assert signed_in(client) == DEMO_ADDRESS


def test_django_refuses_another_password_or_address(system, client):
    reset(system, OLD)
    assert not client.login(username=DEMO_ADDRESS, password=OLD + " ")
    assert not client.login(username="nobody@example.com", password=OLD)


def test_django_ends_sessions_after_a_reset(system, client):
    reset(system, OLD)
    client.login(username=DEMO_ADDRESS, password=OLD)
    reset(system, NEW)
    assert signed_in(client) == ""
    assert not client.login(username=DEMO_ADDRESS, password=OLD)


def test_django_accepts_a_password_however_its_accents_are_typed(system, client):
    reset(system, NEW)
    assert client.login(username=DEMO_ADDRESS, password=NEW_AS_TYPED)
    assert signed_in(client) == DEMO_ADDRESS


def test_django_refuses_an_inactive_user(system, client, inactive):
    reset(system, NEW)
    client.login(username=DEMO_ADDRESS, password=NEW)
    inactive()
    assert signed_in(client) == ""
    assert not client.login(username=DEMO_ADDRESS, password=NEW)
