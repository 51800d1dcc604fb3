"""Requests a reset email in the obvious way: look the user up, store a token, send the email."""

import hashlib
import json
import secrets
import time
from urllib.parse import quote

import boto3

from runtime import serve, worked

dynamodb = boto3.client("dynamodb")
ses = boto3.client("sesv2")


def handler(event):
    email = json.loads(event["body"])["email"].strip().lower()
    user = dynamodb.get_item(TableName="users", Key={"email": {"S": email}}).get("Item")
    if user is None:
        return worked()
    token = secrets.token_urlsafe(32)
    dynamodb.put_item(
        TableName="tokens",
        Item={
            "token_digest": {"S": hashlib.sha256(token.encode()).hexdigest()},
            "email": {"S": email},
            "expires_at": {"N": str(int(time.time()) + 86400)},
        },
    )
    link = f"https://app.example.com/reset#email={quote(email)}&token={token}"
    name = user["name"]["S"]
    ses.send_email(
        FromEmailAddress="Example <no-reply@example.com>",
        Destination={"ToAddresses": [user["mail_to"]["S"]]},
        Content={
            "Simple": {
                "Subject": {"Data": "Set a new password"},
                "Body": {
                    "Text": {"Data": f"Hello {name},\n\nfollow this link: {link}\n"},
                    "Html": {"Data": f'<p>Hello {name},</p><p><a href="{link}">follow this link</a></p>'},
                },
            }
        },
    )
    return worked()


serve(handler)
