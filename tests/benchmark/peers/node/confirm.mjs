// Sets a new password in the obvious way: look the token up, hash, write.
import { createHash } from "node:crypto";
import { DynamoDBClient, GetItemCommand, TransactWriteItemsCommand } from "@aws-sdk/client-dynamodb";
import argon2 from "argon2";
import { serve, worked } from "./runtime.mjs";

const dynamodb = new DynamoDBClient({});
const costs = process.env.HASH === "default" ? {} : { memoryCost: 19456, timeCost: 2, parallelism: 1 };

await serve(async (event) => {
  const { forgot_password_hash: token, new_password: password } = JSON.parse(event.body);
  const digest = createHash("sha256").update(token).digest("hex");
  const key = { token_digest: { S: digest } };
  const { Item: row } = await dynamodb.send(new GetItemCommand({ TableName: "tokens", Key: key }));
  if (!row || Number(row.expires_at.N) * 1000 < Date.now() || password.length < 15) {
    return { statusCode: 400, body: "{}" };
  }
  const hash = await argon2.hash(password, { type: argon2.argon2id, ...costs });
  await dynamodb.send(new TransactWriteItemsCommand({
    TransactItems: [
      { Delete: { TableName: "tokens", Key: key, ConditionExpression: "attribute_exists(token_digest)" } },
      {
        Update: {
          TableName: "users",
          Key: { email: row.email },
          UpdateExpression: "SET password_hash = :hash",
          ConditionExpression: "attribute_exists(email)",
          ExpressionAttributeValues: { ":hash": { S: hash } },
        },
      },
    ],
  }));
  return worked();
});
