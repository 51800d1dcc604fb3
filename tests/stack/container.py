#!/usr/bin/env python3
"""A container command for fakecloud: runs a Lambda function as a process, without containers.

fakecloud calls it as it would call `docker`. A container is a folder in $CONTAINERS with the function's code and a
process that starts the code's `bootstrap` behind Lambda's runtime API. Everything listens on 127.0.0.1 only. The folder
keeps the function's log in `log`, its calls to AWS in `calls`, one JSON object per line, and its variables.

`container.py run COMMAND…` runs the emulator until its own standard input ends, so everything stops with the tests,
even if they are killed."""

import json
import os
import pathlib
import sys

INIT_SECONDS = 10
# File descriptor of a pipe that closes when `run` ends.
LIFELINE = "CONTAINER_LIFELINE"
# Headers that an HTTP server sets itself.
CONNECTION_HEADERS = {"connection", "content-length", "date", "server", "transfer-encoding"}
VALUE_OPTIONS = {"-p", "--label", "--add-host", "--tmpfs"}


def folder(container):
    return pathlib.Path(os.environ["CONTAINERS"]) / container


# Commands of the emulator


def create(arguments):
    """Prepares a container from the options of `docker create`. Its name starts with the function's."""
    import secrets

    environment = {}
    words = iter(arguments)
    for word in words:
        if word == "-e":
            name, is_set, value = next(words).partition("=")
            environment[name] = value if is_set else os.environ[name]
        elif word in VALUE_OPTIONS:
            next(words)
    container = f"{environment['AWS_LAMBDA_FUNCTION_NAME']}-{secrets.token_hex(4)}"
    (folder(container) / "task").mkdir(parents=True)
    (folder(container) / "environment.json").write_text(json.dumps(environment))
    print(container)


def copy(arguments):
    """Copies the code into a container."""
    import shutil

    source, target = arguments
    container, path = target.split(":")
    if path == "/var/task":
        shutil.copytree(source, folder(container) / "task", dirs_exist_ok=True)


def start(arguments):
    """Starts the process of a container and returns when it listens."""
    import subprocess

    [container] = arguments
    with (folder(container) / "log").open("a") as log:
        process = subprocess.Popen(
            [sys.executable, __file__, "serve", container],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            start_new_session=True,
            pass_fds=[int(os.environ[LIFELINE])],
        )
    (folder(container) / "pid").write_text(str(process.pid))
    (folder(container) / "port").write_text(process.stdout.readline())
    print(container)


def port(arguments):
    print(f"127.0.0.1:{(folder(arguments[0]) / 'port').read_text()}")


def logs(arguments):
    print((folder(arguments[-1]) / "log").read_text(), end="")


def remove(arguments):
    """Stops a container with all its processes and deletes the code. The log and the calls stay."""
    import contextlib
    import shutil
    import signal

    path = folder(arguments[-1])
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        os.killpg(int((path / "pid").read_text()), signal.SIGKILL)
    shutil.rmtree(path / "task", ignore_errors=True)


def ignore(_):
    """Does nothing: there is no image to pull, and nothing that another emulator left behind."""


# The process of a container


def serve(arguments):
    """Runs the function and forwards invocations to it, one at a time."""
    import threading

    [container] = arguments
    die_with_run()
    path = folder(container)
    environment = function_environment(path)
    (path / "environment.json").write_text(json.dumps(environment))
    timeout_seconds = int(environment["AWS_LAMBDA_FUNCTION_TIMEOUT"])
    one_at_a_time = threading.Lock()
    instance = Instance(path / "task", environment, timeout_seconds)

    def invoke(handler):
        nonlocal instance
        event = handler.read_body()
        with one_at_a_time:
            if instance.has_ended():
                instance = Instance(path / "task", environment, timeout_seconds)
            handler.respond(200, instance.invoke(event))

    server = http_server(do_POST=invoke)
    print(server.server_port, flush=True)
    server.serve_forever()


def die_with_run():
    """Kills this process and the function when `run` ends."""
    import signal
    import threading

    def wait():
        os.read(int(os.environ[LIFELINE]), 1)
        os.killpg(0, signal.SIGKILL)

    threading.Thread(target=wait, daemon=True).start()


def function_environment(path):
    """Returns the variables of the function's process, including those that Lambda sets and the emulator does not."""
    environment = json.loads((path / "environment.json").read_text())
    emulator = f"127.0.0.1:{environment['AWS_ENDPOINT_URL'].rpartition(':')[2]}"
    logging = function_configuration(emulator, environment)["LoggingConfig"]
    return environment | {
        "AWS_ENDPOINT_URL": record_calls(emulator, path / "calls"),
        "AWS_LAMBDA_LOG_FORMAT": logging["LogFormat"],
        "AWS_LAMBDA_LOG_LEVEL": logging["ApplicationLogLevel"],
        "LAMBDA_TASK_ROOT": str(path / "task"),
        "PATH": "/usr/local/bin:/usr/bin:/bin",
        "TZ": ":UTC",
    }


def function_configuration(emulator, environment):
    # The emulator checks no signature. Its user `test` may do everything.
    scope = f"test/20260101/{environment['AWS_REGION']}/lambda/aws4_request"
    headers = {"authorization": f"AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders=host, Signature=0"}
    path = f"/2015-03-31/functions/{environment['AWS_LAMBDA_FUNCTION_NAME']}/configuration"
    status, _, body = forward(emulator, "GET", path, None, headers)
    assert status == 200, body
    return json.loads(body)


def record_calls(emulator, path):
    """Starts a proxy between the function and the emulator; returns its URL. `path` lists the calls."""

    def handle(handler):
        body = handler.read_body()
        action = handler.headers.get("x-amz-target", "").rpartition(".")[2] or f"{handler.command} {handler.path}"
        with path.open("a") as calls:
            calls.write(json.dumps({"action": action, "body": json.loads(body or "null")}) + "\n")
        status, headers, response = forward(emulator, handler.command, handler.path, body, dict(handler.headers))
        handler.respond(status, response, headers)

    methods = {f"do_{method}": handle for method in ("GET", "POST", "PUT", "DELETE")}
    return f"http://127.0.0.1:{serve_in_background(**methods)}"


def forward(host, method, path, body, headers):
    """Returns the status, the headers and the body of a response."""
    import http.client

    connection = http.client.HTTPConnection(host, timeout=60)
    connection.request(method, path, body, headers)
    response = connection.getresponse()
    body = response.read()
    connection.close()
    headers = {name.lower(): value for name, value in response.getheaders()}
    return response.status, {name: value for name, value in headers.items() if name not in CONNECTION_HEADERS}, body


class Instance:
    """A running function and its runtime API."""

    def __init__(self, task, environment, timeout_seconds):
        import queue
        import subprocess
        import threading

        self.timeout_seconds = timeout_seconds
        self.events, self.results, self.is_ready = queue.Queue(), queue.Queue(), threading.Event()
        api = serve_in_background(do_GET=self.next, do_POST=self.take_result)
        self.process = subprocess.Popen(
            [task / "bootstrap"],
            cwd=task,
            env=environment | {"AWS_LAMBDA_RUNTIME_API": f"127.0.0.1:{api}"},
            stdin=subprocess.DEVNULL,
            # Standard error is the log.
            stdout=sys.stderr,
        )

    def has_ended(self):
        return self.process.poll() is not None

    def next(self, handler):
        """Responds to the function's request for the next event."""
        import time

        self.is_ready.set()
        request, event = self.events.get()
        deadline = int((time.time() + self.timeout_seconds) * 1000)
        headers = {
            "content-type": "application/json",
            "Lambda-Runtime-Aws-Request-Id": request,
            "Lambda-Runtime-Deadline-Ms": str(deadline),
            "Lambda-Runtime-Invoked-Function-Arn": "arn:aws:lambda:eu-central-1:123456789012:function:function",
        }
        handler.respond(200, event, headers)

    def take_result(self, handler):
        """Stores the response or error of an invocation. An error at the start ends the process, so it is ignored."""
        body = handler.read_body()
        if not handler.path.endswith("/init/error"):
            self.results.put(body)
        handler.respond(202, b"")

    def invoke(self, event):
        """Returns the function's response, or the error that Lambda reports in its place."""
        import time
        import uuid

        request = str(uuid.uuid4())
        self.wait(self.is_ready.wait, time.monotonic() + INIT_SECONDS)
        self.events.put((request, event))
        result = self.wait(self.result, time.monotonic() + self.timeout_seconds)
        if result is not None:
            return result
        if self.has_ended():
            error = f"RequestId: {request} Error: Runtime exited with error: exit status {self.process.returncode}"
            return self.failure("Runtime.ExitError", error)
        self.process.kill()
        self.process.wait()
        error = f"RequestId: {request} Error: Task timed out after {self.timeout_seconds:.2f} seconds"
        return self.failure("Sandbox.Timedout", error)

    def failure(self, kind, message):
        print(message, file=sys.stderr, flush=True)
        return json.dumps({"errorType": kind, "errorMessage": message}).encode()

    def result(self, timeout):
        import queue

        try:
            return self.results.get(timeout=timeout)
        except queue.Empty:
            return None

    def wait(self, poll, deadline):
        """Polls until there is a value, the process has ended, or the deadline has passed."""
        import time

        while True:
            has_ended = self.has_ended()
            value = poll(0.05)
            if value or has_ended or time.monotonic() >= deadline:
                return value


# HTTP


def serve_in_background(**methods):
    """Starts an HTTP server with functions such as `do_GET`; returns its port."""
    import threading

    server = http_server(**methods)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server.server_port


def http_server(**methods):
    import http.server

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def read_body(self):
            if self.headers.get("transfer-encoding") != "chunked":
                return self.rfile.read(int(self.headers.get("content-length", 0)))
            body = b""
            while size := int(self.rfile.readline(), 16):
                body += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
            return body

        def respond(self, status, body, headers=None):
            self.send_response(status)
            for name, value in (headers or {}).items():
                self.send_header(name, value)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            """Logs nothing."""

    for name, function in methods.items():
        setattr(Handler, name, lambda handler, function=function: function(handler))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    return server


# The emulator


def run(arguments):
    """Runs the emulator until standard input ends or this process is terminated. Its containers end with it."""
    import signal
    import subprocess
    import threading

    # Nothing is written to the pipe. Only this process has its write end, so it closes when this process ends.
    lifeline, _ = os.pipe()
    emulator = subprocess.Popen(
        arguments, stdin=subprocess.DEVNULL, pass_fds=[lifeline], env=os.environ | {LIFELINE: str(lifeline)}
    )
    signal.signal(signal.SIGTERM, lambda *_: emulator.kill())

    def wait_for_end():
        sys.stdin.buffer.read()
        emulator.kill()

    threading.Thread(target=wait_for_end, daemon=True).start()
    sys.exit(emulator.wait())


COMMANDS = {
    "create": create,
    "cp": copy,
    "start": start,
    "port": port,
    "logs": logs,
    "rm": remove,
    "info": ignore,
    "ps": ignore,
    "network": ignore,
    "volume": ignore,
    "pull": ignore,
    "serve": serve,
    "run": run,
}

if __name__ == "__main__":
    command, *arguments = sys.argv[1:]
    if command not in COMMANDS:
        sys.exit(f"{command}: unknown command")
    COMMANDS[command](arguments)
