"""Sets a new password in the obvious way: look the token up, hash, write."""

import hashlib
import json
import os
import time

import boto3
from argon2 import PasswordHasher

from runtime import serve, worked

dynamodb = boto3.client("dynamodb")
if os.environ.get("HASH") == "default":
    hasher = PasswordHasher()
else:
    hasher = PasswordHasher(time_cost=2, memory_cost=19456, parallelism=1)


def handler(event):
    body = json.loads(event["body"])
    token, password = body["forgot_password_hash"], body["new_password"]
    key = {"token_digest": {"S": hashlib.sha256(token.encode()).hexdigest()}}
    row = dynamodb.get_item(TableName="tokens", Key=key).get("Item")
    if row is None or int(row["expires_at"]["N"]) < time.time() or len(password) < 15:
        return {"statusCode": 400, "body": "{}"}
    dynamodb.transact_write_items(
        TransactItems=[
            {
                "Delete": {
                    "TableName": "tokens",
                    "Key": key,
                    "ConditionExpression": "attribute_exists(token_digest)",
                }
            },
            {
                "Update": {
                    "TableName": "users",
                    "Key": {"email": row["email"]},
                    "UpdateExpression": "SET password_hash = :hash",
                    "ConditionExpression": "attribute_exists(email)",
                    "ExpressionAttributeValues": {":hash": {"S": hasher.hash(password)}},
                }
            },
        ]
    )
    return worked()


serve(handler)
