// The system under test, a browser, and helpers for the tests.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createRequire } from 'node:module';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { fileURLToPath } from 'node:url';
import { chromium } from 'playwright-core';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const AXE = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');

// The sample user of the local system, and passwords that it accepts and refuses.
export const ADA = 'ada@example.com';
export const GOOD_PASSWORD = 'ochre lantern tugboat sonnet';
export const WEAK_PASSWORD = 'password1234567';

/** Starts the local system in memory on free ports, with `settings` in its environment. */
export async function startSystem(settings = {}) {
  const [port, dynamodbPort, sesPort] = await freePorts(3);
  const args = ['run', '--quiet', '--', 'runserver', '--memory', '--log-level', 'warn'];
  args.push('--port', port, '--dynamodb-port', dynamodbPort, '--ses-port', sesPort);
  const env = { ...process.env, ACCOUNT_COOLDOWN_SECONDS: '0', ACCOUNT_LIMIT_PER_HOUR: '100', CLIENT_LIMIT: '1000', ...settings };
  const child = spawn('cargo', args.map(String), { cwd: ROOT, env, stdio: ['ignore', 'ignore', 'inherit'] });
  const url = `http://127.0.0.1:${port}`;
  const system = {
    url,
    forgotUrl: `${url}/core/user/forgot-password/`,
    changeUrl: `${url}/core/user/change-forgotten-password/`,
    inboxUrl: `${url}/inbox/`,
    emails: async () => (await fetch(`${url}/inbox.json`)).json(),
    /** Runs `request`, which requests an email, and returns the link and the code in the email. */
    linkAfter: async request => {
      const links = async () => (await system.emails()).filter(email => email.text.includes('token='));
      const { length } = await links();
      await request();
      const [email] = await until(async () => {
        const now = await links();
        return now.length > length && now;
      }, 'the email');
      const [link] = email.text.match(/^http\S+$/m);
      return { link, code: link.match(/token=(.{43})$/)[1] };
    },
    requestLink: () => system.linkAfter(() => fetch(system.forgotUrl, { method: 'POST', body: new URLSearchParams({ email: ADA }) })),
    /** Makes every link expire. */
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
    /** Adds a superuser with the operator's command. */
    addSuperuser: async (email, password) => {
      const args = ['run', '--quiet', '--', 'createsuperuser', '--email', email, '--password-stdin', '--dynamodb-port', dynamodbPort];
      const command = spawn('cargo', args.map(String), { cwd: ROOT, stdio: ['pipe', 'ignore', 'inherit'] });
      command.stdin.end(password);
      const [status] = await once(command, 'exit');
      if (status !== 0) throw new Error(`createsuperuser exited with ${status}`);
    },
    user: async () => (await dynamodb(dynamodbPort, 'GetItem', { TableName: 'users', Key: { email: { S: ADA } } })).Item,
    stop: async () => {
      child.kill('SIGTERM');
      await once(child, 'exit');
    },
  };
  await until(() => fetch(`${url}/inbox.json`).then(response => response.ok, () => false), 'the system', 600);
  return system;
}

export function startBrowser() {
  // For root, and for networks that block the browser's own traffic.
  const args = ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync'];
  return chromium.launch({ executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium', args });
}

/** Opens a page in a new context. Its `problems` are script and policy errors, `requests` all requests. */
export async function openPage(browser, options = {}) {
  const context = await browser.newContext({ locale: 'en-US', ...options });
  const page = await context.newPage();
  page.problems = [];
  page.requests = [];
  page.on('pageerror', error => page.problems.push(error.message));
  page.on('console', message => {
    // Many tests expect error responses. No test expects a violated policy.
    if (message.type() === 'error' && !message.text().startsWith('Failed to load resource')) page.problems.push(message.text());
  });
  page.on('request', request => page.requests.push(`${request.method()} ${request.url()}`));
  return page;
}

// An email has no landmarks, because it is shown inside the page of an email program.
const EMAIL_OPTIONS = { rules: { 'landmark-one-main': { enabled: false }, region: { enabled: false } } };

/** Returns what axe-core finds on `page`. */
export async function accessibilityProblems(page, { isEmail = false } = {}) {
  await page.evaluate(AXE);
  const { violations } = await page.evaluate(options => globalThis.axe.run(options), isEmail ? EMAIL_OPTIONS : {});
  return violations.map(({ id, nodes }) => `${id}: ${nodes.map(node => node.target).join(', ')}`);
}

/** Returns the first truthy result of `look`. Throws if there is none in time. */
export async function until(look, what, tries = 100) {
  for (let i = 0; i < tries; i++) {
    const found = await look();
    if (found) return found;
    await new Promise(resolve => setTimeout(resolve, 100));
  }
  throw new Error(`timed out waiting for ${what}`);
}

async function dynamodb(port, operation, body) {
  const headers = {
    'content-type': 'application/x-amz-json-1.0',
    'x-amz-target': `DynamoDB_20120810.${operation}`,
    'x-amz-date': '20260101T000000Z',
    authorization: 'AWS4-HMAC-SHA256 Credential=local/20260101/us-east-1/dynamodb/aws4_request, SignedHeaders=host, Signature=0',
  };
  const response = await fetch(`http://127.0.0.1:${port}/`, { method: 'POST', headers, body: JSON.stringify(body) });
  if (!response.ok) throw new Error(`${operation}: ${await response.text()}`);
  return response.json();
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
