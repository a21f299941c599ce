"""Docker as an outsider sees it: what really runs."""

import json
import subprocess
from typing import Any

TASK_ARN = "com.amazonaws.ecs.task-arn"
FAMILY = "com.amazonaws.ecs.task-definition-family"
CLUSTER = "com.amazonaws.ecs.cluster"
CONTAINER_NAME = "com.amazonaws.ecs.container-name"


def docker(*arguments: str) -> str:
    """Runs the Docker client and gives its output."""
    done = subprocess.run(
        ["docker", *arguments], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, f"docker {' '.join(arguments)}: {done.stderr.strip()}"
    return done.stdout.strip()


def inspect(*ids: str) -> list[dict[str, Any]]:
    """Everything Docker knows of containers."""
    return json.loads(docker("inspect", *ids)) if ids else []


def containers(label: str, value: str, everything: bool = False) -> list[str]:
    """Ids of the containers with a label; with `everything`, of those that ended, too."""
    flags = ["--no-trunc", "-q", *(["-a"] if everything else [])]
    return docker("ps", *flags, "--filter", f"label={label}={value}").split()


def of_task(arn: str, everything: bool = True) -> dict[str, dict[str, Any]]:
    """The containers of a task by their names in it."""
    found = inspect(*containers(TASK_ARN, arn, everything))
    return {each["Config"]["Labels"][CONTAINER_NAME]: each for each in found}


def exec_in(container: str, *command: str) -> str:
    """The output of a command in a running container."""
    return docker("exec", container, *command)


def remove_family(family: str) -> None:
    """Removes every container of a family of task definitions."""
    remove(containers(FAMILY, family, everything=True))


def remove_cluster(cluster: str) -> None:
    """Removes every container that an agent of `cluster` made."""
    remove(containers(CLUSTER, cluster, everything=True))


def remove(ids: list[str]) -> None:
    """Removes containers, whatever their state."""
    if ids:
        subprocess.run(["docker", "rm", "-fv", *ids], capture_output=True, check=False)
