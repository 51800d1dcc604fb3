// The system under test, a browser, and the words that the tests are written in.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createRequire } from 'node:module';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { fileURLToPath } from 'node:url';
import { chromium } from 'playwright-core';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const AXE = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');

// The account that the local system comes with, and passwords that it takes and refuses.
export const ADA = 'ada@example.com';
export const GOOD = 'ochre lantern tugboat sonnet';
export const WEAK = 'password1234567';

/** Starts the whole system in memory on free ports; `settings` are its environment. */
export async function startSystem(settings = {}) {
  const [port, dynamodbPort, sesPort] = await freePorts(3);
  const args = ['run', '--quiet', '--', 'runserver', '--memory', '--log-level', 'warn'];
  args.push('--port', port, '--dynamodb-port', dynamodbPort, '--ses-port', sesPort);
  const env = { ...process.env, ACCOUNT_COOLDOWN_SECONDS: '0', ACCOUNT_LIMIT_PER_HOUR: '100', CLIENT_LIMIT: '1000', ...settings };
  const child = spawn('cargo', args.map(String), { cwd: ROOT, env, stdio: ['ignore', 'ignore', 'inherit'] });
  const url = `http://127.0.0.1:${port}`;
  const system = {
    url,
    ask: `${url}/core/user/forgot-password/`,
    choose: `${url}/core/user/change-forgotten-password/`,
    inbox: `${url}/inbox/`,
    mails: async () => (await fetch(`${url}/inbox.json`)).json(),
    /** Does `ask`, which asks for a mail, and gives the link and the code in it. */
    linkAfter: async ask => {
      const links = async () => (await system.mails()).filter(mail => mail.text.includes('token='));
      const { length } = await links();
      await ask();
      const [mail] = await until(async () => {
        const now = await links();
        return now.length > length && now;
      }, 'the mail');
      const [link] = mail.text.match(/^http\S+$/m);
      return { link, code: link.match(/token=(.{43})$/)[1] };
    },
    newLink: () => system.linkAfter(() => fetch(system.ask, { method: 'POST', body: new URLSearchParams({ email: ADA }) })),
    /** Lets every link expire, as a day would. */
    expireLinks: async () => {
      const rows = await dynamodb(dynamodbPort, 'Scan', { TableName: 'tokens' });
      for (const { token_digest } of rows.Items) {
        await dynamodb(dynamodbPort, 'UpdateItem', {
          TableName: 'tokens',
          Key: { token_digest },
          UpdateExpression: 'SET expires_at = :then',
          ExpressionAttributeValues: { ':then': { N: '1000000000' } },
        });
      }
    },
    /** Adds a superuser, as an operator does. */
    addSuperuser: async (email, password) => {
      const args = ['run', '--quiet', '--', 'createsuperuser', '--email', email, '--password-stdin', '--dynamodb-port', dynamodbPort];
      const command = spawn('cargo', args.map(String), { cwd: ROOT, stdio: ['pipe', 'ignore', 'inherit'] });
      command.stdin.end(password);
      const [status] = await once(command, 'exit');
      if (status !== 0) throw new Error(`createsuperuser ended with ${status}`);
    },
    account: async () => (await dynamodb(dynamodbPort, 'GetItem', { TableName: 'users', Key: { email: { S: ADA } } })).Item,
    stop: async () => {
      child.kill('SIGTERM');
      await once(child, 'exit');
    },
  };
  await until(() => fetch(`${url}/inbox.json`).then(answer => answer.ok, () => false), 'the system', 600);
  return system;
}

export function startBrowser() {
  // As root, and in a closed network, where a browser's own errands would only be refused.
  const quiet = ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync'];
  return chromium.launch({ executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium', args: quiet });
}

/** A page in a context of its own, with what went wrong in it and what it asked for. */
export async function openPage(browser, options = {}) {
  const context = await browser.newContext({ locale: 'en-US', ...options });
  const page = await context.newPage();
  page.problems = [];
  page.requests = [];
  page.on('pageerror', error => page.problems.push(error.message));
  page.on('console', message => {
    // An answer that is no success is part of many stories; a policy that is violated of none.
    if (message.type() === 'error' && !message.text().startsWith('Failed to load resource')) page.problems.push(message.text());
  });
  page.on('request', request => page.requests.push(`${request.method()} ${request.url()}`));
  return page;
}

// A mail is read inside of a mail program's page, which has the landmarks.
const NOT_FOR_MAILS = { rules: { 'landmark-one-main': { enabled: false }, region: { enabled: false } } };

/** What axe-core finds on `page`, by the rules of WCAG 2.2 AA and its best practices. */
export async function accessibilityProblems(page, { isMail = false } = {}) {
  await page.evaluate(AXE);
  const { violations } = await page.evaluate(options => globalThis.axe.run(options), isMail ? NOT_FOR_MAILS : {});
  return violations.map(({ id, nodes }) => `${id}: ${nodes.map(node => node.target).join(', ')}`);
}

export async function until(look, what, tries = 100) {
  for (let i = 0; i < tries; i++) {
    const found = await look();
    if (found) return found;
    await new Promise(resolve => setTimeout(resolve, 100));
  }
  throw new Error(`${what} did not come`);
}

async function dynamodb(port, operation, body) {
  const headers = {
    'content-type': 'application/x-amz-json-1.0',
    'x-amz-target': `DynamoDB_20120810.${operation}`,
    'x-amz-date': '20260101T000000Z',
    authorization: 'AWS4-HMAC-SHA256 Credential=local/20260101/us-east-1/dynamodb/aws4_request, SignedHeaders=host, Signature=0',
  };
  const answer = await fetch(`http://127.0.0.1:${port}/`, { method: 'POST', headers, body: JSON.stringify(body) });
  if (!answer.ok) throw new Error(`${operation}: ${await answer.text()}`);
  return answer.json();
}

async function freePorts(count) {
  const servers = await Promise.all(Array.from({ length: count }, async () => {
    const server = createServer().listen(0, '127.0.0.1');
    await once(server, 'listening');
    return server;
  }));
  const ports = servers.map(server => server.address().port);
  await Promise.all(servers.map(server => new Promise(resolve => server.close(resolve))));
  return ports;
}
