"""Fixtures: an API server for tests without containers, and worlds for tests with them.

`server` and `world` are shared by all tests of a worker, so tests name what they make after
themselves (`name`). `new_server` and `new_world` start processes of a test's own.
"""

import contextlib
import itertools
import os
import pathlib
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from typing import Any

import image as demo_image
import pytest
from harness.process import ROOT, Server, World
from harness.services import Service
from harness.tasks import Tasks

COUNTER = itertools.count(1)


def unique(prefix: str) -> str:
    """A name that no other test, worker or run has."""
    return f"{prefix}-{os.getpid()}-{next(COUNTER)}"


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server without container instances."""
    server = Server(tmp_path_factory.mktemp("server")).start()
    yield server
    assert server.alive, server.tail()
    server.stop()


@pytest.fixture
def new_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Server]]:
    """Starts servers that only this test has."""
    servers: list[Server] = []

    def start(*options: str) -> Server:
        server = Server(tmp_path_factory.mktemp("server"), *options)
        servers.append(server)
        return server.start()

    yield start
    for server in servers:
        server.stop()


@contextlib.contextmanager
def etcd_cluster(folder: pathlib.Path) -> Iterator[str]:
    """An etcd of three members with its data and pids in `folder`: HOST:PORT,..."""
    if not shutil.which("etcd"):
        missing = "etcd is not installed; scripts/setup etcd does it"
        pytest.fail(missing) if os.environ.get("CI") else pytest.skip(missing)
    script = str(ROOT / "scripts" / "etcd")
    started = subprocess.run(
        [script, "start", str(folder)], capture_output=True, text=True, timeout=120, check=False
    )
    assert started.returncode == 0, started.stderr
    try:
        yield started.stdout.strip()
    finally:
        subprocess.run([script, "stop", str(folder)], timeout=120, check=True)


@pytest.fixture(scope="session")
def etcd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """An etcd that tests share."""
    with etcd_cluster(tmp_path_factory.mktemp("etcd")) as endpoints:
        yield endpoints


@pytest.fixture
def own_etcd(tmp_path: pathlib.Path) -> Iterator[tuple[str, list[int]]]:
    """An etcd of the test's own, and the pids of its members."""
    folder = tmp_path / "etcd"
    with etcd_cluster(folder) as endpoints:
        yield endpoints, [int(file.read_text()) for file in folder.glob("*.pid")]


@pytest.fixture
def ecs(server: Server) -> Any:
    """A boto3 client of the shared server."""
    return server.ecs


@pytest.fixture
def name(request: pytest.FixtureRequest) -> str:
    """A name of the test's own, for clusters, families and services."""
    return unique(re.sub(r"[^a-z0-9]+", "-", request.node.name.lower())[:60].strip("-"))


@pytest.fixture(scope="session")
def image() -> str:
    """The demo image: busybox and a web server."""
    return demo_image.build(f"longshore-e2e:{os.getpid()}")


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory, image: str) -> Iterator[World]:
    """A server with one connected container instance in each of two zones."""
    world = World(tmp_path_factory.mktemp("world"), unique("e2e"), image)
    try:
        for zone in "ab":
            world.add_agent(zone=zone)
        yield world
        assert world.server.alive, world.server.tail()
        assert all(agent.alive for agent in world.agents)
    finally:
        world.close()


@pytest.fixture
def new_world(
    tmp_path_factory: pytest.TempPathFactory, image: str
) -> Iterator[Callable[..., World]]:
    """Starts worlds that only this test has."""
    worlds: list[World] = []

    def start(agents: int = 1, *options: str) -> World:
        world = World(tmp_path_factory.mktemp("world"), unique("e2e"), image, *options)
        worlds.append(world)
        for number in range(agents):
            world.add_agent(zone="abc"[number % 3])
        return world

    yield start
    for world in worlds:
        world.close()


@pytest.fixture
def tasks(world: World, name: str) -> Iterator[Tasks]:
    """Tasks in the shared world, stopped when the test ends."""
    tasks = Tasks(world, name)
    yield tasks
    tasks.stop_all()


@pytest.fixture
def service(tasks: Tasks) -> Iterator[Service]:
    """A service in the shared world, deleted when the test ends."""
    service = Service(tasks)
    yield service
    with contextlib.suppress(service.ecs.exceptions.ClientError):
        service.ecs.delete_service(cluster=service.cluster, service=service.name, force=True)
