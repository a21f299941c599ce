"""Services: created, kept alive, scaled, deployed and deleted, with containers that run."""

import json
import urllib.request
from collections.abc import Callable
from typing import Any

from harness import aws, docker
from harness.process import World
from harness.services import WAIT, Service
from harness.tasks import Tasks, sh
from harness.wait import until


def test_a_service_lives(service: Service) -> None:
    definition = service.tasks.define({"memory": 16})
    made = service.create(
        definition,
        3,
        tags=[{"key": "team", "value": "a"}],
        propagateTags="SERVICE",
        enableECSManagedTags=True,
    )
    assert made["status"] == "ACTIVE"
    assert made["serviceArn"].endswith(f":service/{service.cluster}/{service.name}")
    shown = service.stable()
    assert shown["runningCount"] == 3
    assert shown["tags"] == [{"key": "team", "value": "a"}]
    [deployment] = shown["deployments"]
    assert deployment["status"] == "PRIMARY"
    until(
        lambda: service.describe()["deployments"][0]["rolloutState"] == "COMPLETED",
        "the deployment to be completed",
    )
    found = service.running()
    assert {task["group"] for task in found} == {f"service:{service.name}"}
    assert {task["startedBy"] for task in found} == {deployment["id"]}
    # The default strategy spreads over the zones.
    zones = [task["availabilityZone"] for task in found]
    assert sorted(zones.count(zone) for zone in set(zones)) == [1, 2]
    tagged = service.tasks.describe(found[0]["taskArn"])["tags"]
    assert {t["key"]: t["value"] for t in tagged} == {
        "team": "a",
        "aws:ecs:clusterName": service.cluster,
        "aws:ecs:serviceName": service.name,
    }
    until(
        lambda: f"(service {service.name}) has reached a steady state." in service.messages(),
        "the steady state event",
    )

    service.update(desiredCount=5)
    assert service.stable()["runningCount"] == 5
    kept = {task["taskArn"] for task in found}
    assert kept < {task["taskArn"] for task in service.running()}
    service.update(desiredCount=1)
    assert service.stable()["runningCount"] == 1
    [left] = until(
        lambda: len(service.running()) == 1 and service.running(), "the others to be stopped"
    )
    gone = next(arn for arn in kept if arn != left["taskArn"])
    stopped = service.tasks.wait(gone, "STOPPED")
    assert stopped["stopCode"] == "ServiceSchedulerInitiated"
    assert "Scaling activity initiated by" in stopped["stoppedReason"]

    with aws.refused("InvalidParameterException", "scaled above 0"):
        service.ecs.delete_service(cluster=service.cluster, service=service.name)
    service.update(desiredCount=0)
    service.ecs.delete_service(cluster=service.cluster, service=service.name)
    service.ecs.get_waiter("services_inactive").wait(
        cluster=service.cluster, services=[service.name], WaiterConfig=WAIT
    )
    assert service.describe()["status"] == "INACTIVE"
    listed = service.ecs.list_services(cluster=service.cluster)["serviceArns"]
    assert made["serviceArn"] not in listed


def test_what_dies_is_replaced(service: Service) -> None:
    service.create(service.tasks.define({"memory": 16}), 2)
    service.stable()
    first, second = service.running()
    docker.docker("kill", service.tasks.inspect(first["taskArn"])["Id"])
    service.tasks.wait(first["taskArn"], "STOPPED")
    service.tasks.stop(second["taskArn"], reason="by hand")
    service.stable()
    now = {task["taskArn"] for task in service.running()}
    assert len(now) == 2
    assert not now & {first["taskArn"], second["taskArn"]}


def answers(url: str) -> str | None:
    try:
        with urllib.request.urlopen(url, timeout=2) as answer:
            return str(json.load(answer)["greeting"])
    except (OSError, ValueError):
        return None


def test_a_rolling_deployment_keeps_enough_running(service: Service) -> None:
    def define(greeting: str) -> str:
        return service.tasks.define(
            {
                "command": ["/bin/serve"],
                "portMappings": [{"containerPort": 80}],
                "environment": [{"name": "GREETING", "value": greeting}],
            }
        )

    service.create(define("one"), 4)
    service.stable()
    before = {task["taskArn"] for task in service.running()}
    service.update(
        taskDefinition=define("two"),
        deploymentConfiguration={"minimumHealthyPercent": 75, "maximumPercent": 150},
    )

    def done() -> bool:
        shown = service.describe()
        assert shown["runningCount"] >= 3, "minimumHealthyPercent"
        assert shown["runningCount"] + shown["pendingCount"] <= 6, "maximumPercent"
        finished = len(shown["deployments"]) == 1
        return finished and shown["deployments"][0]["rolloutState"] == "COMPLETED"

    until(done, "the deployment to be completed", 120)
    after = service.running()
    assert len(after) == 4
    assert not before & {task["taskArn"] for task in after}
    for task in after:
        [binding] = task["containers"][0]["networkBindings"]
        url = f"http://{binding['bindIP']}:{binding['hostPort']}"
        assert until(lambda url=url: answers(url), f"an answer from {url}") == "two"


def test_a_forced_deployment_replaces_all(service: Service) -> None:
    service.create(service.tasks.define({"memory": 16}), 2)
    before = {task["taskArn"] for task in service.stable() and service.running()}
    service.update(forceNewDeployment=True)
    service.stable()
    assert not before & {task["taskArn"] for task in service.running()}


def test_a_failing_deployment_keeps_what_runs(service: Service) -> None:
    good = service.tasks.define({"memory": 16})
    service.create(good, 2)
    service.stable()
    before = {task["taskArn"] for task in service.running()}
    service.update(taskDefinition=service.tasks.define({"command": ["/no/such/program"]}))
    until(
        lambda: service.describe()["deployments"][0]["failedTasks"] >= 3,
        "the new deployment to fail a few times",
        60,
    )
    shown = service.describe()
    assert [d["status"] for d in shown["deployments"]] == ["PRIMARY", "ACTIVE"]
    assert before <= {task["taskArn"] for task in service.running()}
    service.update(taskDefinition=good)
    service.stable()
    assert service.describe()["runningCount"] == 2


def test_daemons_run_once_on_each_instance(new_world: Callable[[int], World], name: str) -> None:
    world = new_world(2)
    service = Service(Tasks(world, name))
    world.ecs.create_service(
        cluster=world.cluster,
        serviceName=name,
        taskDefinition=service.tasks.define({"memory": 16}),
        schedulingStrategy="DAEMON",
    )
    until(lambda: service.describe()["runningCount"] == 2, "one task on each")
    third = world.add_agent(zone="c").arn
    until(lambda: service.describe()["runningCount"] == 3, "one on the new instance")
    assert third in {task["containerInstanceArn"] for task in service.running()}


def test_draining_moves_a_services_tasks(new_world: Callable[[int], World], name: str) -> None:
    world = new_world(2)
    service = Service(Tasks(world, name))
    service.create(service.tasks.define({"memory": 16}), 2)
    service.stable()
    first, second = (agent.arn for agent in world.agents)
    world.ecs.update_container_instances_state(
        cluster=world.cluster, containerInstances=[first], status="DRAINING"
    )
    until(
        lambda: [task["containerInstanceArn"] for task in service.running()] == [second] * 2,
        "both tasks on the other instance",
    )
    assert service.stable()["runningCount"] == 2


def test_a_service_without_room_says_why(service: Service) -> None:
    service.create(service.tasks.define({"memory": 100_000}), 1)
    said = until(
        lambda: [m for m in service.messages() if "unable to place a task" in m],
        "the event",
    )
    assert "insufficient memory" in said[0]
    why = service.tasks.world.server.explain(service.cluster, f"service:{service.name}")
    assert "memory" in json.dumps(why).lower()
    # What is refused is one event, not one for each try.
    assert len(said) == 1


def test_the_aws_cli_runs_a_service(world: World, name: str, service: Service) -> None:
    url = world.server.url
    definition = service.tasks.define({"memory": 16})
    common = ("--cluster", world.cluster)

    def ecs(*arguments: str) -> Any:
        return aws.cli(url, "ecs", *arguments)

    made = ecs(
        "create-service",
        *common,
        "--service-name",
        name,
        "--task-definition",
        definition,
        "--desired-count",
        "1",
    )
    assert made["service"]["serviceName"] == name
    ecs("wait", "services-stable", *common, "--services", name)
    ecs("update-service", *common, "--service", name, "--desired-count", "0")
    ecs("delete-service", *common, "--service", name)
    ecs("wait", "services-inactive", *common, "--services", name)


def test_services_that_cannot_be(service: Service) -> None:
    definition = service.tasks.define()
    service.create(definition, 0)
    assert service.create(definition, 0)["serviceName"] == service.name
    with aws.refused("InvalidParameterException", "not idempotent"):
        service.create(service.tasks.define({"memory": 20}), 3)
    bad = {"cluster": service.cluster, "taskDefinition": definition, "desiredCount": 1}
    for members in (
        {"serviceName": "no spaces"},
        {"serviceName": "a", "desiredCount": -1},
        {"serviceName": "a", "schedulingStrategy": "DAEMON", "desiredCount": 2},
        {"serviceName": "a", "taskDefinition": "never-registered"},
        {"serviceName": "a", "placementStrategy": [{"type": "spread", "field": "x y"}] * 6},
        {"serviceName": "a", "deploymentConfiguration": {"minimumHealthyPercent": -5}},
    ):
        with aws.refused(("InvalidParameterException", "ClientException")):
            service.ecs.create_service(**(bad | members))
    with aws.refused("ServiceNotFoundException"):
        service.ecs.update_service(cluster=service.cluster, service="nobody", desiredCount=1)
    with aws.refused("ServiceNotFoundException"):
        service.ecs.delete_service(cluster=service.cluster, service="nobody")
    missing = service.ecs.describe_services(cluster=service.cluster, services=["nobody"])
    assert [f["reason"] for f in missing["failures"]] == ["MISSING"]


def test_a_service_that_never_starts_is_told_about(service: Service) -> None:
    """A service whose tasks never run is retried at growing distance, and is told about."""
    service.create(service.tasks.define({"command": ["/no/such/program"]}), 1)
    until(
        lambda: any("unable to consistently start tasks" in m for m in service.messages()),
        "the event of a throttled service",
        90,
    )
    assert service.describe()["deployments"][0]["failedTasks"] >= 1


def test_unhealthy_tasks_are_replaced(service: Service) -> None:
    check = {"command": ["CMD-SHELL", "test ! -e /tmp/sick"], "interval": 5, "retries": 1}
    sick = {
        "healthCheck": check | {"timeout": 2},
        "command": sh("exec sleep 1000"),
        "stopTimeout": 1,
    }
    service.create(service.tasks.define(sick), 1)
    service.stable()
    [task] = service.running()
    until(lambda: service.running()[0]["healthStatus"] == "HEALTHY", "the task to be HEALTHY")
    service.tasks.exec(task["taskArn"], "touch", "/tmp/sick")
    gone = service.tasks.wait(task["taskArn"], "STOPPED")
    assert gone["stoppedReason"] == "Task failed container health checks"
    assert service.stable()["runningCount"] == 1
