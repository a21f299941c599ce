"""Two servers on one etcd, each with a node of balancers: all know who the nodes are."""

import contextlib
import os
import pathlib
import time
from collections.abc import Iterator
from typing import Any

import pytest
from harness import aws
from harness.balancing import Balanced, Node, addresses, serving
from harness.process import Server, World
from harness.services import Service
from harness.tasks import Tasks
from harness.wait import until

# A node that says nothing for so long is gone; where its server is gone too it takes 15 s more.
GONE = 35.0


class Plane:
    """A world on etcd, a second server, and a node at each of the two."""

    def __init__(self, folder: pathlib.Path, etcd: str, image: str) -> None:
        store = f"etcd://{etcd}/nodes-{os.getpid()}-{folder.name[-1]}"
        options = ["--open", "--store", store, "--balancer-addresses", addresses()]
        self.world = World(
            folder / "one", f"nodes-{os.getpid()}-{folder.name[-1]}", image, *options
        )
        self.second = Server(folder / "two", *options)
        self.nodes = [Node(self.world.server), Node(self.second)]

    def start(self) -> None:
        self.second.start()
        self.world.add_agent()
        self.nodes[0].spawn()

    def close(self) -> None:
        for process in [*self.nodes, self.second]:
            if process.alive:
                process.kill()
        self.world.close()


@pytest.fixture
def plane(tmp_path: pathlib.Path, etcd: str, image: str) -> Iterator[Plane]:
    plane = Plane(tmp_path, etcd, image)
    try:
        plane.start()
        yield plane
    finally:
        plane.close()


def known(balanced: Balanced, server: Server) -> str:
    """State of the balancer, as a server has it."""
    elb = server_client(server)
    found = elb.describe_load_balancers(LoadBalancerArns=[balanced.arn])["LoadBalancers"]
    return str(found[0]["State"]["Code"])


def server_client(server: Server) -> Any:
    """A client of Elastic Load Balancing."""

    return aws.client(server.url, service="elbv2")


@pytest.mark.parametrize("lost", ["node", "node and server"])
def test_a_drain_does_not_wait_for_a_node_that_is_gone(plane: Plane, name: str, lost: str) -> None:
    balanced = Balanced(plane.world, name)
    # The second node cannot listen where the first one does, and every server knows of it.
    plane.nodes[1].spawn()
    for server in (plane.world.server, plane.second):
        until(lambda of=server: known(balanced, of) == "failed", "the second node to be known")
    service = Service(Tasks(plane.world, name))
    service.create(serving(service, "one"), 2, loadBalancers=balanced.member())
    service.stable()
    balanced.healthy(2)

    # While both are there a drain is over as soon as both have said so.
    began = time.monotonic()
    service.update(desiredCount=1)
    until(lambda: len(service.running()) == 1, "a task to stop", 30)
    assert time.monotonic() - began < 15

    # One is gone: it may still have something under way, until it is known to be gone.
    plane.nodes[1].kill()
    if lost == "node and server":
        plane.second.kill()
    began = time.monotonic()
    [task] = service.running()
    service.update(desiredCount=0)

    def status() -> str:
        return str(service.tasks.describe(task["taskArn"])["lastStatus"])

    until(lambda: status() == "DEACTIVATING", "the task to be drained")
    with contextlib.suppress(AssertionError):
        until(lambda: status() != "DEACTIVATING", "nothing", 15)
        raise RuntimeError("it was told to stop before the node was known to be gone")
    until(lambda: status() == "STOPPED", "the task to stop", 90)
    took = time.monotonic() - began
    assert GONE / 2 < took < 100, "long before its deregistration delay of 300 seconds is over"
    assert known(balanced, plane.world.server) == "active", "the second node is forgotten"
    service.ecs.delete_service(cluster=service.cluster, service=service.name, force=True)
