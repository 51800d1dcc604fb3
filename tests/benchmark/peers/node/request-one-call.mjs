// Requests a reset email as this project does: one conditional write.
import { DynamoDBClient, UpdateItemCommand } from "@aws-sdk/client-dynamodb";
import { serve, worked } from "./runtime.mjs";

const dynamodb = new DynamoDBClient({});

await serve(async (event) => {
  const email = JSON.parse(event.body).email.trim().toLowerCase();
  const now = Date.now();
  const window = Math.floor(now / 600000) * 600;
  const client = event.requestContext.http.sourceIp;
  await dynamodb.send(new UpdateItemCommand({
    TableName: "outbox",
    Key: { id: { S: `request#${client}#${window}` } },
    ConditionExpression: "attribute_not_exists(id) OR #count < :limit",
    UpdateExpression:
      "ADD #count :one SET email = :email, #kind = :kind, #at = :at, expires_at = :expires_at",
    ExpressionAttributeNames: { "#count": "count", "#kind": "kind", "#at": "at" },
    ExpressionAttributeValues: {
      ":one": { N: "1" },
      ":limit": { N: "20" },
      ":email": { S: email },
      ":kind": { S: "reset_requested" },
      ":at": { N: String(now) },
      ":expires_at": { N: String(window + 600 + 86400) },
    },
  }));
  return worked();
});
