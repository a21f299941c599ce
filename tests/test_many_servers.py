"""Three servers on three members of etcd, each on a machine of its own. One after the other is
killed, paused and cut off, under load; then the history is judged."""

import os
import pathlib
import shutil
import signal
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from harness.control_plane import ControlPlane, Machine, Server
from harness.linear import claim, counter, is_linearizable, register
from harness.load import REGISTERS, Load
from harness.wait import until

# Within what time a new leader is to act after the last one was killed.
NEW_LEADER = 5.0
# How long a process stands still, or is cut off: longer than a leader may be silent.
FAULT = 6.0
CLUSTER, FAMILY = "default", "job"
DESIRED, MAXIMUM = 6, 150


@pytest.fixture
def plane(tmp_path: pathlib.Path) -> Iterator[ControlPlane]:
    assert os.geteuid() == 0, "network namespaces need root; run the tests as root"
    assert shutil.which("etcd"), "there is no etcd; run scripts/setup etcd"
    plane = ControlPlane(tmp_path, "--fidelity", "consistent-reads=on")
    try:
        plane.start()
        yield plane
    finally:
        plane.close()


def prepare(plane: ControlPlane) -> None:
    """A cluster with agents, jobs and a service."""
    ecs = plane.client(plane.servers[0])
    for cluster in (CLUSTER, *REGISTERS):
        ecs.create_cluster(clusterName=cluster)
    container = {"name": "main", "image": "image", "cpu": 1, "memory": 8}
    for family in (FAMILY, "web"):
        ecs.register_task_definition(family=family, containerDefinitions=[container])
    plane.start_agents(CLUSTER, 12, "--start-delay", "200ms")
    configuration = {"minimumHealthyPercent": 50, "maximumPercent": MAXIMUM}
    ecs.create_service(
        cluster=CLUSTER,
        serviceName="web",
        taskDefinition="web",
        desiredCount=DESIRED,
        deploymentConfiguration=configuration,
    )


def new_leader_acts(plane: ControlPlane, lost: Server, since: float) -> float:
    """How long after `since` a server that is left has placed a task."""
    left = next(server for server in plane.servers if server is not lost)
    ecs = plane.client(left)

    def placed() -> bool:
        try:
            return bool(ecs.run_task(cluster=CLUSTER, taskDefinition=FAMILY)["tasks"])
        except ecs.exceptions.ServerException:
            return False

    assert until(placed, "a task to be placed", timeout=30)
    return time.monotonic() - since


def with_fault(machine: Machine, begin: Callable[[], None], end: Callable[[], None]) -> None:
    """A fault that goes on for a while."""
    begin()
    time.sleep(FAULT)
    end()


def leader(plane: ControlPlane) -> Server:
    return until(plane.leader, "a server to lead")


def test_each_is_killed_paused_and_cut_off_in_turn(plane: ControlPlane) -> None:
    prepare(plane)
    load = Load(plane, CLUSTER, FAMILY)
    load.start()
    took = {}
    try:
        time.sleep(3)
        lost = leader(plane)
        lost.kill()
        took["kill"] = new_leader_acts(plane, lost, time.monotonic())
        lost.start()
        lost.process.wait(lost.is_ready, f"{lost.name} to be ready again")

        for fault in ("pause", "cut"):
            lost = leader(plane)
            begin = time.monotonic()
            getattr(lost, fault)()
            took[fault] = new_leader_acts(plane, lost, begin)
            time.sleep(max(0.0, FAULT - (time.monotonic() - begin)))
            {"pause": lost.resume, "cut": lost.heal}[fault]()
            until(lost.is_ready, f"{lost.name} to be ready again", timeout=40)

        member = until(plane.etcd_leader, "etcd to have a leader")
        with_fault(member, member.kill, member.start)
        member = until(plane.etcd_leader, "etcd to have a leader")
        with_fault(member, member.pause, member.resume)
        member = until(plane.etcd_leader, "etcd to have a leader")
        with_fault(member, member.cut, member.heal)
        for server in plane.servers:
            until(server.is_ready, f"{server.name} to be ready again", timeout=40)
        time.sleep(2)
    finally:
        load.stop()
    print(f"seconds until a new leader acted: {took}")
    assert took["kill"] < NEW_LEADER, took
    judge(plane, load)


def test_servers_are_replaced_one_at_a_time(plane: ControlPlane) -> None:
    ecs = plane.client(plane.servers[0])
    ecs.create_cluster(clusterName=CLUSTER)
    container = {"name": "main", "image": "image", "cpu": 1, "memory": 8}
    ecs.register_task_definition(family=FAMILY, containerDefinitions=[container])
    plane.start_agents(CLUSTER, 2)
    for _ in plane.servers:
        old = leader(plane)
        left = [server for server in plane.servers if server is not old]
        old.send(signal.SIGTERM)
        for server in left * 3:
            run = plane.client(server).run_task(cluster=CLUSTER, taskDefinition=FAMILY)
            assert run["tasks"], run
        assert old.process.popen is not None
        assert old.process.popen.wait(30) == 0, old.process.tail()
        old.start()
        old.process.wait(old.is_ready, f"{old.name} to be ready again")

    def all_run() -> bool:
        arns = ecs.list_tasks(cluster=CLUSTER)["taskArns"]
        found = ecs.describe_tasks(cluster=CLUSTER, tasks=arns)["tasks"]
        return len(found) == 18 and all(task["lastStatus"] == "RUNNING" for task in found)

    until(all_run, "all 18 tasks to run")


def judge(plane: ControlPlane, load: Load) -> None:
    """Nothing that was acknowledged is lost, and nothing was done twice or too much."""
    assert not load.unexpected, load.unexpected[:3]
    models = {"register": (register, 0), "counter": (counter, 0), "claim": (claim, None)}
    for (kind, name), history in load.histories.items():
        model, initial = models[kind]
        assert is_linearizable(history, model, initial), (kind, name, history)
    answered = sum(one.known for history in load.histories.values() for one in history)
    assert answered > 500, answered

    ecs = plane.client(plane.servers[0])
    tasks = sorted(load.tasks)
    assert len(tasks) > 20
    for start in range(0, len(tasks), 100):
        found = ecs.describe_tasks(cluster=CLUSTER, tasks=tasks[start : start + 100])
        assert not found["failures"], "a task that was acknowledged is lost"

    def steady() -> bool:
        (service,) = ecs.describe_services(cluster=CLUSTER, services=["web"])["services"]
        return service["runningCount"] == DESIRED and len(service["deployments"]) == 1

    until(steady, "the service to be steady again", timeout=60)

    # Last tasks of the old revision may still be ending while one server is read after the other.
    told: list[list[dict[str, Any]]] = []

    def agree() -> bool:
        told[:] = [plane.told(server, "--type", "task") for server in plane.servers]
        return told[0] == told[1] == told[2]

    until(agree, "every server to tell the same", timeout=60)
    started_once(told[0])
    never_too_many(told[0])


def started_once(journal: list[dict[str, Any]]) -> None:
    """No task runs on two instances, runs twice, or comes back."""
    order = ["PROVISIONING", "PENDING", "ACTIVATING", "RUNNING", "DEACTIVATING", "STOPPED"]
    seen: dict[str, list[tuple[int, str]]] = defaultdict(list)
    for line in journal:
        detail = line["event"]["detail"]
        state = (order.index(detail["lastStatus"]), detail["containerInstanceArn"])
        seen[detail["taskArn"]].append(state)
    assert seen
    for arn, states in seen.items():
        assert states == sorted(states), (arn, states)
        assert len({instance for _, instance in states}) == 1, (arn, states)


def never_too_many(journal: list[dict[str, Any]]) -> None:
    """A service never wants more tasks than its maximum allows, at any transaction."""
    wanted: dict[str, bool] = {}
    most = 0
    for line in journal:
        detail = line["event"]["detail"]
        if detail["group"] != "service:web":
            continue
        ended = detail["lastStatus"] == "STOPPED"
        wanted[detail["taskArn"]] = detail["desiredStatus"] == "RUNNING" and not ended
        most = max(most, sum(wanted.values()))
    assert DESIRED <= most <= DESIRED * MAXIMUM // 100, most
