#!/usr/bin/env python3
"""A function that returns its event, fails on "fail" and exits on "exit"."""

import os
import sys
import urllib.request

API = f"http://{os.environ['AWS_LAMBDA_RUNTIME_API']}/2018-06-01/runtime/invocation"

while True:
    with urllib.request.urlopen(f"{API}/next") as response:
        request_id, event = response.headers["lambda-runtime-aws-request-id"], response.read()
    print("received an event", flush=True)
    if event == b"exit":
        sys.exit(3)
    outcome = "error" if event == b"fail" else "response"
    urllib.request.urlopen(f"{API}/{request_id}/{outcome}", data=event).close()
