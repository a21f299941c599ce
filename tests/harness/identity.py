"""A server whose callers are users and roles of IAM, as `longshore server init` begins it."""

from __future__ import annotations

import json
import os
import pathlib
import subprocess
import sys
from typing import Any

from harness import aws
from harness.process import Server, binary

TRUST_EC2 = {
    "Version": "2012-10-17",
    "Statement": [
        {
            "Effect": "Allow",
            "Principal": {"Service": "ec2.amazonaws.com"},
            "Action": "sts:AssumeRole",
        }
    ],
}


def document(action: str | list[str], resource: str = "*", effect: str = "Allow") -> str:
    """A policy of one statement."""
    statement = {"Effect": effect, "Action": action, "Resource": resource}
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})


def trust(principal: dict[str, str], **more: Any) -> str:
    """A trust policy of one statement."""
    statement = {"Effect": "Allow", "Principal": principal, "Action": "sts:AssumeRole", **more}
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})


def init(
    data_dir: pathlib.Path, *options: str, fails: bool = False
) -> subprocess.CompletedProcess[str]:
    """`longshore server init`."""
    done = subprocess.run(
        [binary(), *options[:2], "server", "init", "--data-dir", str(data_dir), *options[2:]],
        env={"PATH": os.environ["PATH"], "HOME": "/nonexistent"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode != 0) == fails, f"{done.stdout}\n{done.stderr}"
    return done


def init_json(data_dir: pathlib.Path, *options: str) -> Any:
    """The keys that `longshore server init` makes."""
    return json.loads(init(data_dir, "--output", "json", *options).stdout)


class Key:
    """An access key, and clients that sign with it."""

    def __init__(self, server: Server, id: str, secret: str, token: str | None = None) -> None:
        self.server, self.id, self.secret, self.token = server, id, secret, token

    @staticmethod
    def of_session(server: Server, credentials: dict[str, Any]) -> Key:
        """The key of an answer of STS."""
        token = str(credentials["SessionToken"])
        return Key(server, credentials["AccessKeyId"], credentials["SecretAccessKey"], token)

    def client(self, service: str) -> Any:
        """A boto3 client."""
        url, ca = self.server.url, self.server.ca
        return aws.client(url, self.id, self.secret, service, token=self.token, ca=ca)

    @property
    def iam(self) -> Any:
        """A client of IAM."""
        return self.client("iam")

    @property
    def sts(self) -> Any:
        """A client of STS."""
        return self.client("sts")

    @property
    def ecs(self) -> Any:
        """A client of ECS."""
        return self.client("ecs")

    def new_user(self, name: str, *statements: str) -> Key:
        """A key of a new user, with these policies."""
        self.iam.create_user(UserName=name)
        for number, statement in enumerate(statements):
            self.iam.put_user_policy(
                UserName=name, PolicyName=f"p{number}", PolicyDocument=statement
            )
        made = self.iam.create_access_key(UserName=name)["AccessKey"]
        return Key(self.server, made["AccessKeyId"], made["SecretAccessKey"])

    def cli(self, *arguments: str) -> Any:
        """The answer of the AWS CLI."""
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": "/nonexistent",
            "AWS_ENDPOINT_URL": self.server.url,
            "AWS_ACCESS_KEY_ID": self.id,
            "AWS_SECRET_ACCESS_KEY": self.secret,
            "AWS_DEFAULT_REGION": aws.REGION,
            "AWS_DEFAULT_OUTPUT": "json",
            "AWS_PAGER": "",
            **({"AWS_SESSION_TOKEN": self.token} if self.token else {}),
            **({"AWS_CA_BUNDLE": str(self.server.ca)} if self.server.ca else {}),
        }
        tool = pathlib.Path(sys.executable).with_name("aws")
        done = subprocess.run(
            [sys.executable, str(tool), *arguments],
            env=environment,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, f"aws {' '.join(arguments)}: {done.stderr}"
        return json.loads(done.stdout) if done.stdout.strip() else None


class Guarded:
    """A server that was initialized, and the keys of that."""

    def __init__(
        self,
        folder: pathlib.Path,
        *options: str,
        address: str = "127.0.0.1",
        **environment: str,
    ) -> None:
        data_dir = folder / "server"
        made = init_json(data_dir)
        self.data_dir = data_dir
        self.server = Server(folder, "--store", "redb", *options, address=address)
        self.server.environment = environment
        self.server.start()
        self.root = self.key(made["root"])
        self.admin = self.key(made["administrator"])

    def key(self, made: dict[str, str]) -> Key:
        """A key as `init` prints it."""
        return Key(self.server, made["accessKeyId"], made["secretAccessKey"])
