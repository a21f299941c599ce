"""Half-empty instances are emptied when somebody asks for it, and not before."""

from collections.abc import Callable

from harness.cli import as_json, longshore
from harness.process import World
from harness.services import Service
from harness.tasks import Tasks
from harness.wait import until


def test_consolidation_is_shown_before_it_is_done(
    new_world: Callable[[int], World], name: str
) -> None:
    world = new_world(2)
    service = Service(Tasks(world, name))
    service.create(service.tasks.define({"memory": 16}), 2, availabilityZoneRebalancing="DISABLED")
    service.ended("SUCCESSFUL")
    before = {task["containerInstanceArn"] for task in service.running()}
    assert len(before) == 2, "one on each"
    command = ("ctl", "consolidate", "--cluster", world.cluster)

    plan = as_json(world.server.url, *command)
    [drain] = plan["drains"]
    [keep] = plan["keeps"]
    assert keep["why"] == "it takes tasks of other instances"
    [move] = drain["moves"]
    assert (move["service"], move["to"]) == (name, keep["containerInstance"])
    assert "nothing was changed" in longshore(world.server.url, *command).stdout
    assert {task["containerInstanceArn"] for task in service.running()} == before

    assert as_json(world.server.url, *command, "--execute")["executed"]
    until(
        lambda: (
            {task["containerInstanceArn"].rsplit("/", 1)[1] for task in service.running()}
            == {keep["containerInstance"]}
        ),
        "both tasks to be on one instance",
    )
    [drained] = world.ecs.describe_container_instances(
        cluster=world.cluster, containerInstances=[drain["containerInstance"]]
    )["containerInstances"]
    assert drained["status"] == "DRAINING"
    assert drained["statusReason"] == "Drained by longshore ctl consolidate"
    again = as_json(world.server.url, *command)
    assert again["drains"] == []
    assert again["keeps"][0]["why"].endswith("there is no other instance")
