"""A service at zero: how long its first request takes, beside how long a task takes to run.

Both are started in turn on the same instance: RunTask until the task is RUNNING, and a request to
the balancer until its answer is there.
"""

import contextlib
import http.client
import os
import pathlib
import signal
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import boto3
from table import Table

ROOT = pathlib.Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "demo"))

import image as demo_image  # noqa: E402

NAME = "zero"
# The tag that marks a service which scales to zero.
TAG = {"key": "longshore:scale-to-zero", "value": "1d"}
# What the first request may take beside the container's start.
MAY_ADD_MS = 100


def until(condition: Callable[[], Any], what: str, timeout: float = 60) -> Any:
    """Waits for a condition, and gives what it came to."""
    deadline = time.monotonic() + timeout
    while not (found := condition()):
        if time.monotonic() > deadline:
            raise SystemExit(f"bench: waited for {what}")
        time.sleep(0.003)
    return found


def free_port() -> int:
    """A TCP port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def dev(binary: str, folder: pathlib.Path) -> Iterator[str]:
    """`longshore dev` with one instance; gives its URL."""
    listen = f"127.0.0.1:{free_port()}"
    command = [binary, "dev", "--listen", listen, "--data-dir", str(folder / "dev")]
    command += ["--instances", "1", "--balancer-addresses", f"127.49.{os.getpid() % 250}.0/28"]
    with (folder / "dev.log").open("wb") as log:
        child = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)
    try:
        yield f"http://{listen}"
    finally:
        child.send_signal(signal.SIGTERM)
        child.wait(60)


class Zero:
    """A service at zero behind a balancer."""

    def __init__(self, url: str) -> None:
        keys = {"aws_access_key_id": "test", "aws_secret_access_key": "test"}
        options = {"endpoint_url": url, "region_name": "us-east-1", **keys}
        self.ecs = boto3.client("ecs", **options)
        self.elb = boto3.client("elbv2", **options)
        until(self.connected, "an instance")
        # As the first process of a container a program has to ask for SIGTERM.
        serve = "trap 'kill %1; exit 0' TERM; httpd -f -p 80 -h /etc & wait"
        container = {
            "name": "app",
            "image": demo_image.build(),
            "memory": 32,
            "command": ["sh", "-c", serve],
            "portMappings": [{"containerPort": 80}],
        }
        self.ecs.register_task_definition(family=NAME, containerDefinitions=[container])
        made = self.elb.create_load_balancer(Name=NAME)["LoadBalancers"][0]
        self.host = made["DNSName"]
        group = self.elb.create_target_group(Name=NAME, Protocol="HTTP", Port=80)
        arn = group["TargetGroups"][0]["TargetGroupArn"]
        forward = {"Type": "forward", "TargetGroupArn": arn}
        self.elb.create_listener(
            LoadBalancerArn=made["LoadBalancerArn"],
            Port=80,
            Protocol="HTTP",
            DefaultActions=[forward],
        )
        member = {"targetGroupArn": arn, "containerName": "app", "containerPort": 80}
        self.ecs.create_service(
            serviceName=NAME,
            taskDefinition=NAME,
            desiredCount=0,
            loadBalancers=[member],
            tags=[TAG],
        )
        until(self.asks_once, "the first answer")

    def connected(self) -> bool:
        """Whether there is an instance."""
        try:
            return bool(self.ecs.list_container_instances()["containerInstanceArns"])
        except Exception:  # It does not listen yet.
            return False

    def asks_once(self) -> bool:
        """Whether a request is answered well."""
        try:
            return self.ask() > 0
        except OSError:
            return False

    def ask(self) -> float:
        """Milliseconds until a request has its answer; 0 if that is no good one."""
        began = time.monotonic()
        connection = http.client.HTTPConnection(self.host, 80, timeout=60)
        connection.request("GET", "/passwd")
        answer = connection.getresponse()
        answer.read()
        connection.close()
        return (time.monotonic() - began) * 1000 if answer.status == 200 else 0

    def rest(self) -> None:
        """Puts the service to sleep."""
        self.ecs.update_service(service=NAME, desiredCount=0)

        def empty() -> bool:
            shown = self.ecs.describe_services(services=[NAME])["services"][0]
            return shown["runningCount"] == 0 and not self.ecs.list_tasks()["taskArns"]

        until(empty, "the service to be at zero")

    def run(self) -> float:
        """Milliseconds until a task runs."""
        began = time.monotonic()
        task = self.ecs.run_task(taskDefinition=NAME)["tasks"][0]["taskArn"]

        def runs() -> bool:
            shown = self.ecs.describe_tasks(tasks=[task])["tasks"][0]
            return bool(shown["lastStatus"] == "RUNNING")

        until(runs, "the task to run")
        took = (time.monotonic() - began) * 1000
        self.ecs.stop_task(task=task)
        return took

    def close(self) -> None:
        """Takes it all away."""
        self.ecs.delete_service(service=NAME, force=True)
        until(lambda: not self.ecs.list_tasks()["taskArns"], "its tasks to end")


def measure(binary: str, folder: pathlib.Path, table: Table, rounds: int) -> None:
    """The first request to a service at zero, beside RunTask."""
    with dev(binary, folder) as url:
        zero = Zero(url)
        asked, ran = [], []
        for _ in range(rounds):
            zero.rest()
            asked.append(zero.ask())
            zero.rest()
            ran.append(zero.run())
        zero.close()
    ours, theirs = statistics.median(asked), statistics.median(ran)
    table.row(
        f"first request to a service at zero, beside RunTask to RUNNING; p50 of {rounds}",
        f"{ours:.0f} ms (most {max(asked):.0f})",
        f"{theirs:.0f} ms (most {max(ran):.0f})",
        ours / theirs,
        f"at most {MAY_ADD_MS} ms more: {ours - theirs:+.0f} ms",
    )
