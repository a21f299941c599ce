#!/usr/bin/env python3
"""The demo: four tasks on two instances behind a balancer, through public APIs only.

Usage: demo/demo.py [--once] [--listen HOST:PORT] [--data-dir DIR]

Starts `longshore dev`, registers a task definition, creates a service, waits until it is steady,
asks the balancer and every task over HTTP and prints what runs where. Then it runs until Ctrl-C;
containers keep running and are found again at the next start. With --once it ends after the check;
the exit code is 0 only if everything held.
"""

import argparse
import contextlib
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from typing import Any

import boto3
import botocore.config
import botocore.exceptions
import image

ROOT = pathlib.Path(__file__).resolve().parents[1]
REGION = "us-east-1"
SERVICE = "hello"
DESIRED = 4
STEADY_S = 180


class Problem(Exception):
    """Something that the demo promises does not hold."""


def say(text: str) -> None:
    print(text, flush=True)


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="The Longshore demo")
    parser.add_argument("--once", action="store_true", help="end after the check")
    parser.add_argument("--listen", default="127.0.0.1:4566", help="where the API listens")
    parser.add_argument("--data-dir", default=str(ROOT / ".cache/demo"), help="where state is kept")
    pool = "addresses of load balancers"
    parser.add_argument("--balancer-addresses", default="127.0.2.0/24", help=pool)
    parser.add_argument("--reset", action="store_true", help="remove state and containers, and end")
    return parser.parse_args()


def binary() -> str:
    target = os.environ.get("CARGO_TARGET_DIR", str(ROOT / "target"))
    return os.environ.get("LONGSHORE_BIN", f"{target}/release/longshore")


def healthy(url: str) -> bool:
    try:
        with urllib.request.urlopen(f"{url}/health", timeout=2) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


@contextlib.contextmanager
def longshore(chosen: argparse.Namespace) -> Iterator[subprocess.Popen[bytes]]:
    """`longshore dev` with two instances, in two availability zones, while the block runs."""
    listen, data_dir = chosen.listen, chosen.data_dir
    url = f"http://{listen}"
    if healthy(url):
        raise Problem(f"something listens on {url} already; stop it, or choose another --listen")
    pathlib.Path(data_dir).mkdir(parents=True, exist_ok=True)
    log = pathlib.Path(data_dir, "dev.log")
    # Large enough for any machine: the demo shows placement, it does not fill the machine.
    size = ["--cpu", "2048", "--memory", "2048"]
    command = [binary(), "--log", "info", "dev", "--listen", listen, "--data-dir", data_dir, *size]
    command += ["--balancer-addresses", chosen.balancer_addresses]
    with log.open("ab") as output:
        # In a session of its own, so that Ctrl-C comes to it through us alone.
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True
        )
    try:
        deadline = time.monotonic() + 60
        while not healthy(url):
            if process.poll() is not None or time.monotonic() > deadline:
                lines = log.read_text(errors="replace").splitlines()[-10:]
                raise Problem("longshore dev does not start:\n" + "\n".join(lines))
            time.sleep(0.05)
        yield process
    finally:
        process.send_signal(signal.SIGINT)
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            raise Problem(f"longshore dev did not stop; see {log}") from None


def client(url: str, service: str = "ecs") -> Any:
    config = botocore.config.Config(retries={"total_max_attempts": 3})
    return boto3.client(
        service,
        endpoint_url=url,
        region_name=REGION,
        aws_access_key_id="longshore",
        aws_secret_access_key="longshore",
        config=config,
    )


def wait_for_instances(ecs: Any) -> dict[str, Any]:
    """The two instances by their ARNs, once both agents are connected."""
    deadline = time.monotonic() + 60
    while True:
        arns = ecs.list_container_instances()["containerInstanceArns"]
        found = []
        if arns:
            answer = ecs.describe_container_instances(containerInstances=arns)
            found = [i for i in answer["containerInstances"] if i["agentConnected"]]
        if len(found) >= 2:
            return {instance["containerInstanceArn"]: instance for instance in found}
        if time.monotonic() > deadline:
            raise Problem(f"only {len(found)} of 2 container instances are connected")
        time.sleep(0.1)


def ensure_balancer(elb: Any) -> tuple[str, str]:
    """An application load balancer on port 80: its address, and its target group."""
    balancer = elb.create_load_balancer(Name=SERVICE)["LoadBalancers"][0]
    group = elb.create_target_group(
        Name=SERVICE,
        Protocol="HTTP",
        Port=80,
        HealthCheckIntervalSeconds=5,
        HealthCheckTimeoutSeconds=2,
    )["TargetGroups"][0]["TargetGroupArn"]
    arn = balancer["LoadBalancerArn"]
    if not elb.describe_listeners(LoadBalancerArn=arn)["Listeners"]:
        forward = {"Type": "forward", "TargetGroupArn": group}
        elb.create_listener(LoadBalancerArn=arn, Port=80, Protocol="HTTP", DefaultActions=[forward])
        say(f"Created load balancer {arn}")
    elb.get_waiter("load_balancer_available").wait(LoadBalancerArns=[arn])
    return balancer["DNSName"], group


def ensure_service(ecs: Any, group: str) -> None:
    """Registers the task definition and creates the service, unless it is there."""
    found = ecs.describe_services(services=[SERVICE])["services"]
    if found and found[0]["status"] == "ACTIVE":
        say(f"Service {SERVICE} is there from before; its containers kept running.")
        return
    definition = ecs.register_task_definition(
        family=SERVICE,
        containerDefinitions=[
            {
                "name": "web",
                "image": image.build(),
                "memory": 32,
                "cpu": 64,
                "portMappings": [{"containerPort": 80}],
                "environment": [{"name": "GREETING", "value": "hello from Longshore"}],
                "stopTimeout": 5,
            }
        ],
    )["taskDefinition"]
    say(f"Registered {definition['taskDefinitionArn']}")
    ecs.create_service(
        serviceName=SERVICE,
        taskDefinition=definition["taskDefinitionArn"],
        desiredCount=DESIRED,
        loadBalancers=[{"targetGroupArn": group, "containerName": "web", "containerPort": 80}],
        placementStrategy=[
            {"type": "spread", "field": "attribute:ecs.availability-zone"},
            {"type": "spread", "field": "instanceId"},
        ],
    )
    say(f"Created service {SERVICE} with {DESIRED} tasks")


def wait_until_steady(ecs: Any) -> None:
    """Follows the service until it is steady, and prints each change."""
    shown, seen = "", set()
    deadline = time.monotonic() + STEADY_S
    while True:
        [service] = ecs.describe_services(services=[SERVICE])["services"]
        for event in reversed(service["events"]):
            if event["id"] not in seen:
                seen.add(event["id"])
                say(f"  {event['message']}")
        counts = f"running {service['runningCount']}/{service['desiredCount']}"
        counts += f", pending {service['pendingCount']}"
        if counts != shown:
            shown = counts
            say(f"  {counts}")
        steady = service["runningCount"] == service["desiredCount"] == DESIRED
        if steady and len(service["deployments"]) == 1 and not service["pendingCount"]:
            return
        if time.monotonic() > deadline:
            raise Problem(f"the service is not steady after {STEADY_S} s: {counts}")
        time.sleep(0.1)


def ask(url: str) -> dict[str, Any]:
    """The answer of a task; its web server may come up a moment after its container."""
    deadline = time.monotonic() + 10
    while True:
        try:
            with urllib.request.urlopen(url, timeout=5) as answer:
                return json.load(answer)
        except (OSError, ValueError) as error:
            if time.monotonic() > deadline:
                raise Problem(f"{url} does not answer: {error}") from None
            time.sleep(0.1)


def check_tasks(ecs: Any, instances: dict[str, Any]) -> list[list[str]]:
    """Asks every task; the rows of the table. What does not hold is a problem."""
    arns = ecs.list_tasks(serviceName=SERVICE, desiredStatus="RUNNING")["taskArns"]
    tasks = ecs.describe_tasks(tasks=arns)["tasks"] if arns else []
    if len(tasks) != DESIRED:
        raise Problem(f"{len(tasks)} tasks run, expected {DESIRED}")
    rows = []
    for task in sorted(tasks, key=lambda task: (task["availabilityZone"], task["taskArn"])):
        [binding] = task["containers"][0]["networkBindings"]
        url = f"http://{binding['bindIP']}:{binding['hostPort']}"
        id = task["taskArn"].rsplit("/", 1)[1]
        answer = ask(url)
        if answer["task"] != id:
            raise Problem(f"{url} is task {answer['task']}, expected {id}")
        if answer["zone"] != task["availabilityZone"]:
            raise Problem(f"{url} says zone {answer['zone']}, the API {task['availabilityZone']}")
        instance = instances[task["containerInstanceArn"]]["containerInstanceArn"]
        row = [id, instance.rsplit("/", 1)[1], answer["zone"], url, answer["greeting"]]
        rows.append(row)
    zones = {row[2] for row in rows}
    if len(zones) != 2:
        raise Problem(f"the tasks run in {sorted(zones)}, expected two availability zones")
    return rows


def check_balancer(address: str, tasks: set[str]) -> str:
    """Asks the balancer until every task has answered through it; gives the URL."""
    url = f"http://{address}/"
    answered = set()
    deadline = time.monotonic() + 30
    while answered != tasks:
        answered.add(ask(url)["task"])
        if time.monotonic() > deadline:
            raise Problem(f"{url} answers by {len(answered)} of {len(tasks)} tasks")
    return url


def table(rows: list[list[str]]) -> str:
    head = ["TASK", "INSTANCE", "ZONE", "URL", "ANSWER"]
    widths = [max(len(row[at]) for row in [head, *rows]) for at in range(len(head))]
    lines = [
        "  ".join(cell.ljust(w) for cell, w in zip(r, widths, strict=True)) for r in [head, *rows]
    ]
    return "\n".join(line.rstrip() for line in lines)


def exports(url: str) -> str:
    return (
        f"export AWS_ENDPOINT_URL={url}\n"
        f"export AWS_DEFAULT_REGION={REGION}\n"
        "export AWS_ACCESS_KEY_ID=longshore AWS_SECRET_ACCESS_KEY=longshore"
    )


def reset(options: argparse.Namespace) -> None:
    """Removes the containers of the demo's instances, and its state."""
    url = f"http://{options.listen}"
    with longshore(options):
        instances = client(url).list_container_instances()["containerInstanceArns"]
    label = "label=com.amazonaws.ecs.container-instance-arn"
    for arn in instances:
        listed = ["docker", "ps", "-aq", "--filter", f"{label}={arn}"]
        ids = subprocess.run(listed, capture_output=True, text=True, check=True).stdout.split()
        if ids:
            subprocess.run(["docker", "rm", "-fv", *ids], capture_output=True, check=True)
    shutil.rmtree(options.data_dir)
    say("State and containers are gone.")


def demo(options: argparse.Namespace, stopped: threading.Event) -> None:
    url = f"http://{options.listen}"
    say(f"Starting longshore dev on {url}")
    with longshore(options) as process:
        ecs = client(url)
        instances = wait_for_instances(ecs)
        address, group = ensure_balancer(client(url, "elbv2"))
        ensure_service(ecs, group)
        wait_until_steady(ecs)
        rows = check_tasks(ecs, instances)
        front = check_balancer(address, {row[0] for row in rows})
        say(f"\n{table(rows)}\n\nEvery task answered, by itself and through its load balancer:")
        say(f"\n{front}\n")
        say("With these three lines every AWS SDK and the")
        say(f"AWS CLI (there is one in .venv/bin/aws) work with it:\n\n{exports(url)}\n")
        if options.once:
            say("All checks held.")
            return
        say("Ctrl-C stops it; the containers keep running and are found again at the next start.")
        while not stopped.wait(0.5):
            if process.poll() is not None:
                raise Problem(f"longshore dev ended; see {options.data_dir}/dev.log")
    say("Stopped.")


def main() -> int:
    stopped = threading.Event()
    chosen = options()
    # A shell that starts it in the background has it ignore Ctrl-C's signal.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if not chosen.once:
        signal.signal(signal.SIGTERM, lambda *_: stopped.set())
    try:
        if chosen.reset:
            reset(chosen)
        else:
            demo(chosen, stopped)
    except Problem as problem:
        print(f"demo: {problem}", file=sys.stderr)
        return 1
    except botocore.exceptions.ClientError as error:
        print(f"demo: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        say("\nStopped. `make demo` goes on where it was; `make demo-reset` removes everything.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
