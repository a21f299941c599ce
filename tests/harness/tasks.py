"""Registering, running and watching tasks, the short way."""

from typing import Any

from harness import docker
from harness.process import World
from harness.wait import until


def container(image: str, **members: Any) -> dict[str, Any]:
    """A container definition that runs until it is stopped, unless told otherwise."""
    return {"name": "app", "image": image, "memory": 32, "essential": True, **members}


def sh(script: str) -> list[str]:
    """A command that runs a shell script."""
    return ["sh", "-c", script]


# Ends at once on SIGTERM, as a well-made program does.
FOREVER = sh("trap 'exit 0' TERM; while true; do sleep 1000 & wait $!; done")


class Tasks:
    """Tasks in a world; `family` names their definitions."""

    def __init__(self, world: World, family: str) -> None:
        self.world = world
        self.ecs = world.ecs
        self.cluster = world.cluster
        self.family = family

    def define(self, *containers: dict[str, Any], **members: Any) -> str:
        """Registers a task definition and gives its ARN."""
        listed = [
            container(self.world.image, command=FOREVER) | each for each in containers or [{}]
        ]
        answer = self.ecs.register_task_definition(
            family=self.family, containerDefinitions=listed, **members
        )
        return str(answer["taskDefinition"]["taskDefinitionArn"])

    def run(self, definition: str, **members: Any) -> dict[str, Any]:
        """Runs one task and gives it as it was answered."""
        answer = self.ecs.run_task(cluster=self.cluster, taskDefinition=definition, **members)
        assert not answer["failures"], answer["failures"]
        return answer["tasks"][0]

    def describe(self, arn: str) -> dict[str, Any]:
        """A task as it is now."""
        answer = self.ecs.describe_tasks(cluster=self.cluster, tasks=[arn], include=["TAGS"])
        assert not answer["failures"], answer["failures"]
        return answer["tasks"][0]

    def wait(self, arn: str, status: str, timeout: float = 60) -> dict[str, Any]:
        """Waits for a status. A task that stopped instead fails at once, with its reason."""

        def ask() -> dict[str, Any] | None:
            task = self.describe(arn)
            if task["lastStatus"] == status:
                return task
            if task["lastStatus"] == "STOPPED":
                reasons = [each.get("reason") for each in task["containers"]]
                raise AssertionError(f"stopped: {task.get('stoppedReason')}; {reasons}")
            return None

        return until(ask, f"{arn} to be {status}", timeout)

    def running(self, *containers: dict[str, Any], **members: Any) -> dict[str, Any]:
        """Registers and runs a task, and waits until it is RUNNING."""
        task = self.run(self.define(*containers, **members))
        return self.wait(task["taskArn"], "RUNNING")

    def finished(self, *containers: dict[str, Any], **members: Any) -> dict[str, Any]:
        """Registers and runs a task, and waits until it is STOPPED."""
        task = self.run(self.define(*containers, **members))
        return self.wait(task["taskArn"], "STOPPED")

    def stop(self, arn: str, **members: Any) -> dict[str, Any]:
        """Stops a task and waits until it has."""
        self.ecs.stop_task(cluster=self.cluster, task=arn, **members)
        return self.wait(arn, "STOPPED")

    def inspect(self, arn: str, name: str = "app") -> dict[str, Any]:
        """What Docker knows of a container of a task."""
        return docker.of_task(arn)[name]

    def exec(self, arn: str, *command: str, name: str = "app") -> str:
        """The output of a command in a container of a task."""
        return docker.exec_in(self.inspect(arn, name)["Id"], *command)

    def logs(self, arn: str, name: str = "app") -> str:
        """What a container of a task printed."""
        return docker.docker("logs", self.inspect(arn, name)["Id"])

    def stop_all(self) -> None:
        """Stops every task of this family, without waiting."""
        for arn in self.ecs.list_tasks(cluster=self.cluster, family=self.family)["taskArns"]:
            self.ecs.stop_task(cluster=self.cluster, task=arn)
