"""A control plane that is restored from a backup, and the instances that have gone on meanwhile."""

import pathlib
from collections.abc import Callable

from harness import docker
from harness.cli import longshore
from harness.process import World
from harness.tasks import Tasks
from harness.wait import until


def test_instances_follow_a_restored_control_plane(
    new_world: Callable[..., World], tmp_path: pathlib.Path, name: str
) -> None:
    first, second = f"redb:{tmp_path}/first.redb", f"redb:{tmp_path}/second.redb"
    world = new_world(1, "--open", "--store", first)
    tasks = Tasks(world, name)
    kept, gone = (tasks.running()["taskArn"] for _ in range(2))
    container = tasks.inspect(kept)
    file = str(tmp_path / "backup")
    longshore(world.server.url, "ctl", "store", "backup", file)
    # After the backup one task ends and another one starts.
    docker.docker("kill", tasks.inspect(gone)["Id"])
    tasks.wait(gone, "STOPPED")
    later = tasks.running()["taskArn"]
    stranger = tasks.inspect(later)["Id"]
    world.server.stop()

    longshore(world.server.url, "ctl", "store", "import", file, "--store", second)
    given = world.server.arguments
    given[given.index(first)] = second
    world.server.start()
    [agent] = world.agents
    until(agent.connected, "the agent to come back")
    found = tasks.describe(kept)
    assert found["lastStatus"] == "RUNNING"
    assert tasks.inspect(kept)["Id"] == container["Id"]
    assert tasks.inspect(kept)["State"]["StartedAt"] == container["State"]["StartedAt"]
    # What the backup does not know is stopped; what ended since is told again.
    until(lambda: not docker.inspect(stranger)[0]["State"]["Running"], "the stranger to be stopped")
    assert tasks.wait(gone, "STOPPED")["stopCode"]
