"""`longshore ctl explain`: what waits, since when, until when, and what to do about it."""

import json
import os
import subprocess
from typing import Any

from harness.process import World, binary
from harness.wait import until


def explain(world: World, *arguments: str, output: str = "table") -> str:
    done = subprocess.run(
        [
            *(binary(), "--endpoint", world.server.url, "--output", output, "ctl", "explain"),
            *(*arguments, "--cluster", world.cluster),
        ],
        env={"PATH": os.environ["PATH"], "HOME": "/nonexistent"},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def define(world: World, name: str, **members: Any) -> str:
    container = {"name": "app", "image": world.image, "memory": 16, **members}
    answer = world.ecs.register_task_definition(family=name, containerDefinitions=[container])
    return str(answer["taskDefinition"]["taskDefinitionArn"])


def test_all_that_waits_is_named(world: World, name: str) -> None:
    world.ecs.create_service(
        cluster=world.cluster,
        serviceName=name,
        taskDefinition=define(world, name, memory=9_999_999),
        desiredCount=1,
    )

    def waits() -> Any:
        answer = json.loads(explain(world, output="json"))
        services = {service["serviceName"]: service for service in answer["services"]}
        causes = {wait["cause"]: wait for wait in services[name]["waits"]}
        # Explain plans by itself; since when there is no place the scheduler says after a pass.
        wait = causes.get("NO_PLACE")
        return wait if wait and wait["since"] else None

    wait = until(waits, "the service to have no place", 30)
    assert wait["what"].startswith("a place for a task: none of 2 instances has one")
    assert wait["since"] and wait["until"] is None and wait["fix"]
    told = explain(world)
    assert f"service {name} waits for:\n  NO_PLACE: a place for a task" in told
    assert "    to fix: " in told
    world.ecs.delete_service(cluster=world.cluster, service=name, force=True)


def test_a_crashed_task_tells_its_last_words(world: World, name: str) -> None:
    crash = ["sh", "-c", "echo no database >&2; exit 3"]
    definition = define(world, name, command=crash)
    run = world.ecs.run_task(cluster=world.cluster, taskDefinition=definition)
    task = run["tasks"][0]["taskArn"]
    config = {"Delay": 1, "MaxAttempts": 60}
    world.ecs.get_waiter("tasks_stopped").wait(
        cluster=world.cluster, tasks=[task], WaiterConfig=config
    )
    told = explain(world, task)
    assert "STOPPED: EssentialContainerExited: Essential container in task exited" in told
    assert "container app: exit code 3" in told
    assert "    to fix: read its last log lines" in told
    assert "  last lines of app:\n    no database\n" in told
