"""`longshore deploy --wait` ends well only when the deployment does, and says what went wrong."""

import json
import os
import pathlib
import subprocess
from collections.abc import Callable

import pytest
from harness.process import World, binary

Deploy = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def deploy(world: World, tmp_path: pathlib.Path) -> Deploy:
    """Deploys a compose file with one service."""

    def run(
        service: str, members: str, *options: str, fails: bool = False
    ) -> subprocess.CompletedProcess[str]:
        file = tmp_path / "compose.yaml"
        file.write_text(f"services:\n  {service}:\n{members}")
        done = subprocess.run(
            [
                *(binary(), "--endpoint", world.server.url, "--output", "json", "deploy"),
                *("-f", str(file), "--cluster", world.cluster, "--wait", *options),
            ],
            env={"PATH": os.environ["PATH"], "HOME": "/nonexistent"},
            capture_output=True,
            text=True,
            timeout=180,
        )
        assert (done.returncode != 0) == fails, f"{done.stdout}\n{done.stderr}"
        return done

    return run


def test_a_good_deployment_ends_well(world: World, name: str, deploy: Deploy) -> None:
    good = f"    image: {world.image}\n    command: sleep 1000\n    scale: 2\n"
    done = deploy(name, good)
    assert [task["status"] for task in json.loads(done.stdout)] == ["RUNNING", "RUNNING"]
    assert f"(service {name}) has reached a steady state." in done.stderr
    assert f"{name}: 2/2 running, 0 failed; done" in done.stderr
    [last] = world.ecs.list_service_deployments(cluster=world.cluster, service=name)[
        "serviceDeployments"
    ]
    assert last["status"] == "SUCCESSFUL"
    world.ecs.delete_service(cluster=world.cluster, service=name, force=True)


def test_a_rollback_is_no_success(world: World, name: str, deploy: Deploy) -> None:
    back = "    deploy: {update_config: {failure_action: rollback}}\n"
    deploy(name, f"    image: {world.image}\n    command: sleep 1000\n{back}")
    broken = f"    image: longshore.invalid/no-such-image:1\n{back}"
    done = deploy(name, broken, fails=True)
    assert "rolling back to deployment ecs-svc/" in done.stderr
    assert f"longshore: the deployment of {name} failed: ROLLBACK_SUCCESSFUL: " in done.stderr
    assert "TaskFailedToStart: CannotPullContainerError" in done.stderr
    assert "in the same way)" in done.stderr
    # What runs is as many tasks as were wanted, of the revision before.
    described = world.ecs.describe_services(cluster=world.cluster, services=[name])["services"][0]
    assert described["runningCount"] == described["desiredCount"] == 1
    assert done.stdout == ""
    world.ecs.delete_service(cluster=world.cluster, service=name, force=True)


def test_a_crash_shows_its_last_words(world: World, name: str, deploy: Deploy) -> None:
    crash = (
        f"    image: {world.image}\n"
        # One stream: Docker keeps no order between two.
        '    command: ["sh", "-c", "{ echo first; echo no database; } >&2; exit 3"]\n'
        '    healthcheck: {test: ["CMD", "true"], interval: 5s}\n'
    )
    done = deploy(name, crash, "--timeout", "8", fails=True)
    assert f"longshore: the deployment of {name} failed: not steady after 8 s: " in done.stderr
    assert "EssentialContainerExited: Essential container in task exited" in done.stderr
    assert f"container {name}: STOPPED, exit code 3" in done.stderr
    assert f"  last lines of {name}:\n    first\n    no database\n" in done.stderr
    assert f"to fix: longshore ctl explain {name} --cluster {world.cluster}" in done.stderr
    # Where the runtime of the instance is out of reach, that is said.
    far = deploy(name, crash, "--timeout", "4", "--docker-socket", "/nonexistent", fails=True)
    assert "logs: cannot reach Docker at /nonexistent" in far.stderr
    world.ecs.delete_service(cluster=world.cluster, service=name, force=True)
