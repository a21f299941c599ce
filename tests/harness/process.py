"""The processes under test: a server and its agents, as an operator starts them."""

import functools
import itertools
import json
import os
import pathlib
import signal
import socket
import ssl
import subprocess
import urllib.request
from typing import Any

from harness import aws, docker
from harness.wait import until

ROOT = pathlib.Path(__file__).resolve().parents[2]


def binary() -> str:
    """The binary under test."""
    target = os.environ.get("CARGO_TARGET_DIR", str(ROOT / "target"))
    return os.environ.get("LONGSHORE_BIN", f"{target}/debug/longshore")


def free_port() -> int:
    """A TCP port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Process:
    """A process with a log, started again as often as a test wants."""

    def __init__(self, log: pathlib.Path, arguments: list[str]) -> None:
        self.log = log
        self.arguments = arguments
        # What runs, and in front of it e.g. what puts it into a network namespace.
        self.program = binary()
        self.prefix: list[str] = []
        self.environment: dict[str, str] = {}
        self.popen: subprocess.Popen[bytes] | None = None

    def spawn(self) -> None:
        """Starts it."""
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(self.log.parent),
            "LONGSHORE_LOG": os.environ.get("LONGSHORE_LOG", "info"),
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "RUST_BACKTRACE": "1",
            **self.environment,
        }
        with self.log.open("ab") as log:
            self.popen = subprocess.Popen(
                [*self.prefix, self.program, *self.arguments],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=environment,
                start_new_session=True,
            )

    @property
    def alive(self) -> bool:
        """Whether it runs."""
        return self.popen is not None and self.popen.poll() is None

    def signal(self, number: int, timeout: float = 30) -> int:
        """Sends a signal and waits for the end; gives the exit code."""
        assert self.popen is not None
        if self.alive:
            self.popen.send_signal(number)
        return self.popen.wait(timeout)

    def kill(self) -> None:
        """kill -9."""
        self.signal(signal.SIGKILL)

    def stop(self) -> None:
        """Ends it cleanly."""
        if self.popen is None:
            return
        try:
            self.signal(signal.SIGTERM)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(f"did not stop on SIGTERM\n{self.tail()}") from None

    def tail(self) -> str:
        """The end of the log, for a failing test's report."""
        text = self.log.read_text(errors="replace") if self.log.exists() else ""
        return "\n".join(text.splitlines()[-40:])

    def wait(self, condition: Any, what: str, timeout: float = 30) -> Any:
        """Waits for `condition` as long as the process lives."""

        def ask() -> Any:
            if not self.alive:
                raise AssertionError(f"ended while one waited for: {what}\n{self.tail()}")
            return condition()

        return until(ask, what, timeout)


class Server(Process):
    """`longshore server`."""

    def __init__(self, folder: pathlib.Path, *options: str, address: str = "127.0.0.1") -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.port = free_port()
        # As a server does without being told to: TLS beyond this machine.
        secure = "local" in options or (address != "127.0.0.1" and "off" not in options)
        self.url = f"{'https' if secure else 'http'}://{address}:{self.port}"
        # The certificate by which clients know it.
        self.ca = folder / "server" / "ca.pem" if secure else None
        listen = ["--listen", f"{address}:{self.port}", "--data-dir", str(folder / "server")]
        given = [*(options or ("--open",)), *listen]
        # All tests can be run on etcd: scripts/etcd run make e2e
        etcd = os.environ.get("LONGSHORE_TEST_ETCD")
        if etcd and "--store" not in given:
            given += ["--store", f"etcd://{etcd}/e2e-{os.getpid()}-{self.port}"]
        super().__init__(folder / "server.log", ["server", *given])

    def start(self) -> "Server":
        """Starts it and waits until it answers."""
        self.spawn()
        self.wait(self.healthy, "the server's /health")
        return self

    def healthy(self) -> bool:
        """Whether it answers."""
        trusted = ssl.create_default_context(cafile=self.ca) if self.ca else None
        url = f"{self.url}/health"
        try:
            with urllib.request.urlopen(url, timeout=2, context=trusted) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False

    @functools.cached_property
    def ecs(self) -> Any:
        """A boto3 client of it."""
        return aws.client(self.url, ca=self.ca)

    def explain(self, cluster: str, group: str) -> Any:
        """What `longshore ctl explain` reads."""
        query = f"cluster={cluster}&group={group}"
        with urllib.request.urlopen(f"{self.url}/_longshore/explain?{query}") as answer:
            return json.load(answer)


class Agent(Process):
    """`longshore agent`: one container instance with an address of its own."""

    # Each agent of a test run gets the next address; other runs have another process id.
    numbers = itertools.count(1)

    def __init__(self, server: Server, cluster: str, *options: str, zone: str = "a") -> None:
        number = next(self.numbers)
        self.cluster = cluster
        self.server = server
        self.name = f"agent-{number}"
        self.address = f"127.{100 + os.getpid() % 100}.{number // 250}.{number % 250 + 1}"
        self.folder = server.folder / self.name
        own = {
            "--cluster": cluster,
            "--data-dir": str(self.folder),
            "--host-address": self.address,
            "--availability-zone": f"us-east-1{zone}",
            "--cpu": "4096",
            "--memory": "4096",
            "--attribute": f"test.name={self.name}",
        }
        given = {name for name in options if name.startswith("--")}
        flat = [part for name, value in own.items() if name not in given for part in (name, value)]
        prefix = ["--endpoint", server.url, "agent", "--prefer-cached"]
        super().__init__(server.folder / f"{self.name}.log", [*prefix, *flat, *options])

    def start(self) -> "Agent":
        """Starts it and waits until it is connected."""
        self.spawn()
        self.wait(self.connected, f"{self.name} to be connected")
        return self

    def instance(self) -> dict[str, Any] | None:
        """Its container instance."""
        ecs = self.server.ecs
        filter = f"attribute:test.name == {self.name}"
        arns = ecs.list_container_instances(cluster=self.cluster, filter=filter)
        arns = arns["containerInstanceArns"]
        if not arns:
            return None
        found = ecs.describe_container_instances(cluster=self.cluster, containerInstances=arns)
        return found["containerInstances"][0]

    def connected(self) -> bool:
        """Whether the server has its session."""
        instance = self.instance()
        return bool(instance and instance["agentConnected"])

    @property
    def arn(self) -> str:
        """ARN of its container instance."""
        instance = self.instance()
        assert instance is not None
        return str(instance["containerInstanceArn"])


class World:
    """A server, its agents in one cluster, and what a test does with them."""

    def __init__(
        self,
        folder: pathlib.Path,
        cluster: str,
        image: str,
        *options: str,
        server: Server | None = None,
    ) -> None:
        # A world of another worker may be called alike, and its end removes what is in its cluster.
        self.cluster = f"{cluster}-{os.getpid()}"
        self.image = image
        self.server = server or Server(folder, *options).start()
        self.agents: list[Agent] = []
        self.ecs = self.server.ecs
        self.ecs.create_cluster(clusterName=self.cluster)

    def add_agent(self, *options: str, zone: str = "a") -> Agent:
        """Starts one more container instance."""
        agent = Agent(self.server, self.cluster, *options, zone=zone)
        self.agents.append(agent)
        return agent.start()

    def close(self) -> None:
        """Ends everything, containers included."""
        problems = []
        for process in [*self.agents, self.server]:
            try:
                process.stop()
            except AssertionError as error:
                problems.append(str(error))
        docker.remove_cluster(self.cluster)
        assert not problems, "\n".join(problems)
