// The loop around a handler. Lambda's own runtime does more.
import http from "node:http";

const [host, port] = process.env.AWS_LAMBDA_RUNTIME_API.split(":");
const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });

function call(method, path, body) {
  return new Promise((resolve, reject) => {
    const headers = body === undefined ? {} : { "content-length": Buffer.byteLength(body) };
    const request = http.request({ host, port, method, path, agent, headers }, (response) => {
      const chunks = [];
      response.on("data", (chunk) => chunks.push(chunk));
      response.on("end", () => resolve([response.headers, Buffer.concat(chunks)]));
    });
    request.on("error", reject);
    request.end(body);
  });
}

export async function serve(handler) {
  const base = "/2018-06-01/runtime/invocation";
  for (;;) {
    const [headers, body] = await call("GET", `${base}/next`);
    const id = headers["lambda-runtime-aws-request-id"];
    let path = `${base}/${id}/response`, response;
    try {
      response = await handler(JSON.parse(body));
    } catch (error) {
      path = `${base}/${id}/error`;
      response = { errorMessage: String(error) };
    }
    await call("POST", path, JSON.stringify(response));
  }
}

export function worked() {
  return {
    statusCode: 200,
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ worked: true }),
  };
}
