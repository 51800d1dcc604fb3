"""Django's word on a hash: does it take the password, and no other?

    cargo run -- users show ada@example.com --output json | python tests/django_check.py PASSWORD
"""

import json
import sys

from django.conf import settings
from django.contrib.auth.hashers import check_password, identify_hasher

settings.configure(
    PASSWORD_HASHERS=["django.contrib.auth.hashers.Argon2PasswordHasher"],
)


def stored_hash():
    """The hash in the user's row, as the operator's command prints it."""
    return json.load(sys.stdin)["password_hash"]


def main():
    password, stored = sys.argv[1], stored_hash()
    if identify_hasher(stored).algorithm != "argon2":
        sys.exit("Django reads the hash as another algorithm's")
    if not check_password(password, stored):
        sys.exit("Django refuses the password")
    if check_password(password + " ", stored):
        sys.exit("Django takes another password")
    print("Django takes the password and no other")


if __name__ == "__main__":
    main()
