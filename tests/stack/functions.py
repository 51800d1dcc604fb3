"""The functions' binaries under the Lambda emulator, with a recorder between each and moto."""

import http.client
import http.server
import json
import os
import re
import subprocess
import threading
import urllib.request

# Variables of this process that the functions get too.
CREDENTIALS = {"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_REGION"}


class Recorder(http.server.BaseHTTPRequestHandler):
    """Forwards a function's calls to moto and keeps them in `calls`."""

    protocol_version = "HTTP/1.1"

    @classmethod
    def start(cls, **state):
        """Starts a server with the given class attributes and returns its URL."""
        handler = type(cls.__name__, (cls,), state)
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        return f"http://127.0.0.1:{server.server_port}"

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        action = self.headers.get("x-amz-target", "").split(".")[-1] or self.path
        self.record(action, body)
        self.respond(*self.response_to(action, body))

    def record(self, action, body):
        self.calls.append((action, json.loads(body)))

    def response_to(self, action, body):
        """Returns moto's status, headers and body."""
        moto = http.client.HTTPConnection(self.moto.removeprefix("http://"))
        moto.request("POST", self.path, body, dict(self.headers))
        response = moto.getresponse()
        names = ("content-type", "x-amzn-errortype")
        headers = {name: value for name in names if (value := response.getheader(name))}
        return response.status, headers, response.read()

    def respond(self, status, headers, body):
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        """Logs nothing."""


def deliver_batch(sqs, queue, mailer, size=10):
    """Does what Lambda does with a queue: hands one batch to the mailer and deletes what did not fail.

    Returns the messages of the batch, and those of them that failed."""
    received = sqs.receive_message(QueueUrl=queue, MaxNumberOfMessages=size, AttributeNames=["All"])
    messages = received.get("Messages", [])
    if not messages:
        return [], []
    arn = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    response = mailer.invoke({"Records": [sqs_record(message, arn) for message in messages]})
    failed_ids = {failure["itemIdentifier"] for failure in response["batchItemFailures"]}
    assert failed_ids <= {message["MessageId"] for message in messages}
    for message in messages:
        if message["MessageId"] not in failed_ids:
            sqs.delete_message(QueueUrl=queue, ReceiptHandle=message["ReceiptHandle"])
    return messages, [message for message in messages if message["MessageId"] in failed_ids]


def sqs_record(message, queue_arn):
    """Returns a message as it is in Lambda's event."""
    return {
        "messageId": message["MessageId"],
        "receiptHandle": message["ReceiptHandle"],
        "body": message["Body"],
        "attributes": message["Attributes"],
        "messageAttributes": {},
        "md5OfBody": message["MD5OfBody"],
        "eventSource": "aws:sqs",
        "eventSourceARN": queue_arn,
        "awsRegion": queue_arn.split(":")[3],
    }


class Function:
    """One function's binary under the Lambda emulator; a context manager."""

    def __init__(self, name, emulator, binary, environment, moto):
        self.name, self.calls = name, []
        self.command = [emulator, binary]
        self.environment = {
            **environment,
            **{name: value for name, value in os.environ.items() if name in CREDENTIALS},
            "AWS_ENDPOINT_URL": Recorder.start(moto=moto, calls=self.calls),
            "AWS_LAMBDA_FUNCTION_NAME": name,
            "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "256",
            "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
        }

    def __enter__(self):
        self.process = subprocess.Popen(
            self.command, env=self.environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        line = self.process.stdout.readline()
        url = re.fullmatch(r"listening on (http://\S+)\n", line)
        assert url, f"{self.name} does not start: {line}"
        self.url = f"{url[1]}/2015-03-31/functions/function/invocations"
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait()

    def invoke(self, event):
        """Returns the function's response."""
        request = urllib.request.Request(self.url, json.dumps(event).encode(), method="POST")
        with urllib.request.urlopen(request, timeout=30) as response:
            body = response.read()
            assert "X-Amz-Function-Error" not in response.headers, f"{self.name} failed: {body.decode()}"
        return json.loads(body)
