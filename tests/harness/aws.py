"""Unmodified AWS clients, pointed at a server; and raw requests that no client would send."""

import http.client
import json
import os
import pathlib
import subprocess
import sys
import urllib.parse
from dataclasses import dataclass, field
from typing import Any

import boto3
import botocore.config
import botocore.exceptions
import pytest

REGION = "us-east-1"
ACCOUNT = "000000000000"
TARGET = "AmazonEC2ContainerServiceV20141113"


def client(
    endpoint: str,
    key: str = "test",
    secret: str = "test",
    service: str = "ecs",
    token: str | None = None,
    ca: pathlib.Path | None = None,
    **options: Any,
) -> Any:
    """A boto3 client. It does not retry, so that every answer is seen. With `ca` it trusts the
    certificates of that file alone."""
    retries = {"total_max_attempts": 1}
    given = {"connect_timeout": 5, "read_timeout": 60, **options}
    config = botocore.config.Config(retries=retries, **given)
    session = boto3.session.Session(
        aws_access_key_id=key,
        aws_secret_access_key=secret,
        aws_session_token=token,
        region_name=REGION,
    )
    verify = str(ca) if ca else None
    return session.client(service, endpoint_url=endpoint, config=config, verify=verify)


def cli(endpoint: str, *arguments: str) -> Any:
    """The answer of the AWS CLI, which finds the server by AWS_ENDPOINT_URL alone."""
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": "/nonexistent",
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": REGION,
        "AWS_DEFAULT_OUTPUT": "json",
        "AWS_PAGER": "",
    }
    aws = pathlib.Path(sys.executable).with_name("aws")
    done = subprocess.run(
        [sys.executable, str(aws), *arguments],
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, f"aws {' '.join(arguments)}: {done.stderr}"
    return json.loads(done.stdout) if done.stdout.strip() else None


class refused:
    """A block that must end in a client error with this code and, if given, this text."""

    def __init__(self, code: str | tuple[str, ...], text: str = "") -> None:
        self.codes = (code,) if isinstance(code, str) else code
        self.text = text

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type | None, error: BaseException | None, _trace: Any) -> bool:
        if error is None:
            pytest.fail(f"was accepted, expected {self.codes}")
        if not isinstance(error, botocore.exceptions.ClientError):
            return False
        status = error.response["ResponseMetadata"]["HTTPStatusCode"]
        found = error.response["Error"]
        assert 400 <= status < 500, f"status {status}: {found}"
        assert found["Code"] in self.codes, found
        assert self.text in found["Message"], found
        return True


@dataclass
class Answer:
    """What came back for a raw request."""

    status: int
    body: bytes
    headers: dict[str, str] = field(default_factory=dict)

    @property
    def code(self) -> str:
        """The AWS error code, of the body as of the header."""
        kind = json.loads(self.body).get("__type", "")
        return str(kind).rsplit("#", 1)[-1]

    def expect_client_error(self) -> "Answer":
        """A 4xx with an AWS code."""
        assert 400 <= self.status < 500, f"status {self.status}: {self.body[:300]!r}"
        assert self.code, f"no code: {self.body[:300]!r}"
        return self


class Raw:
    """One kept-alive connection that sends any bytes."""

    def __init__(self, endpoint: str, timeout: float = 30) -> None:
        parts = urllib.parse.urlsplit(endpoint)
        self.connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=timeout)

    def __enter__(self) -> "Raw":
        return self

    def __exit__(self, *_error: object) -> None:
        self.connection.close()

    def call(self, operation: str, body: bytes, **headers: str) -> Answer:
        """Calls an operation of ECS, unsigned as an open server allows."""
        given = {
            "Content-Type": "application/x-amz-json-1.1",
            "X-Amz-Target": f"{TARGET}.{operation}",
            **{name.replace("_", "-"): value for name, value in headers.items()},
        }
        return self.send("POST", "/", body, given)

    def send(self, method: str, path: str, body: bytes, headers: dict[str, str]) -> Answer:
        """Sends anything."""
        self.connection.request(method, path, body, headers)
        answer = self.connection.getresponse()
        return Answer(answer.status, answer.read(), dict(answer.getheaders()))
