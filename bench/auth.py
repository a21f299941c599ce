#!/usr/bin/env python3
"""Measures what identity costs: `make bench-auth`.

A server with the identity provider `open` and one with `iam`, in turns; then `iam` with ten
thousand principals and five thousand policies. `cargo bench -p longshore-auth` measures the parts
of one call.
"""

import argparse
import concurrent.futures
import contextlib
import json
import os
import pathlib
import re
import statistics
import subprocess
import tempfile
from collections.abc import Iterator
from typing import Any

import boto3
import botocore.auth
import botocore.awsrequest
import botocore.config
import botocore.credentials
import peers
from table import Table

ROOT = pathlib.Path(__file__).resolve().parents[1]
TARGET = "AmazonEC2ContainerServiceV20141113"
TASKS = 10
CONNECTIONS = 32
POLICIES, STATEMENTS = 10, 20
USERS, ROLES, MANAGED = 5_000, 5_000, 5_000
TRUST = {
    "Version": "2012-10-17",
    "Statement": {
        "Effect": "Allow",
        "Principal": {"Service": "ecs-tasks.amazonaws.com"},
        "Action": "sts:AssumeRole",
    },
}
Key = tuple[str, str]


def policy(number: int, last: bool) -> str:
    """A policy of many statements, of which the last of the last allows what is asked."""
    statements: list[dict[str, Any]] = [
        {
            "Sid": f"S{n}",
            "Effect": "Allow",
            "Action": ["ecs:Describe*", "ecs:List*"] if n % 3 else ["s3:Get*", "s3:List*"],
            "Resource": f"arn:aws:ecs:*:*:task/team-{number}-{n}/*",
            "Condition": {"ArnEquals": {"ecs:cluster": f"arn:aws:ecs:*:*:cluster/team-{n}"}},
        }
        for n in range(STATEMENTS)
    ]
    if last:
        statements[-1] = {"Effect": "Allow", "Action": "ecs:DescribeTasks", "Resource": "*"}
    return json.dumps({"Version": "2012-10-17", "Statement": statements}, separators=(",", ":"))


class Side:
    """A server with ten tasks, and how it is asked about them."""

    def __init__(self, name: str, folder: pathlib.Path) -> None:
        self.name, self.folder = name, folder
        self.url = f"http://127.0.0.1:{peers.free_port()}"
        self.admin: Key = ("test", "test")
        self.pid = 0
        folder.mkdir()

    @contextlib.contextmanager
    def started(self) -> Iterator["Side"]:
        """Runs it for the block."""
        options = ["--data-dir", str(self.folder / "state")]
        if self.name == "iam":
            made = json.loads(
                peers.run(peers.binary(), "--output", "json", "server", "init", *options)
            )
            admin = made["administrator"]
            self.admin = (admin["accessKeyId"], admin["secretAccessKey"])
        else:
            options += ["--open"]
        listen = self.url.removeprefix("http://")
        command = [peers.binary(), "server", "--listen", listen, *options]
        with peers.process(command, f"{self.url}/health", self.folder / "log") as started:
            self.pid = started.pid
            yield self

    def client(self, service: str = "ecs", key: Key | None = None) -> Any:
        """An unmodified AWS client."""
        id, secret = key or self.admin
        return boto3.client(
            service,
            endpoint_url=self.url,
            region_name=peers.REGION,
            aws_access_key_id=id,
            aws_secret_access_key=secret,
            config=botocore.config.Config(retries={"total_max_attempts": 1}),
        )

    @contextlib.contextmanager
    def with_tasks(self) -> Iterator[pathlib.Path]:
        """Ten tasks on a hollow instance; gives the body of a call that describes them."""
        ecs = self.client()
        ecs.create_cluster(clusterName="default")
        id, secret = self.admin
        agents = subprocess.Popen(
            [peers.binary(), "--endpoint", self.url, "sim", "agents", "--count", "1"],
            env=os.environ | {"AWS_ACCESS_KEY_ID": id, "AWS_SECRET_ACCESS_KEY": secret},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=(self.folder / "agents.log").open("wb"),
        )
        try:
            peers.connected(ecs, 1)
            container = {"name": "app", "image": "x", "memory": 32, "cpu": 1}
            ecs.register_task_definition(family="bench", containerDefinitions=[container])
            answer = ecs.run_task(taskDefinition="bench", count=TASKS)
            body = self.folder / "body.json"
            body.write_text(json.dumps({"tasks": [task["taskArn"] for task in answer["tasks"]]}))
            yield body
        finally:
            agents.terminate()
            agents.wait(20)

    def rate(self, body: pathlib.Path, key: Key, seconds: float) -> float:
        """Calls per second that are all answered well."""
        headers = {
            "Content-Type": "application/x-amz-json-1.1",
            "X-Amz-Target": f"{TARGET}.DescribeTasks",
        }
        request = botocore.awsrequest.AWSRequest("POST", f"{self.url}/", headers, body.read_bytes())
        credentials = botocore.credentials.Credentials(*key)
        botocore.auth.SigV4Auth(credentials, "ecs", peers.REGION).add_auth(request)
        signed = self.folder / "headers"
        signed.write_text("".join(f"{name}: {value}\n" for name, value in request.headers.items()))
        load = ["wrk", "-t2", f"-c{CONNECTIONS}", f"-d{seconds:g}s", "--timeout", "20s"]
        script = ["-s", str(ROOT / "bench/signed.lua"), self.url, "--", str(signed), str(body)]
        output = peers.run(*load, *script)
        if "Non-2xx" in output:
            raise SystemExit(f"bench: {self.name} refuses: {output}")
        return float(re.search(r"Requests/sec:\s+([\d.]+)", output)[1])  # type: ignore[index]


def caller(side: Side) -> Key:
    """A user with ten policies of twenty statements."""
    iam = side.client("iam")
    iam.create_user(UserName="bench")
    for number in range(POLICIES):
        document = policy(number, number + 1 == POLICIES)
        made = iam.create_policy(PolicyName=f"bench-{number}", PolicyDocument=document)["Policy"]
        iam.attach_user_policy(UserName="bench", PolicyArn=made["Arn"])
    key = iam.create_access_key(UserName="bench")["AccessKey"]
    return key["AccessKeyId"], key["SecretAccessKey"]


def fill(side: Side) -> None:
    """Makes principals and policies, each with something of its own."""
    trust = json.dumps(TRUST)
    workers = 8

    def make(worker: int) -> None:
        iam = side.client("iam")
        for n in range(worker, MANAGED - POLICIES, workers):
            iam.create_policy(PolicyName=f"p{n}", PolicyDocument=policy(n, False))
        for n in range(worker, USERS - 2, workers):
            iam.create_user(UserName=f"u{n}")
        for n in range(worker, ROLES - 1, workers):
            iam.create_role(RoleName=f"r{n}", AssumeRolePolicyDocument=trust)

    with concurrent.futures.ThreadPoolExecutor(workers) as pool:
        list(pool.map(make, range(workers)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=5)
    options = parser.parse_args()
    table = Table()
    with tempfile.TemporaryDirectory() as name, contextlib.ExitStack() as stack:
        folder = pathlib.Path(name)
        sides = {name: Side(name, folder / name) for name in ("open", "iam")}
        bodies = {}
        for name, side in sides.items():
            stack.enter_context(side.started())
            bodies[name] = stack.enter_context(side.with_tasks())
        keys = {"open": ("test", "test"), "iam": caller(sides["iam"])}
        rates: dict[str, list[float]] = {"open": [], "iam": []}
        for _ in range(options.rounds):
            for name, side in sides.items():
                rates[name].append(side.rate(bodies[name], keys[name], options.seconds))
        plain, ours = (statistics.median(rates[name]) for name in ("open", "iam"))
        name = f"DescribeTasks of {TASKS} tasks, calls/s, {CONNECTIONS} connections, with `iam` "
        name += f"({POLICIES} policies of {STATEMENTS} statements) / `open`"
        table.row(name, f"{ours:,.0f}", f"{plain:,.0f}", plain / ours, "cost ≤ 1.15x")

        side = sides["iam"]
        before = peers.resident_mib(side.pid)
        fill(side)
        after = peers.resident_mib(side.pid)
        count = f"{USERS + ROLES:,} principals and {MANAGED:,} policies of {STATEMENTS} statements"
        shown = f"{after:.0f} MiB (without: {before:.0f})"
        table.row(f"resident memory of the server with {count}", shown, "", None, "< 200 MiB")
        full = [
            side.rate(bodies["iam"], keys["iam"], options.seconds) for _ in range(options.rounds)
        ]
        many = statistics.median(full)
        name = "DescribeTasks, calls/s, with them / with the two users before"
        table.row(name, f"{many:,.0f}", f"{ours:,.0f}", ours / many, "1x")


if __name__ == "__main__":
    main()
