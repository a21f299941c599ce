"""Task sets: a controller outside rolls out a version by itself, with containers that run."""

from typing import Any

from harness import aws, docker
from harness.services import Service
from harness.tasks import sh
from harness.wait import until


class Sets:
    """The task sets of a service with the EXTERNAL deployment controller."""

    def __init__(self, service: Service, count: int) -> None:
        self.service = service
        self.ecs = service.ecs
        self.names = {"cluster": service.cluster, "service": service.name}
        self.ecs.create_service(
            cluster=service.cluster,
            serviceName=service.name,
            desiredCount=count,
            deploymentController={"type": "EXTERNAL"},
        )

    def create(self, definition: str, percent: float, **members: Any) -> str:
        """The id of a new set."""
        answer = self.ecs.create_task_set(
            **self.names,
            taskDefinition=definition,
            scale={"value": percent, "unit": "PERCENT"},
            **members,
        )
        return str(answer["taskSet"]["id"])

    def scale(self, name: str, percent: float) -> dict[str, Any]:
        """Another share for a set."""
        scale = {"value": percent, "unit": "PERCENT"}
        return self.ecs.update_task_set(**self.names, taskSet=name, scale=scale)["taskSet"]

    def primary(self, name: str) -> dict[str, Any]:
        """The set that serves from now on."""
        answer = self.ecs.update_service_primary_task_set(**self.names, primaryTaskSet=name)
        return answer["taskSet"]

    def stable(self, name: str, count: int) -> dict[str, Any]:
        """Waits until a set is steady with so many tasks."""

        def ask() -> dict[str, Any] | None:
            [found] = self.ecs.describe_task_sets(**self.names, taskSets=[name])["taskSets"]
            steady = found["stabilityStatus"] == "STEADY_STATE"
            return found if steady and found["runningCount"] == count else None

        return until(ask, f"{name} to be steady with {count} tasks", 60)

    def containers(self, name: str) -> list[str]:
        """Names of the versions that the containers of a set run."""
        tasks = [task for task in self.service.running() if task["startedBy"] == name]
        inspected = [docker.of_task(task["taskArn"])["app"] for task in tasks]
        environments = [each["Config"]["Env"] for each in inspected if each["State"]["Running"]]
        return [next(e for e in env if e.startswith("VERSION=")) for env in environments]


def define(service: Service, version: str) -> str:
    environment = [{"name": "VERSION", "value": version}]
    return service.tasks.define({"memory": 16, "environment": environment})


def test_blue_and_green(service: Service) -> None:
    sets = Sets(service, 4)
    blue = sets.create(define(service, "blue"), 100, externalId="blue")
    shown = sets.stable(blue, 4)
    assert shown["externalId"] == "blue"
    assert shown["status"] == "ACTIVE"
    assert shown["taskSetArn"].endswith(f":task-set/{service.cluster}/{service.name}/{blue}")
    assert sets.primary(blue)["status"] == "PRIMARY"
    assert service.describe()["taskDefinition"] == shown["taskDefinition"]

    # A canary, then half, then all of the new version.
    green = sets.create(define(service, "green"), 10)
    assert sets.stable(green, 1)["computedDesiredCount"] == 1
    assert sets.containers(green) == ["VERSION=green"]
    assert sets.containers(blue) == ["VERSION=blue"] * 4
    changed = sets.scale(green, 50)
    assert (changed["computedDesiredCount"], changed["stabilityStatus"]) == (2, "STABILIZING")
    sets.stable(green, 2)
    sets.scale(green, 100)
    sets.stable(green, 4)
    before = {task["taskArn"] for task in service.running() if task["startedBy"] == green}

    with aws.refused("InvalidParameterException", "Primary TaskSet cannot be deleted"):
        service.ecs.delete_task_set(**sets.names, taskSet=blue)
    sets.primary(green)
    gone = service.ecs.delete_task_set(**sets.names, taskSet=blue)["taskSet"]
    assert gone["status"] == "DRAINING"
    until(lambda: len(service.describe()["taskSets"]) == 1, "the old set to be gone")
    left = service.describe()
    assert (left["taskSets"][0]["id"], left["runningCount"]) == (green, 4)
    assert {task["taskArn"] for task in service.running()} == before, "the others stay"
    missing = service.ecs.describe_task_sets(**sets.names, taskSets=[blue])["failures"]
    assert [failure["reason"] for failure in missing] == ["MISSING"]
    with aws.refused("TaskSetNotFoundException"):
        sets.scale(blue, 10)
    messages = service.messages()
    assert f"(service {service.name}, taskSet {blue}) has reached a steady state." in messages
    stopped = f"(service {service.name}, taskSet {blue}) has stopped 4 running tasks: "
    assert any(message.startswith(stopped) for message in messages)


def test_a_set_heals_follows_the_count_and_ends_with_its_service(service: Service) -> None:
    sets = Sets(service, 2)
    name = sets.create(define(service, "one"), 100)
    sets.stable(name, 2)
    first = service.running()[0]["taskArn"]
    docker.docker("kill", service.tasks.inspect(first)["Id"])
    service.tasks.wait(first, "STOPPED")
    sets.stable(name, 2)
    service.update(desiredCount=3)
    sets.stable(name, 3)
    with aws.refused("InvalidParameterException", "EXTERNAL deployment controller"):
        service.update(taskDefinition=define(service, "two"))
    with aws.refused("InvalidParameterException", "scaled above 0"):
        service.ecs.delete_service(cluster=service.cluster, service=service.name)
    service.ecs.delete_service(cluster=service.cluster, service=service.name, force=True)
    service.ecs.get_waiter("services_inactive").wait(
        cluster=service.cluster, services=[service.name], WaiterConfig={"Delay": 1}
    )
    assert service.running() == []


def test_a_set_that_fails_harms_no_other(service: Service) -> None:
    sets = Sets(service, 2)
    good = sets.create(define(service, "good"), 100)
    sets.stable(good, 2)
    sets.primary(good)
    bad = sets.create(service.tasks.define({"command": sh("exit 1"), "memory": 16}), 50)
    until(
        lambda: any(f"taskSet {bad}) has started" in message for message in service.messages()),
        "tasks of the bad set",
    )
    broken = service.tasks.define({"command": ["/no/such/program"], "memory": 16})
    worse = sets.create(broken, 50)
    until(
        lambda: any(
            f"taskSet {worse}) is unable to consistently start tasks" in message
            for message in service.messages()
        ),
        "the event of a set that never runs",
        90,
    )
    [found] = service.ecs.describe_task_sets(**sets.names, taskSets=[worse])["taskSets"]
    assert found["stabilityStatus"] == "STABILIZING"
    assert sets.containers(good) == ["VERSION=good"] * 2
    for name in (bad, worse):
        service.ecs.delete_task_set(**sets.names, taskSet=name)
    until(lambda: len(service.describe()["taskSets"]) == 1, "both to be gone")
    assert service.describe()["runningCount"] == 2
