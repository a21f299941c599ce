"""Clients that use every server of a control plane all the time, and note what they were told."""

from __future__ import annotations

import itertools
import random
import threading
import time
from collections import defaultdict
from collections.abc import Callable
from typing import Any

import botocore.exceptions

from harness import aws
from harness.control_plane import ControlPlane
from harness.linear import Operation

# How long a register or a counter is used: short histories are judged quickly.
EPOCH = 2.0
# Clusters whose tags are registers; one has 50 tags at most.
REGISTERS = [f"register-{n}" for n in range(4)]
FAILURES = (botocore.exceptions.BotoCoreError, botocore.exceptions.ClientError)


class Load:
    """Clients in threads."""

    def __init__(self, plane: ControlPlane, cluster: str, family: str) -> None:
        self.plane, self.cluster, self.family = plane, cluster, family
        self.stopping = threading.Event()
        self.lock = threading.Lock()
        # Operations by kind and object.
        self.histories: dict[tuple[str, str], list[Operation]] = defaultdict(list)
        # ARNs of tasks that were given out.
        self.tasks: set[str] = set()
        self.unexpected: list[str] = []
        self.values = itertools.count(1)
        self.threads: list[threading.Thread] = []

    def start(self) -> None:
        """Starts the clients."""
        kinds: list[Callable[[Any, int], None]] = [self.register, self.count, self.claim]
        for number, kind in enumerate([self.register, *kinds, *kinds, self.deploy]):
            thread = threading.Thread(target=self.run, args=(number, kind), daemon=True)
            self.threads.append(thread)
            thread.start()

    def stop(self) -> None:
        """Ends them."""
        self.stopping.set()
        for thread in self.threads:
            thread.join(60)
        assert not any(thread.is_alive() for thread in self.threads)

    def run(self, number: int, kind: Callable[[Any, int], None]) -> None:
        """One client: it asks now one server and now another."""
        chance = random.Random(number)
        options = {"connect_timeout": 2, "read_timeout": 20}
        clients = [self.plane.client(server, **options) for server in self.plane.servers]
        while not self.stopping.is_set():
            kind(chance.choice(clients), number)
            self.stopping.wait(0.02 if kind != self.deploy else 4)

    def did(self, kind: str, name: str, action: tuple[Any, ...], call: Callable[[], Any]) -> Any:
        """Does something and remembers it, with what `call` gives as its result."""
        called = time.monotonic()
        try:
            result = call()
        except FAILURES as error:
            self.check(error)
            if action[0] != "read":
                self.note(kind, name, Operation(action, None, called))
            return None
        self.note(kind, name, Operation(action, result, called, time.monotonic()))
        return result

    def note(self, kind: str, name: str, operation: Operation) -> None:
        with self.lock:
            self.histories[(kind, name)].append(operation)

    def check(self, error: Exception) -> None:
        """Servers that fail may say so; nothing else may be refused."""
        if isinstance(error, botocore.exceptions.ClientError):
            code = error.response["Error"]["Code"]
            if code not in ("ServerException", "ThrottlingException"):
                with self.lock:
                    self.unexpected.append(str(error))

    @staticmethod
    def epoch() -> str:
        """What everybody uses at the moment."""
        return str(int(time.monotonic() / EPOCH))

    def register(self, ecs: Any, _number: int) -> None:
        """A register: a tag of a cluster."""
        name = self.epoch()
        value = next(self.values)
        cluster = REGISTERS[int(name) % len(REGISTERS)]
        arn = f"arn:aws:ecs:us-east-1:{aws.ACCOUNT}:cluster/{cluster}"

        def write() -> None:
            ecs.tag_resource(resourceArn=arn, tags=[{"key": name, "value": str(value)}])

        def read() -> int:
            tags = ecs.list_tags_for_resource(resourceArn=arn)["tags"]
            return next((int(one["value"]) for one in tags if one["key"] == name), 0)

        if value % 3 == 0:
            self.did("register", name, ("write", value), write)
        else:
            self.did("register", name, ("read",), read)

    def count(self, ecs: Any, _number: int) -> None:
        """A counter: the revisions of a family."""
        name = f"count-{self.epoch()}"
        container = {"name": "main", "image": "image", "memory": 16}

        def call() -> int:
            made = ecs.register_task_definition(family=name, containerDefinitions=[container])
            return int(made["taskDefinition"]["revision"])

        self.did("counter", name, ("next",), call)

    def claim(self, ecs: Any, number: int) -> None:
        """A compare-and-swap: one token, for which only the first one gets a task."""
        # Several clients meet at one token.
        name = f"claim-{int(time.monotonic() * 4)}"
        mine = f"{number}-{next(self.values)}"
        call = {"cluster": self.cluster, "taskDefinition": self.family, "clientToken": name}

        def owner(arn: str) -> str:
            found = ecs.describe_tasks(cluster=self.cluster, tasks=[arn])["tasks"]
            return str(found[0]["startedBy"]) if found else f"a task that is lost: {arn}"

        def claim() -> str:
            try:
                run = ecs.run_task(**call, startedBy=mine)
            except botocore.exceptions.ClientError as error:
                if error.response["Error"]["Code"] != "ConflictException":
                    raise
                return owner(error.response["resourceIds"][0])
            with self.lock:
                self.tasks.update(task["taskArn"] for task in run["tasks"])
            return mine if run["tasks"] else f"nobody: {run['failures']}"

        self.did("claim", name, ("claim", mine), claim)

    def deploy(self, ecs: Any, _number: int) -> None:
        """Deployments of a service, one after the other."""
        try:
            ecs.update_service(cluster=self.cluster, service="web", forceNewDeployment=True)
        except FAILURES as error:
            self.check(error)
