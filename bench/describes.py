#!/usr/bin/env python3
"""Asks a server for ten tasks ten times a second until standard input ends: describes.py PORT.

Prints JSON: the seconds that each answer took, errors, and how often the server was not there.
"""

import http.client
import json
import select
import sys
import time
from typing import Any

PAUSE_S = 0.1
TASKS = 10
HEADERS = {
    "Content-Type": "application/x-amz-json-1.1",
    "X-Amz-Date": "20260101T000000Z",
    "Authorization": "AWS4-HMAC-SHA256 Credential=test/20260101/us-east-1/ecs/aws4_request, "
    "SignedHeaders=host, Signature=0",
}
TARGET = "AmazonEC2ContainerServiceV20141113"


class Api:
    """One connection, made again when it was lost."""

    def __init__(self, port: int) -> None:
        self.connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)

    def call(self, operation: str, request: dict[str, Any]) -> tuple[int, bytes]:
        headers = HEADERS | {"X-Amz-Target": f"{TARGET}.{operation}"}
        try:
            self.connection.request("POST", "/", json.dumps(request), headers)
            answer = self.connection.getresponse()
            return answer.status, answer.read()
        except (OSError, http.client.HTTPException):
            self.connection.close()
            raise


def main() -> int:
    api = Api(int(sys.argv[1]))
    times: list[float] = []
    errors: list[str] = []
    refused = 0
    arns: list[str] = []
    while not select.select([sys.stdin], [], [], PAUSE_S)[0]:
        try:
            if len(arns) < TASKS:
                _, body = api.call("ListTasks", {"maxResults": TASKS})
                arns = json.loads(body).get("taskArns", [])
                continue
            before = time.monotonic()
            status, body = api.call("DescribeTasks", {"tasks": arns})
            times.append(time.monotonic() - before)
            if status != 200:
                errors.append(body.decode())
        except (OSError, http.client.HTTPException):
            # The server is being started again; a connection that was open ends with it.
            refused += 1
    print(json.dumps({"times": times, "errors": errors, "refused": refused}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
