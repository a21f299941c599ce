"""What goes wrong in the world: killed containers, killed processes, missing images, hung stops."""

import concurrent.futures
import signal
import threading
from collections.abc import Callable
from typing import Any

import botocore.exceptions
from harness import docker
from harness.process import World
from harness.tasks import Tasks, sh
from harness.wait import until


def test_a_killed_container_ends_its_task(tasks: Tasks) -> None:
    task = tasks.running()
    docker.docker("kill", tasks.inspect(task["taskArn"])["Id"])
    task = tasks.wait(task["taskArn"], "STOPPED")
    assert task["stopCode"] == "EssentialContainerExited"
    assert task["containers"][0]["exitCode"] == 137


def test_a_removed_container_ends_its_task(tasks: Tasks) -> None:
    task = tasks.running({}, {"name": "other"})
    docker.docker("rm", "-f", tasks.inspect(task["taskArn"])["Id"])
    task = tasks.wait(task["taskArn"], "STOPPED")
    assert task["stoppedReason"] == "Essential container in task exited"
    left = docker.of_task(task["taskArn"])
    assert {name: each["State"]["Status"] for name, each in left.items()} == {"other": "exited"}


def test_an_absent_image_says_so(tasks: Tasks) -> None:
    task = tasks.finished({"image": "127.0.0.1:9/never-there:1"})
    assert task["stopCode"] == "TaskFailedToStart"
    assert "CannotPull" in task["containers"][0]["reason"]
    assert "CannotPull" in task["stoppedReason"]
    assert "exitCode" not in task["containers"][0]


def test_a_command_that_is_not_there_says_so(tasks: Tasks) -> None:
    task = tasks.finished({"command": ["/no/such/program"]})
    assert task["stopCode"] in ("TaskFailedToStart", "EssentialContainerExited")
    assert "CannotStartContainerError" in task["containers"][0]["reason"]
    assert "/no/such/program" in task["containers"][0]["reason"]


def test_out_of_memory_says_so(tasks: Tasks) -> None:
    # Half a page table of zeroes in a shell variable is more than 6 MiB.
    eat = "x=$(dd if=/dev/zero bs=1M count=64 | tr '\\0' x); echo ${#x}"
    hog = {"command": ["sh", "-c", f'exec sh -c "{eat}"'], "memory": 8}
    task = tasks.finished(hog | {"linuxParameters": {"maxSwap": 0}})
    [container] = task["containers"]
    assert container["exitCode"] == 137
    assert container["reason"] == "OutOfMemoryError: Container killed due to memory usage"


def test_a_hung_stop_is_killed_after_its_time(tasks: Tasks) -> None:
    deaf = {"command": sh("trap '' TERM; while true; do sleep 1000; done"), "stopTimeout": 2}
    task = tasks.running(deaf)
    task = tasks.stop(task["taskArn"])
    assert task["containers"][0]["exitCode"] == 137
    took = (task["stoppedAt"] - task["stoppingAt"]).total_seconds()
    assert 1.5 <= took < 20


def started_at(world: World) -> dict[str, tuple[str, int]]:
    """When each container of the world began, and its process: a restart changes them."""
    ids = docker.containers(docker.CLUSTER, world.cluster)
    # The list lags behind; what a container is told by itself does not.
    return {
        each["Id"]: (each["State"]["StartedAt"], each["State"]["Pid"])
        for each in docker.inspect(*ids)
        if each["State"]["Running"]
    }


def test_containers_outlive_their_agent(new_world: Callable[[int], World], name: str) -> None:
    world = new_world(1)
    [agent] = world.agents
    tasks = Tasks(world, name)
    definition = tasks.define({"memory": 16})
    arns = [tasks.run(definition)["taskArn"] for _ in range(3)]
    for arn in arns:
        tasks.wait(arn, "RUNNING")
    before = started_at(world)
    instance = agent.arn

    agent.kill()
    assert started_at(world) == before
    until(lambda: not agent.connected(), "the server to notice")
    # While nobody looks, one ends by itself and one is to be stopped.
    docker.docker("kill", tasks.inspect(arns[0])["Id"])
    world.ecs.stop_task(cluster=world.cluster, task=arns[1])
    agent.start()

    assert agent.arn == instance
    assert tasks.wait(arns[0], "STOPPED")["containers"][0]["exitCode"] == 137
    tasks.wait(arns[1], "STOPPED")
    assert tasks.describe(arns[2])["lastStatus"] == "RUNNING"
    script = "fetch $ECS_CONTAINER_METADATA_URI_V4/task"
    until(
        lambda: arns[2] in tasks.exec(arns[2], "sh", "-c", script),
        "the metadata endpoint where the container knows it",
    )
    kept = tasks.inspect(arns[2])["Id"]
    assert started_at(world) == {kept: before[kept]}


def test_containers_outlive_a_clean_stop(new_world: Callable[[int], World], name: str) -> None:
    world = new_world(1)
    tasks = Tasks(world, name)
    arn = tasks.running()["taskArn"]
    before = started_at(world)
    world.agents[0].stop()
    world.server.stop()
    assert started_at(world) == before
    world.server.start()
    world.agents[0].start()
    assert tasks.describe(arn)["lastStatus"] == "RUNNING"
    assert started_at(world) == before
    tasks.stop(arn)


def test_no_acknowledged_task_is_lost(new_world: Callable[[int], World], name: str) -> None:
    """kill -9 of the server amid 200 RunTask calls, from four clients with client tokens."""
    world = new_world(2)
    tasks = Tasks(world, name)
    definition = tasks.define({"memory": 8, "command": ["sleep", "5000"], "stopTimeout": 1})
    for _ in range(4):
        tasks.wait(tasks.run(definition)["taskArn"], "RUNNING")
    before = started_at(world)
    acknowledged: dict[str, str] = {}
    failed: list[str] = []
    enough = threading.Event()

    def call(number: int) -> None:
        token = f"token-{number}"
        try:
            answer = world.ecs.run_task(
                cluster=world.cluster, taskDefinition=definition, clientToken=token, startedBy=token
            )
            for task in answer["tasks"]:
                acknowledged[token] = task["taskArn"]
        except (botocore.exceptions.BotoCoreError, botocore.exceptions.ClientError):
            failed.append(token)
        if number >= 40:
            enough.set()

    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        calls = [pool.submit(call, number) for number in range(200)]
        assert enough.wait(60)
        world.server.kill()
        world.server.start()
        for each in calls:
            each.result()
    assert failed, "the kill must have hit some call"

    # Whoever got no answer asks again with the same token, as SDKs do.
    for token in failed:
        [task] = world.ecs.run_task(
            cluster=world.cluster, taskDefinition=definition, clientToken=token, startedBy=token
        )["tasks"]
        acknowledged[token] = task["taskArn"]
    assert len(acknowledged) == 200
    for token, arn in acknowledged.items():
        assert tasks.wait(arn, "RUNNING", timeout=300)["startedBy"] == token
        listed = world.ecs.list_tasks(cluster=world.cluster, startedBy=token)["taskArns"]
        assert listed == [arn], "not one task more"
        assert len(docker.of_task(arn)) == 1
    after = started_at(world)
    assert {id: after.get(id) for id in before} == before, "no healthy container was restarted"
    assert len(after) == len(before) + 200


def test_a_lost_connection_changes_nothing(new_world: Callable[[int], World], name: str) -> None:
    """The agent goes on while the server is away, and tells what happened when it is back."""
    world = new_world(1)
    tasks = Tasks(world, name)
    stays = tasks.running()["taskArn"]
    goes = tasks.running()["taskArn"]
    world.server.kill()
    docker.docker("kill", tasks_container(goes))
    world.server.start()
    assert tasks.wait(goes, "STOPPED")["containers"][0]["exitCode"] == 137
    assert tasks.describe(stays)["lastStatus"] == "RUNNING"


def tasks_container(arn: str) -> str:
    """The id of the only container of a task."""
    [each] = docker.of_task(arn).values()
    return str(each["Id"])


def test_a_stopped_agent_process_is_noticed(new_world: Callable[[int], World], name: str) -> None:
    world = new_world(2)
    lost, kept = world.agents
    lost.kill()
    until(lambda: not lost.connected(), "the server to notice")
    tasks = Tasks(world, name)
    definition = tasks.define()
    target = kept.arn
    for _ in range(3):
        assert tasks.run(definition)["containerInstanceArn"] == target
    kept.signal(signal.SIGKILL)
    until(lambda: not kept.connected(), "the server to notice")
    answer: dict[str, Any] = world.ecs.run_task(cluster=world.cluster, taskDefinition=definition)
    assert {failure["reason"] for failure in answer["failures"]} == {"AGENT"}
