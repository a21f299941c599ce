"""Both sides of a comparison: ours and the peers', started, measured and cleaned up alike."""

import contextlib
import json
import os
import pathlib
import queue
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from typing import Any

import boto3
import botocore.config

REGION = "us-east-1"
LABEL = "longshore.bench"
# Ends at once on SIGTERM.
COMMAND = ["sh", "-c", "trap 'exit 0' TERM; while true; do sleep 1000 & wait $!; done"]


def binary() -> str:
    """The release binary."""
    return os.environ.get("LONGSHORE_BIN", "target/release/longshore")


def run(*command: str) -> str:
    """Runs a command that must succeed."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise SystemExit(f"{' '.join(command)}: {done.stderr.strip()}")
    return done.stdout.strip()


def free_port() -> int:
    """A TCP port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_until(condition: Callable[[], Any], what: str, timeout: float = 120) -> Any:
    """Asks until it gives something true."""
    deadline = time.monotonic() + timeout
    while not (found := condition()):
        if time.monotonic() > deadline:
            raise SystemExit(f"bench: waited {timeout:g} s for {what}")
        time.sleep(0.02)
    return found


def answers(url: str) -> bool:
    """Whether somebody answers HTTP there."""
    try:
        with urllib.request.urlopen(url, timeout=2):
            return True
    except OSError:
        return False


@contextlib.contextmanager
def process(command: list[str], url: str, log: pathlib.Path) -> Iterator[subprocess.Popen[bytes]]:
    """A server, from when it answers at `url` to the end of the block."""
    with log.open("ab") as output:
        started = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True
        )
    try:
        wait_until(lambda: answers(url), f"{command[0]} to answer", 60)
        yield started
    finally:
        started.send_signal(signal.SIGINT)
        try:
            started.wait(20)
        except subprocess.TimeoutExpired:
            started.kill()


def client(url: str, service: str = "ecs") -> Any:
    """An unmodified AWS client."""
    return boto3.client(
        service,
        endpoint_url=url,
        region_name=REGION,
        aws_access_key_id="test",
        aws_secret_access_key="test",
        config=botocore.config.Config(retries={"total_max_attempts": 1}),
    )


def connected(ecs: Any, count: int, cluster: str = "default") -> None:
    """Waits for container instances with their agents."""

    def ask() -> bool:
        arns = ecs.list_container_instances(cluster=cluster)["containerInstanceArns"]
        if len(arns) < count:
            return False
        if not arns:
            return True
        found = ecs.describe_container_instances(cluster=cluster, containerInstances=arns)
        return all(instance["agentConnected"] for instance in found["containerInstances"])

    wait_until(ask, f"{count} container instances")


class Dev:
    """`longshore dev` with one large instance, as every peer here has one machine."""

    def __init__(self, folder: pathlib.Path, instances: int = 1) -> None:
        self.folder = folder
        self.instances = instances
        self.url = f"http://127.0.0.1:{free_port()}"
        self.pid = 0

    @contextlib.contextmanager
    def started(self) -> Iterator["Dev"]:
        """Runs it for the block."""
        listen = self.url.removeprefix("http://")
        state = str(self.folder / "dev")
        size = ["--instances", str(self.instances), "--cpu", "100000", "--memory", "100000"]
        command = [binary(), "dev", "--listen", listen, "--data-dir", state, *size]
        with process(command, f"{self.url}/health", self.folder / "dev.log") as started:
            self.pid = started.pid
            self.ecs = client(self.url)
            connected(self.ecs, self.instances)
            try:
                yield self
            finally:
                self.remove_containers()

    def define(self, image: str, family: str = "bench", **more: Any) -> str:
        """Registers the container that every side runs, with `more` in its definition."""
        container = {
            "name": "app",
            "image": image,
            "memory": 32,
            "command": COMMAND,
            "stopTimeout": 2,
            "dockerLabels": {LABEL: "ours"},
            **more,
        }
        answer = self.ecs.register_task_definition(family=family, containerDefinitions=[container])
        return str(answer["taskDefinition"]["taskDefinitionArn"])

    def remove_containers(self) -> None:
        """Removes what it runs."""
        remove("ours")


def remove(side: str) -> None:
    """Removes the containers of a side."""
    ids = run("docker", "ps", "-aq", "--filter", f"label={LABEL}={side}").split()
    if ids:
        subprocess.run(["docker", "rm", "-f", *ids], capture_output=True, check=False)


def docker_run(image: str, name: str = "") -> list[str]:
    """The command of a peer: the same container, by hand."""
    named = ["--name", name] if name else []
    limits = ["--memory", "32m", "--cpu-shares", "2", "--label", f"{LABEL}=docker"]
    return ["docker", "run", "-d", *named, *limits, image, *COMMAND]


class Starts:
    """Docker's own word for when a container of a side began, and when one ended."""

    def __enter__(self) -> "Starts":
        format = '{{.TimeNano}} {{.Action}} {{index .Actor.Attributes "longshore.bench"}}'
        filters = ["--filter", "type=container", "--filter", "event=start", "--filter", "event=die"]
        self.process = subprocess.Popen(
            ["docker", "events", *filters, "--filter", f"label={LABEL}", "--format", format],
            stdout=subprocess.PIPE,
            text=True,
        )
        self.seen: queue.Queue[tuple[float, str, str]] = queue.Queue()
        threading.Thread(target=self.read, daemon=True).start()
        # The stream is open when it shows a start that was made for it.
        probe = docker_run("longshore-demo:1")
        probe[probe.index(f"{LABEL}=docker")] = f"{LABEL}=probe"
        deadline = time.monotonic() + 20
        while self.seen.empty():
            if time.monotonic() > deadline:
                raise SystemExit("bench: docker events shows nothing")
            run(*probe)
            time.sleep(0.2)
        remove("probe")
        self.drain()
        return self

    def __exit__(self, *_error: object) -> None:
        self.process.kill()
        self.process.wait()

    def read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            at, action, side = line.split()
            self.seen.put((int(at) / 1e9, side, action))

    def drain(self) -> None:
        """Forgets what was seen."""
        while not self.seen.empty():
            self.seen.get_nowait()

    def last(self, count: int, side: str, timeout: float = 180, action: str = "start") -> float:
        """When the last of `count` containers of a side began (or ended, with `action` "die"), in
        seconds of the wall clock."""
        deadline, latest, found = time.monotonic() + timeout, 0.0, 0
        while found < count:
            try:
                at, which, what = self.seen.get(timeout=max(0.1, deadline - time.monotonic()))
            except queue.Empty:
                raise SystemExit(f"bench: {found} of {count} {action} of {side}") from None
            if (which, what) == (side, action):
                found, latest = found + 1, max(latest, at)
        return latest


@contextlib.contextmanager
def swarm() -> Iterator[None]:
    """Swarm mode of this daemon, for the block. A swarm that is there already is not touched."""
    state = json.loads(run("docker", "info", "--format", "{{json .Swarm.LocalNodeState}}"))
    if state != "inactive":
        raise SystemExit("bench: this daemon is part of a swarm already")
    run("docker", "swarm", "init", "--advertise-addr", "127.0.0.1", "--listen-addr", "127.0.0.1")
    try:
        yield
    finally:
        run("docker", "swarm", "leave", "--force")


@contextlib.contextmanager
def moto(folder: pathlib.Path) -> Iterator[str]:
    """moto_server; gives its URL."""
    port = free_port()
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    url = f"http://127.0.0.1:{port}"
    with process(command, f"{url}/moto-api/data.json", folder / "moto.log"):
        yield url


def resident_mib(pid: int) -> float:
    """Resident memory of a process."""
    for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    raise SystemExit(f"bench: process {pid} has no VmRSS")
