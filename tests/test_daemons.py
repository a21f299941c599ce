"""Managed daemons: one task on each instance, renewed by deployments, gone when deleted."""

import contextlib
import datetime
import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from harness import aws, docker
from harness.process import World
from harness.tasks import FOREVER, Tasks, container
from harness.wait import until

ARNS = f"arn:aws:ecs:{aws.REGION}:{aws.ACCOUNT}"
PROVIDER = f"{ARNS}:capacity-provider/machines"
WAIT = {"Delay": 1, "MaxAttempts": 90}


class Daemon:
    """One daemon and its tasks, in a cluster of its own."""

    def __init__(self, world: World, name: str) -> None:
        self.world = world
        self.ecs = world.ecs
        self.cluster = world.cluster
        self.name = name
        self.arn = f"{ARNS}:daemon/{self.cluster}/{name}"

    def define(self, **members: Any) -> str:
        """Registers a daemon task definition and gives its ARN."""
        defined = container(self.world.image, command=FOREVER) | {"memory": 16} | members
        answer = self.ecs.register_daemon_task_definition(
            family=self.name, containerDefinitions=[defined]
        )
        return str(answer["daemonTaskDefinitionArn"])

    def create(self, definition: str, **members: Any) -> str:
        """Creates it and gives the ARN of its first deployment."""
        answer = self.ecs.create_daemon(
            clusterArn=self.cluster,
            daemonName=self.name,
            daemonTaskDefinitionArn=definition,
            capacityProviderArns=[PROVIDER],
            **members,
        )
        assert answer["daemonArn"] == self.arn
        return str(answer["deploymentArn"])

    def update(self, definition: str, **members: Any) -> str:
        """Updates it and gives the ARN of the deployment."""
        answer = self.ecs.update_daemon(
            daemonArn=self.arn,
            daemonTaskDefinitionArn=definition,
            capacityProviderArns=[PROVIDER],
            **members,
        )
        return str(answer["deploymentArn"])

    def describe(self) -> dict[str, Any]:
        return self.ecs.describe_daemon(daemonArn=self.arn)["daemon"]

    def deployment(self, arn: str) -> dict[str, Any]:
        answer = self.ecs.describe_daemon_deployments(daemonDeploymentArns=[arn])
        return answer["daemonDeployments"][0]

    def successful(self, arn: str) -> dict[str, Any]:
        """Waits with the SDK's own waiter."""
        waiter = self.ecs.get_waiter("daemon_deployment_successful")
        waiter.wait(daemonDeploymentArns=[arn], WaiterConfig=WAIT)
        return self.deployment(arn)

    def tasks(self, status: str = "RUNNING") -> list[dict[str, Any]]:
        listed = self.ecs.list_tasks(
            cluster=self.cluster, daemonName=self.name, desiredStatus=status
        )["taskArns"]
        if not listed:
            return []
        answer = self.ecs.describe_tasks(cluster=self.cluster, tasks=listed, include=["TAGS"])
        return answer["tasks"]

    def places(self) -> list[str]:
        """Instances where it runs, one entry for each task."""
        running = [task for task in self.tasks() if task["lastStatus"] == "RUNNING"]
        return sorted(task["containerInstanceArn"] for task in running)

    def delete(self) -> str:
        return str(self.ecs.delete_daemon(daemonArn=self.arn)["deploymentArn"])

    def gone(self) -> bool:
        with contextlib.suppress(self.ecs.exceptions.DaemonNotFoundException):
            self.describe()
            return False
        return True


@pytest.fixture
def two(new_world: Callable[[int], World], name: str) -> Iterator[Daemon]:
    """A daemon to be made in a cluster with two instances."""
    yield Daemon(new_world(2), name)


def test_a_daemon_follows_its_instances(two: Daemon) -> None:
    world, definition = two.world, two.define()
    first = two.create(
        definition,
        tags=[{"key": "team", "value": "a"}],
        propagateTags="DAEMON",
        enableECSManagedTags=True,
    )
    two.ecs.get_waiter("daemon_active").wait(daemonArn=two.arn, WaiterConfig=WAIT)
    done = two.successful(first)
    assert done["targetDaemonRevision"]["totalRunningInstanceCount"] == 2
    assert done["circuitBreaker"]["status"] == "MONITORING_COMPLETE"
    assert done["deploymentConfiguration"]["drainPercent"] == 25.0
    assert two.places() == sorted(agent.arn for agent in world.agents)
    tasks = two.tasks()
    assert {task["group"] for task in tasks} == {f"daemon:{two.name}"}
    assert {task["taskDefinitionArn"] for task in tasks} == {definition}
    assert {tag["key"]: tag["value"] for tag in tasks[0]["tags"]} == {
        "team": "a",
        "aws:ecs:clusterName": two.cluster,
        "aws:ecs:daemonName": two.name,
    }
    for task in tasks:
        found = docker.of_task(task["taskArn"])
        assert found["app"]["State"]["Running"]
    [revision] = two.describe()["currentRevisions"]
    assert revision["totalRunningCount"] == 2
    [shown] = two.ecs.describe_daemon_revisions(daemonRevisionArns=[revision["arn"]])[
        "daemonRevisions"
    ]
    assert shown["critical"] is True
    assert shown["containerImages"][0]["image"] == world.image

    # An instance joins, and one leaves: its other task ends first.
    third = world.add_agent(zone="c").arn
    until(lambda: third in two.places() and len(two.places()) == 3, "one on the new instance")
    definitions = Tasks(world, f"{two.name}-app")
    app = definitions.define({"memory": 16})
    started = world.ecs.start_task(
        cluster=world.cluster, taskDefinition=app, containerInstances=[third]
    )
    [task] = started["tasks"]
    definitions.wait(task["taskArn"], "RUNNING")
    world.ecs.update_container_instances_state(
        cluster=world.cluster, containerInstances=[third], status="DRAINING"
    )
    definitions.stop(task["taskArn"])
    until(lambda: third not in two.places(), "the daemon to leave the draining instance")
    [left] = [task for task in two.tasks("STOPPED") if task["containerInstanceArn"] == third]
    ended = definitions.wait(left["taskArn"], "STOPPED")
    assert "is draining" in ended["stoppedReason"]
    assert ended["stoppingAt"] >= definitions.describe(task["taskArn"])["stoppedAt"]
    world.ecs.update_container_instances_state(
        cluster=world.cluster, containerInstances=[third], status="ACTIVE"
    )
    until(lambda: third in two.places(), "the daemon to come back")

    # What dies is started again.
    victim = two.tasks()[0]["taskArn"]
    docker.docker("kill", docker.of_task(victim)["app"]["Id"])
    definitions.wait(victim, "STOPPED")
    until(lambda: len(two.places()) == 3, "another task in its place")

    deletion = two.delete()
    until(two.gone, "the daemon to be gone", 60)
    assert two.deployment(deletion)["status"] == "SUCCESSFUL"
    family = "com.amazonaws.ecs.task-definition-family"
    # Docker lists a container that has ended a little longer.
    until(lambda: not docker.containers(family, two.name), "its containers to be gone")


def test_an_update_is_rolled_out(two: Daemon) -> None:
    two.successful(two.create(two.define()))
    before = {task["taskArn"] for task in two.tasks()}
    definition = two.define(environment=[{"name": "VERSION", "value": "2"}])
    arn = two.update(definition, deploymentConfiguration={"drainPercent": 50.0})
    least = 2

    def done() -> bool:
        nonlocal least
        least = min(least, len(two.places()))
        return two.deployment(arn)["status"] == "SUCCESSFUL"

    until(done, "the deployment to be successful", 90)
    assert least >= 1, "half of the instances at a time"
    after = two.tasks()
    assert len(after) == 2
    assert not before & {task["taskArn"] for task in after}
    assert {task["taskDefinitionArn"] for task in after} == {definition}
    shown = two.deployment(arn)
    assert shown["deploymentConfiguration"]["drainPercent"] == 50.0
    assert len(shown["sourceDaemonRevisions"]) == 1
    assert shown["startedAt"] <= shown["finishedAt"]
    listed = two.ecs.list_daemon_deployments(daemonArn=two.arn)["daemonDeployments"]
    assert [each["status"] for each in listed] == ["SUCCESSFUL"] * 2
    assert listed[0]["daemonDeploymentArn"] == arn


def test_a_broken_image_is_rolled_back(two: Daemon) -> None:
    good = two.define()
    two.successful(two.create(good))
    arn = two.update(two.define(command=["/no/such/program"]))
    until(
        lambda: two.deployment(arn)["status"] == "ROLLBACK_SUCCESSFUL",
        "the rollback to be done",
        120,
    )
    shown = two.deployment(arn)
    assert shown["circuitBreaker"]["status"] == "TRIGGERED"
    assert shown["circuitBreaker"]["failureCount"] >= shown["circuitBreaker"]["threshold"]
    assert "circuit breaker" in shown["rollback"]["reason"]
    source = shown["sourceDaemonRevisions"][0]["arn"]
    assert shown["rollback"]["rollbackTargetDaemonRevisionArn"] == source
    assert {task["taskDefinitionArn"] for task in two.tasks()} == {good}
    assert len(two.places()) == 2
    with pytest.raises(Exception, match="ROLLBACK_SUCCESSFUL"):
        two.successful(arn)


def test_a_joining_instance_runs_the_daemon_first(
    new_world: Callable[[int], World], name: str
) -> None:
    world = new_world(0)
    daemon = Daemon(world, name)
    daemon.successful(daemon.create(daemon.define()))
    app = Tasks(world, f"{name}-app")
    definition = app.define({"memory": 16})
    world.ecs.create_service(
        cluster=world.cluster, serviceName=name, taskDefinition=definition, desiredCount=1
    )
    world.add_agent()

    def running() -> str | None:
        listed = world.ecs.list_tasks(cluster=world.cluster, serviceName=name)["taskArns"]
        return listed[0] if listed else None

    task = app.wait(str(until(running, "a task of the service")), "RUNNING")
    [first] = daemon.tasks()
    assert first["startedAt"] <= task["createdAt"]
    world.ecs.delete_service(cluster=world.cluster, service=name, force=True)


def test_the_server_may_be_killed_amid_a_deployment(two: Daemon) -> None:
    two.successful(two.create(two.define()))
    arn = two.update(two.define(environment=[{"name": "VERSION", "value": "2"}]))
    until(lambda: two.deployment(arn)["status"] == "IN_PROGRESS", "the deployment to begin")
    two.world.server.kill()
    two.world.server.start()
    until(lambda: two.deployment(arn)["status"] == "SUCCESSFUL", "the deployment to go on", 120)
    assert len(two.places()) == 2


def test_definitions_are_deleted_when_nothing_has_them(ecs: Any, name: str) -> None:
    defined = [{"name": "app", "image": "agent", "memory": 16}]
    for _ in range(2):
        answer = ecs.register_daemon_task_definition(family=name, containerDefinitions=defined)
    arn = answer["daemonTaskDefinitionArn"]
    assert arn == f"{ARNS}:daemon-task-definition/{name}:2"
    active = ecs.get_waiter("daemon_task_definition_active")
    active.wait(daemonTaskDefinition=arn, WaiterConfig=WAIT)
    listed = ecs.list_daemon_task_definitions(familyPrefix=name)["daemonTaskDefinitions"]
    assert [each["arn"] for each in listed] == [arn[:-1] + "1", arn]
    answer = ecs.delete_daemon_task_definition(daemonTaskDefinition=arn)
    assert answer["daemonTaskDefinitionArn"] == arn
    deleted = ecs.get_waiter("daemon_task_definition_deleted")
    deleted.wait(daemonTaskDefinition=arn, WaiterConfig=WAIT)
    shown = ecs.describe_daemon_task_definition(daemonTaskDefinition=name)["daemonTaskDefinition"]
    assert shown["revision"] == 1, "the latest ACTIVE one"


def test_daemons_that_cannot_be(ecs: Any, name: str) -> None:
    ecs.create_cluster(clusterName=name)
    defined = [{"name": "app", "image": "agent", "memory": 16}]
    definition = ecs.register_daemon_task_definition(family=name, containerDefinitions=defined)
    good = {
        "clusterArn": name,
        "daemonName": "watch",
        "daemonTaskDefinitionArn": definition["daemonTaskDefinitionArn"],
        "capacityProviderArns": [PROVIDER],
    }
    alarms = {"alarmNames": ["a"], "enable": True}
    for members in (
        {"daemonName": "no spaces"},
        {"daemonName": ""},
        {"daemonName": "n" * 256},
        {"daemonTaskDefinitionArn": "never-registered"},
        {"daemonTaskDefinitionArn": f"{ARNS}:task-definition/{name}:1"},
        {"capacityProviderArns": []},
        {"capacityProviderArns": ["FARGATE"]},
        {"capacityProviderArns": [PROVIDER.replace(aws.ACCOUNT, "111111111111")]},
        {"capacityProviderArns": [PROVIDER] * 1000},
        {"deploymentConfiguration": {"drainPercent": 0.0}},
        {"deploymentConfiguration": {"drainPercent": 100.1}},
        {"deploymentConfiguration": {"drainPercent": float("nan")}},
        {"deploymentConfiguration": {"bakeTimeInMinutes": -1}},
        {"deploymentConfiguration": {"bakeTimeInMinutes": 100_000}},
        {"deploymentConfiguration": {"alarms": alarms}},
        {"clusterArn": "no-such-cluster"},
        {"clientToken": "x" * 100},
        {"tags": [{"key": "aws:mine", "value": "a"}]},
        {"propagateTags": "SERVICE"},
    ):
        with aws.refused(
            (
                "InvalidParameterException",
                "ClientException",
                "ClusterNotFoundException",
                "UnsupportedFeatureException",
                "SerializationException",
            )
        ):
            ecs.create_daemon(**(good | members))
    assert ecs.list_daemons(clusterArn=name)["daemonSummariesList"] == []
    made = ecs.create_daemon(**good)
    assert ecs.create_daemon(**good)["daemonArn"] == made["daemonArn"]
    with aws.refused("InvalidParameterException", "not idempotent"):
        ecs.create_daemon(**(good | {"critical": False}))
    with aws.refused("ClientException", "Daemons are active"):
        ecs.delete_cluster(cluster=name)
    with aws.refused("InvalidParameterException", "namespace"):
        ecs.run_task(cluster=name, taskDefinition="any", group="daemon:watch")
    missing = f"{ARNS}:daemon-deployment/{name}/watch/{'0' * 32}"
    answer = ecs.describe_daemon_deployments(daemonDeploymentArns=[missing])
    assert answer["failures"] == [{"arn": missing, "reason": "MISSING"}]
    with pytest.raises(Exception, match="MISSING"):
        ecs.get_waiter("daemon_deployment_stopped").wait(
            daemonDeploymentArns=[missing], WaiterConfig=WAIT
        )
    later = datetime.datetime.now(datetime.UTC) + datetime.timedelta(days=1)
    listed = ecs.list_daemon_deployments(daemonArn=made["daemonArn"], createdAt={"after": later})
    assert listed["daemonDeployments"] == []
    for arn in ("watch", "arn:aws:ecs", made["daemonArn"] + "x", "a" * 10_000):
        with aws.refused(("InvalidParameterException", "DaemonNotFoundException")):
            ecs.describe_daemon(daemonArn=arn)
    ecs.delete_daemon(daemonArn=made["daemonArn"])
    until(
        lambda: ecs.list_daemons(clusterArn=name)["daemonSummariesList"] == [],
        "the daemon to be gone",
    )


def test_a_daemon_without_room_says_why(two: Daemon) -> None:
    arn = two.create(two.define(memory=100_000))
    reason = until(lambda: two.deployment(arn).get("statusReason"), "the reason in the deployment")
    assert "RESOURCE:MEMORY" in str(reason)
    why = two.world.server.explain(two.cluster, f"daemon:{two.name}")
    assert "memory" in json.dumps(why).lower()
    two.delete()
    until(two.gone, "the daemon to be gone")
