#!/usr/bin/env python3
"""Measures how far one server goes: changes, tasks by services, memory, reconnects, starts.

Usage: bench/scale.py [PART...]   (default: all)
Parts: writes tasks (with memory, latency and starts, on redb and etcd) reconnect

Agents are hollow (`longshore sim agents`): real connections and messages, no containers. Both
sides of a comparison run in this run, on this machine; the agents share it with the server. The
table is Markdown, for docs/scale.md. The environment variables AGENTS, SERVICES, TASKS,
RECONNECTING and WRITES_S set the sizes of a smaller run.
"""

import contextlib
import json
import os
import pathlib
import re
import resource
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import Any

ROOT = pathlib.Path(__file__).resolve().parents[1]

import peers  # noqa: E402
from table import Table  # noqa: E402

AGENTS = int(os.environ.get("AGENTS", "5000"))
SERVICES = int(os.environ.get("SERVICES", "100"))
TASKS = int(os.environ.get("TASKS", "1000"))
# Files that a process may have open; the superuser may raise it, where the machine allows that.
FILES = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
RECONNECTING = int(os.environ.get("RECONNECTING", "10000"))
# Files of a server beside those of its sessions.
OTHER_FILES = 2000
CONNECTIONS = 32
CLUSTERS = 1000
WRITES_S = int(os.environ.get("WRITES_S", "10"))
# About what a cluster's record takes.
RECORD_BYTES = 500
# Connections without a request are closed after 30 s.
SETTLING_S = 45
STARTS = 3


def say(text: str) -> None:
    print(f"scale: {text}", file=sys.stderr, flush=True)


@contextlib.contextmanager
def etcd(folder: pathlib.Path) -> Iterator[str]:
    """An etcd of three members on this machine: HOST:PORT,..."""
    script, data = str(ROOT / "scripts/etcd"), str(folder / "etcd")
    try:
        yield peers.run(script, "start", data).strip()
    finally:
        peers.run(script, "stop", data)


class Server:
    """A server, started again as often as wanted: on redb unless another store is named."""

    def __init__(self, folder: pathlib.Path, store: str = "redb") -> None:
        self.folder = folder
        self.store = store
        self.port = peers.free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.ecs = peers.client(self.url)
        self.popen: subprocess.Popen[bytes] | None = None

    def start(self) -> float:
        """Starts it, and gives the seconds until it first answers a call."""
        command = [peers.binary(), "server", "--open", "--listen", f"127.0.0.1:{self.port}"]
        command += ["--data-dir", str(self.folder / "state"), "--store", self.store]
        with (self.folder / "server.log").open("ab") as log:
            before = time.monotonic()
            self.popen = subprocess.Popen(command, stdout=log, stderr=log)
        while True:
            with contextlib.suppress(Exception):
                self.ecs.describe_clusters()
                return time.monotonic() - before
            time.sleep(0.005)

    def stop(self) -> None:
        if self.popen:
            self.popen.send_signal(signal.SIGTERM)
            self.popen.wait(60)
            self.popen = None

    @property
    def mib(self) -> float:
        assert self.popen
        return peers.resident_mib(self.popen.pid)

    def metric(self, name: str) -> float:
        """A metric without labels."""
        with urllib.request.urlopen(f"{self.url}/metrics", timeout=30) as answer:
            text = answer.read().decode()
        found = re.search(rf"^{name} (\S+)$", text, flags=re.MULTILINE)
        return float(found[1]) if found else 0.0

    def tasks(self) -> tuple[int, int]:
        """Running and pending tasks."""
        found = self.ecs.describe_clusters(clusters=["default"])["clusters"][0]
        return found["runningTasksCount"], found["pendingTasksCount"]


@contextlib.contextmanager
def serving(folder: pathlib.Path, store: str = "redb") -> Iterator[Server]:
    server = Server(folder, store)
    server.start()
    server.ecs.create_cluster(clusterName="default")
    try:
        yield server
    finally:
        server.stop()


@contextlib.contextmanager
def hollow(server: Server, count: int, *options: str) -> Iterator[None]:
    """Agents, from when all have their sessions to the end of the block."""
    # In life they are elsewhere: the server comes first.
    command = ["nice", "-n", "5", peers.binary(), "--endpoint", server.url]
    command += ["sim", "agents", *options, "--count"]
    # An agent has two sessions, and two connections more as long as it reports.
    most = max(1, FILES // 5)
    shares = [most] * (count // most) + [count % most] * (count % most > 0)
    with (server.folder / "agents.log").open("ab") as log:
        agents = [
            subprocess.Popen([*command, str(share)], stdout=log, stderr=log) for share in shares
        ]
    try:
        before = time.monotonic()
        all_connected(server, count, 600)
        say(f"{count} agents connected after {time.monotonic() - before:.1f} s")
        yield
    finally:
        for process in agents:
            process.send_signal(signal.SIGINT)
        for process in agents:
            process.wait(60)


def all_connected(server: Server, count: int, timeout: float) -> None:
    def there() -> bool:
        with contextlib.suppress(OSError):
            return server.metric("longshore_agent_sessions") >= count
        return False

    peers.wait_until(there, f"{count} sessions", timeout)


class Describes:
    """Asks for ten tasks ten times a second, and keeps how long each answer took to come.

    In a process of its own and without boto3, whose own work would count.
    """

    def __init__(self, server: Server) -> None:
        self.popen = subprocess.Popen(
            [sys.executable, str(ROOT / "bench/describes.py"), str(server.port)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        self.times: list[float] = []
        self.errors: list[str] = []
        self.refused = 0

    def stop(self) -> None:
        output, _ = self.popen.communicate(timeout=60)
        found = json.loads(output)
        self.times, self.errors, self.refused = found["times"], found["errors"], found["refused"]

    def p99_ms(self) -> float:
        return statistics.quantiles(self.times, n=100)[98] * 1000


def writes(table: Table, folder: pathlib.Path) -> None:
    """Acknowledged changes per second, and commits of the engine alone, in turn."""
    build = ["cargo", "bench", "--quiet", "--no-run", "--package", "longshore-store"]
    subprocess.run([*build, "--bench", "raw"], cwd=ROOT, check=True)
    changes(table, folder, "redb", f"redb's own durable commits, {CONNECTIONS} threads")
    with etcd(folder) as endpoints:
        peer = f"puts of etcd's own client, {CONNECTIONS} at a time, three members"
        changes(table, folder, f"etcd://{endpoints}", peer)


def changes(table: Table, folder: pathlib.Path, store: str, peer: str) -> None:
    """Both sides on one engine."""
    engine = store.partition(":")[0]
    ours, raw = [], []
    with serving(folder, store) as server:
        for number in range(1, CLUSTERS + 1):
            server.ecs.create_cluster(clusterName=f"c{number}")
        for turn in range(2):
            place = folder / f"raw-{turn}"
            place.mkdir(exist_ok=True)
            where = str(place) if engine == "redb" else store.removeprefix("etcd://")
            raw.append(alone(engine, where))
            load = ["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{WRITES_S}s", "--timeout", "20s"]
            script = ["-s", str(ROOT / "bench/change.lua"), server.url, "--", str(CLUSTERS)]
            output = peers.run(*load, *script)
            if "Non-2xx" in output:
                raise SystemExit(f"scale: {output}")
            found = re.search(r"Requests/sec:\s+([\d.]+)", output)
            assert found, output
            ours.append(float(found[1]))
    mine, other = max(ours), max(raw)
    table.row(
        f"TagResource on {CLUSTERS:,} clusters, {engine}, acknowledged calls/s, {CONNECTIONS} "
        f"connections / {peer}",
        f"{mine:,.0f}",
        f"{other:,.0f}",
        mine / other,
        "≥ 0.5x",
    )


def alone(engine: str, where: str) -> float:
    """Commits per second of an engine through its own client."""
    bench = ["cargo", "bench", "--quiet", "--package", "longshore-store", "--bench", "raw"]
    options = ["--", engine, where, str(WRITES_S), str(RECORD_BYTES)]
    done = subprocess.run([*bench, *options], cwd=ROOT, check=True, capture_output=True, text=True)
    return float(done.stdout.split()[-1])


def deploy(server: Server) -> None:
    container = {"name": "app", "image": "example/app:1", "cpu": 10, "memory": 16}
    container["portMappings"] = [{"containerPort": 80}]
    definition = {"family": "app", "containerDefinitions": [container]}
    server.ecs.register_task_definition(**definition)
    for number in range(SERVICES):
        server.ecs.create_service(
            serviceName=f"s{number}", taskDefinition="app", desiredCount=TASKS
        )


def tasks(table: Table, folder: pathlib.Path) -> None:
    """Services start their tasks on hollow instances; the server is asked meanwhile."""
    wanted = SERVICES * TASKS
    with serving(folder) as server, hollow(server, AGENTS):
        empty = server.mib
        describes = Describes(server)
        before = time.monotonic()
        deploy(server)
        curve: list[tuple[float, int]] = []

        def all_running() -> bool:
            running, pending = server.tasks()
            curve.append((time.monotonic() - before, running))
            if len(curve) % 10 == 0:
                say(f"{curve[-1][0]:.0f} s: {running} running, {pending} pending")
            time.sleep(0.5)
            return running >= wanted

        peers.wait_until(all_running, f"{wanted} running tasks", 1200)
        took = curve[-1][0]
        describes.stop()
        busy = server.mib
        time.sleep(SETTLING_S)
        quiet = server.mib
        table.row(
            f"{wanted:,} tasks by {SERVICES} services on {AGENTS:,} instances, until all run",
            f"{took:.1f} s, {wanted / took:,.0f} tasks/s",
            "",
            None,
            "≥ 3,750 tasks/s",
        )
        table.row(
            "DescribeTasks of ten tasks meanwhile, p99",
            f"{describes.p99_ms():.1f} ms ({len(describes.errors)} errors)",
            "",
            None,
            "< 20 ms",
        )
        for when, mib in (("at the end", busy), (f"{SETTLING_S} s later", quiet)):
            table.row(
                f"memory of the server per task, all in, {when}",
                f"{mib * 1024 / wanted:.1f} KiB ({mib:.0f} MiB; without tasks {empty:.0f} MiB)",
                "",
                None,
                "≤ 6 KiB",
            )
        server.stop()
        starts(table, server, wanted, "≤ 2 s")
        all_connected(server, AGENTS, 120)
        server.stop()
        with etcd(folder) as endpoints:
            server.store = f"etcd://{endpoints}"
            data = ["--data-dir", str(folder / "state")]
            peers.run(peers.binary(), "ctl", "store", "migrate", "redb", server.store, *data)
            starts(table, server, wanted, "≤ 5 s")
            server.stop()


def starts(table: Table, server: Server, tasks_count: int, target: str) -> None:
    """From the start of the process to the first answer."""
    engine = server.store.partition(":")[0]
    times = []
    for number in range(STARTS):
        times.append(server.start())
        if number + 1 < STARTS:
            server.stop()
    table.row(
        f"start with {tasks_count:,} tasks in the store ({engine}), to the first answer, "
        f"median of {STARTS}, {AGENTS:,} agents coming back",
        f"{statistics.median(times):.2f} s",
        "",
        None,
        target,
    )


def reconnect(table: Table, folder: pathlib.Path) -> None:
    """The server is started again: until every agent has its session back.

    Where a process may not have files enough for two sessions with each agent: with as many agents
    as it may, and with all of them with one session each.
    """
    both = min(RECONNECTING, (FILES - OTHER_FILES) // 2)
    reconnected(table, folder / "both", both, f"{both:,} agents")
    if both < RECONNECTING:
        count = min(RECONNECTING, FILES - OTHER_FILES)
        name = f"{count:,} agents without telemetry (one session each)"
        reconnected(table, folder / "one", count, name, "--without-telemetry")


def reconnected(table: Table, folder: pathlib.Path, count: int, name: str, *options: str) -> None:
    folder.mkdir()
    with serving(folder) as server, hollow(server, count, *options):
        container = [{"name": "app", "image": "example/app:1", "cpu": 10, "memory": 16}]
        server.ecs.register_task_definition(family="app", containerDefinitions=container)
        server.ecs.create_service(serviceName="s", taskDefinition="app", desiredCount=1000)
        peers.wait_until(lambda: server.tasks()[0] >= 1000, "the tasks to run", 120)
        describes = Describes(server)
        time.sleep(2)
        before = time.monotonic()
        server.stop()
        stopped = time.monotonic() - before
        first = server.start()
        all_connected(server, count, 300)
        took = time.monotonic() - before
        describes.stop()
        say(f"stopped in {stopped:.2f} s, first answer after {first:.2f} s more")
        table.row(
            f"{name}, the server started again, until all sessions are back",
            f"{took:.1f} s",
            "",
            None,
            "≤ 60 s",
        )
        errors = f"{len(describes.errors)} (and {describes.refused} refused connections)"
        if describes.errors:
            say(f"errors: {json.dumps(describes.errors[:3])}")
        table.row("errors to clients of the API meanwhile", errors, "", None, "0")
        table.row(
            f"memory of the server with {name}",
            f"{server.mib:.0f} MiB, {server.mib * 1024 / count:.0f} KiB per agent",
            "",
            None,
            "",
        )


PARTS: dict[str, Any] = {"writes": writes, "tasks": tasks, "reconnect": reconnect}


def main() -> int:
    chosen = sys.argv[1:] or list(PARTS)
    if unknown := [name for name in chosen if name not in PARTS]:
        raise SystemExit(f"scale: unknown {unknown}; parts: {', '.join(PARTS)}")
    table = Table()
    for name in chosen:
        say(name)
        with tempfile.TemporaryDirectory(prefix="longshore-scale-", dir="/var/tmp") as folder:
            PARTS[name](table, pathlib.Path(folder))
    return 0


if __name__ == "__main__":
    sys.exit(main())
