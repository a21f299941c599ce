"""A node of balancers, a service behind it, and clients that ask it all the time."""

import collections
import contextlib
import http.client
import itertools
import os
import pathlib
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import Any

from harness import aws
from harness.process import Process, Server, World
from harness.services import Service
from harness.tasks import sh
from harness.wait import until

# Serves a text, and ends when it is told to, after what it was asked before.
SERVE = (
    "mkdir -p /w; echo {text} > /w/index.html; trap 'kill %1; exit 0' TERM; "
    "httpd -f -p 80 -h /w & wait"
)


POOLS = itertools.count()


def addresses() -> str:
    """A pool of addresses that no other test, worker or run has."""
    return f"127.{50 + os.getpid() % 50}.{os.getpid() // 50 % 250}.{next(POOLS) % 8 * 32}/27"


class Node(Process):
    """`longshore lb`."""

    numbers = itertools.count(1)

    def __init__(self, server: Server, *options: str) -> None:
        name = f"lb-{next(self.numbers)}"
        at = ["--endpoint", server.url, "lb", "--data-dir", str(server.folder / name)]
        super().__init__(server.folder / f"{name}.log", [*at, *options])


@contextlib.contextmanager
def world_with_node(
    folder: pathlib.Path, name: str, image: str, *options: str, zones: str = "ab"
) -> Iterator[tuple[World, Node]]:
    """A server, a container instance in each zone, and a node of balancers."""
    pool = ["--open", "--balancer-addresses", addresses()]
    world = World(folder, name, image, *pool, *options)
    node = Node(world.server)
    try:
        node.spawn()
        for zone in zones:
            world.add_agent(zone=zone)
        yield world, node
        assert node.alive, node.tail()
    finally:
        node.stop()
        world.close()


class Balanced:
    """An application load balancer on port 80, and a target group that it forwards to."""

    def __init__(self, world: World, name: str) -> None:
        self.world = world
        self.elb = aws.client(world.server.url, service="elbv2")
        short = name[-32:].strip("-")
        made = self.elb.create_load_balancer(Name=short)["LoadBalancers"][0]
        self.arn, self.host = made["LoadBalancerArn"], made["DNSName"]
        self.group = self.elb.create_target_group(
            Name=short,
            Protocol="HTTP",
            Port=80,
            HealthCheckIntervalSeconds=5,
            HealthCheckTimeoutSeconds=2,
        )["TargetGroups"][0]["TargetGroupArn"]
        forward = {"Type": "forward", "TargetGroupArn": self.group}
        self.listener = self.elb.create_listener(
            LoadBalancerArn=self.arn, Port=80, Protocol="HTTP", DefaultActions=[forward]
        )["Listeners"][0]["ListenerArn"]
        self.elb.get_waiter("load_balancer_available").wait(LoadBalancerArns=[self.arn])
        until(self.listens, f"{self.host} to listen")

    def listens(self) -> bool:
        """Whether it answers at all."""
        try:
            return self.get()[0] > 0
        except OSError:
            return False

    def member(self) -> list[dict[str, Any]]:
        """`loadBalancers` of a service behind it."""
        return [{"targetGroupArn": self.group, "containerName": "app", "containerPort": 80}]

    def get(self, path: str = "/") -> tuple[int, str]:
        """Status and body of an answer."""
        try:
            with urllib.request.urlopen(f"http://{self.host}{path}", timeout=10) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    def states(self) -> list[str]:
        """States of the targets."""
        found = self.elb.describe_target_health(TargetGroupArn=self.group)
        return sorted(t["TargetHealth"]["State"] for t in found["TargetHealthDescriptions"])

    def healthy(self, count: int) -> None:
        """Waits until there are as many targets, all of them healthy."""
        until(lambda: self.states() == ["healthy"] * count, f"{count} healthy targets", 60)


def serving(service: Service, text: str, **members: Any) -> str:
    """A task definition whose container serves a text on port 80."""
    container = {"command": sh(SERVE.format(text=text)), "portMappings": [{"containerPort": 80}]}
    return service.tasks.define({**container, **members})


class Clients:
    """Clients in threads that ask all the time, each over a new connection."""

    def __init__(self, host: str, count: int = 4) -> None:
        self.host = host
        self.stopping = threading.Event()
        self.answers: collections.Counter[str] = collections.Counter()
        self.failures: list[str] = []
        self.lock = threading.Lock()
        self.threads = [threading.Thread(target=self.run, daemon=True) for _ in range(count)]

    def __enter__(self) -> "Clients":
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self.stopping.set()
        for thread in self.threads:
            thread.join(30)
        assert not any(thread.is_alive() for thread in self.threads)

    def run(self) -> None:
        while not self.stopping.is_set():
            connection = http.client.HTTPConnection(self.host, 80, timeout=15)
            try:
                connection.request("GET", "/")
                answer = connection.getresponse()
                body = answer.read().decode()
            except (OSError, http.client.HTTPException) as error:
                self.note(f"{type(error).__name__}: {error}")
            else:
                if answer.status == 200:
                    with self.lock:
                        self.answers[body.strip()] += 1
                else:
                    self.note(f"{answer.status}: {body}")
            finally:
                connection.close()
            self.stopping.wait(0.002)

    def note(self, failure: str) -> None:
        with self.lock:
            self.failures.append(failure)
