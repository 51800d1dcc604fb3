// Requests a reset email in the obvious way: look the user up, store a token, send the email.
import { createHash, randomBytes } from "node:crypto";
import { DynamoDBClient, GetItemCommand, PutItemCommand } from "@aws-sdk/client-dynamodb";
import { SESv2Client, SendEmailCommand } from "@aws-sdk/client-sesv2";
import { serve, worked } from "./runtime.mjs";

const dynamodb = new DynamoDBClient({});
const ses = new SESv2Client({});

await serve(async (event) => {
  const email = JSON.parse(event.body).email.trim().toLowerCase();
  const key = { email: { S: email } };
  const { Item: user } = await dynamodb.send(new GetItemCommand({ TableName: "users", Key: key }));
  if (!user) return worked();
  const token = randomBytes(32).toString("base64url");
  const digest = createHash("sha256").update(token).digest("hex");
  const expires = Math.floor(Date.now() / 1000) + 86400;
  await dynamodb.send(new PutItemCommand({
    TableName: "tokens",
    Item: { token_digest: { S: digest }, email: { S: email }, expires_at: { N: String(expires) } },
  }));
  const link = `https://app.example.com/reset#email=${encodeURIComponent(email)}&token=${token}`;
  await ses.send(new SendEmailCommand({
    FromEmailAddress: "Example <no-reply@example.com>",
    Destination: { ToAddresses: [user.mail_to.S] },
    Content: {
      Simple: {
        Subject: { Data: "Set a new password" },
        Body: {
          Text: { Data: `Hello ${user.name.S},\n\nfollow this link: ${link}\n` },
          Html: { Data: `<p>Hello ${user.name.S},</p><p><a href="${link}">follow this link</a></p>` },
        },
      },
    },
  }));
  return worked();
});
