"""Deployments: how they go, how they fail, how they are taken back; and what tools make of them."""

import os
import pathlib
import re
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest
from harness import aws
from harness.process import World
from harness.services import WAIT, Service
from harness.tasks import Tasks
from harness.wait import until

NOWHERE = "longshore.invalid/no-such-image:1"
"""An image that nobody can pull."""

AT_ONCE = {"minimumHealthyPercent": 0, "maximumPercent": 200}
"""Replaces all tasks without waiting for the new ones to settle."""


def breaker(rollback: bool, **members: Any) -> dict[str, Any]:
    return {"deploymentCircuitBreaker": {"enable": True, "rollback": rollback, **members}}


def ids(service: Service) -> list[str]:
    return [deployment["id"] for deployment in service.describe()["deployments"]]


def test_a_deployment_tells_how_it_went(service: Service) -> None:
    first = service.tasks.define({"memory": 16})
    service.create(first, 2, deploymentConfiguration=AT_ONCE)
    assert service.ended("SUCCESSFUL")["sourceServiceRevisions"] == []
    [old] = ids(service)
    second = service.tasks.define({"memory": 20})
    service.update(taskDefinition=second)
    done = service.ended("SUCCESSFUL")
    [new] = ids(service)
    assert done["targetServiceRevision"]["arn"].endswith(f"/{new.removeprefix('ecs-svc/')}")
    assert done["targetServiceRevision"]["runningTaskCount"] == 2
    [source] = done["sourceServiceRevisions"]
    assert source["arn"].endswith(f"/{old.removeprefix('ecs-svc/')}")
    assert done["startedAt"] <= done["finishedAt"]
    arns = [source["arn"], done["targetServiceRevision"]["arn"]]
    revisions = service.ecs.describe_service_revisions(serviceRevisionArns=arns)
    shown = [revision["taskDefinition"] for revision in revisions["serviceRevisions"]]
    assert shown == [first, second]
    assert service.describe()["deployments"][0]["rolloutStateReason"] == (
        f"ECS deployment {new} completed."
    )
    said = [re.sub(r"\(task \w+\)", "(task)", text) for text in service.messages()]
    name = f"(service {service.name})"
    assert said[:3] == [
        f"{name} has started 2 tasks: (task) (task).",
        f"{name} (deployment {old}) deployment completed.",
        f"{name} has reached a steady state.",
    ]
    assert said[-2:] == [
        f"{name} (deployment {new}) deployment completed.",
        f"{name} has reached a steady state.",
    ]


def test_a_broken_image_stops_the_deployment(service: Service) -> None:
    service.create(
        service.tasks.define({"memory": 16}), 2, deploymentConfiguration=breaker(rollback=False)
    )
    service.ended("SUCCESSFUL")
    before = {task["taskArn"] for task in service.running()}
    service.update(taskDefinition=service.tasks.define({"memory": 16, "image": NOWHERE}))
    done = service.ended("STOPPED")
    assert done["deploymentCircuitBreaker"]["status"] == "TRIGGERED"
    # Half of two, but at least three.
    assert done["deploymentCircuitBreaker"]["threshold"] == 3
    assert done["deploymentCircuitBreaker"]["failureCount"] >= 3
    assert "rollback" not in done
    shown = service.describe()
    failed, kept = shown["deployments"]
    assert (failed["status"], failed["rolloutState"]) == ("PRIMARY", "FAILED")
    assert failed["rolloutStateReason"] == (
        "ECS deployment circuit breaker: tasks failed to start."
    )
    assert failed["failedTasks"] >= 3
    assert (kept["status"], kept["rolloutState"]) == ("ACTIVE", "COMPLETED")
    said = f"(service {service.name}) (deployment {failed['id']}) deployment failed: "
    assert said + "tasks failed to start." in service.messages()
    assert {task["taskArn"] for task in service.running()} == before
    stopped = service.ecs.list_tasks(
        cluster=service.cluster, serviceName=service.name, desiredStatus="STOPPED"
    )["taskArns"]
    reasons = [
        task["containers"][0].get("reason", "")
        for task in service.ecs.describe_tasks(cluster=service.cluster, tasks=stopped)["tasks"]
    ]
    assert all("CannotPull" in reason for reason in reasons), reasons


def test_a_broken_image_is_rolled_back(service: Service) -> None:
    good = service.tasks.define({"memory": 16})
    threshold = {"type": "COUNT", "value": 2}
    configuration = breaker(rollback=True, thresholdConfiguration=threshold)
    service.create(good, 2, deploymentConfiguration=configuration)
    service.ended("SUCCESSFUL")
    before = {task["taskArn"] for task in service.running()}
    [first] = ids(service)
    service.update(taskDefinition=service.tasks.define({"memory": 16, "image": NOWHERE}))
    second = ids(service)[0]
    done = service.ended("ROLLBACK_SUCCESSFUL")
    assert done["deploymentCircuitBreaker"]["status"] == "TRIGGERED"
    assert done["deploymentCircuitBreaker"]["threshold"] == 2
    assert done["rollback"]["serviceRevisionArn"].endswith(first.removeprefix("ecs-svc/"))
    assert done["statusReason"] == (
        "Service deployment rolled back because the circuit breaker threshold was exceeded."
    )
    shown = service.describe()
    [deployment] = shown["deployments"]
    assert (deployment["id"], deployment["rolloutState"]) == (first, "COMPLETED")
    assert shown["taskDefinition"] == good
    assert {task["taskArn"] for task in service.running()} == before, "they were never stopped"
    messages = service.messages()
    failed = messages.index(
        f"(service {service.name}) (deployment {second}) deployment failed: tasks failed to start."
    )
    assert messages[failed + 1] == (f"(service {service.name}) rolling back to deployment {first}.")
    # What is in force now is not what was in force then.
    service.update(deploymentConfiguration=AT_ONCE)
    then = service.deployment()["deploymentConfiguration"]
    assert (then["minimumHealthyPercent"], then["maximumPercent"]) == (100, 200)


def test_a_deployment_is_stopped_and_rolled_back(service: Service) -> None:
    good = service.tasks.define({"memory": 16})
    service.create(good, 2)
    service.ended("SUCCESSFUL")
    before = {task["taskArn"] for task in service.running()}
    service.update(taskDefinition=service.tasks.define({"memory": 20}))
    until(lambda: service.describe()["runningCount"] == 4, "new tasks beside the old ones")
    arn = service.deployment()["serviceDeploymentArn"]
    service.ecs.stop_service_deployment(serviceDeploymentArn=arn, stopType="ROLLBACK")
    done = service.ended("ROLLBACK_SUCCESSFUL")
    assert done["stoppedAt"] <= done["finishedAt"]
    assert service.describe()["taskDefinition"] == good
    assert {task["taskArn"] for task in service.running()} == before
    with aws.refused("ConflictException"):
        service.ecs.stop_service_deployment(serviceDeploymentArn=arn)


def test_daemons_leave_with_their_instances(new_world: Callable[[int], World], name: str) -> None:
    world = new_world(2)
    service = Service(Tasks(world, name))
    world.ecs.create_service(
        cluster=world.cluster,
        serviceName=name,
        taskDefinition=service.tasks.define({"memory": 16}),
        schedulingStrategy="DAEMON",
    )
    service.ended("SUCCESSFUL")
    first, second = (agent.arn for agent in world.agents)

    def there() -> list[str]:
        return sorted(task["containerInstanceArn"] for task in service.running())

    def counts() -> tuple[int, int]:
        shown = service.describe()
        return shown["desiredCount"], shown["runningCount"]

    def set_state(status: str) -> None:
        world.ecs.update_container_instances_state(
            cluster=world.cluster, containerInstances=[first], status=status
        )

    assert there() == sorted([first, second])
    set_state("DRAINING")
    until(lambda: counts() == (1, 1), "one instance to be without")
    assert there() == [second]
    set_state("ACTIVE")
    until(lambda: counts() == (2, 2), "it to have one again")
    world.ecs.deregister_container_instance(
        cluster=world.cluster, containerInstance=first, force=True
    )
    until(lambda: counts() == (1, 1), "the one that is gone not to count")
    third = world.add_agent(zone="c").arn
    until(lambda: counts() == (2, 2), "one on the new instance")
    assert there() == sorted([second, third])


def test_protected_tasks_outlive_a_deployment(service: Service) -> None:
    service.create(service.tasks.define({"memory": 16}), 2, deploymentConfiguration=AT_ONCE)
    service.ended("SUCCESSFUL")
    precious, other = (task["taskArn"] for task in service.running())
    service.ecs.update_task_protection(
        cluster=service.cluster, tasks=[precious], protectionEnabled=True, expiresInMinutes=5
    )
    old = ids(service)[0]
    service.update(taskDefinition=service.tasks.define({"memory": 20}))
    service.tasks.wait(other, "STOPPED")
    said = until(
        lambda: [text for text in service.messages() if "under protection" in text], "the event"
    )
    assert said == [
        f"(service {service.name}) was unable to reach steady state because (taskSet {old}) was "
        "unable to scale in due to (reason 1 tasks under protection)"
    ]
    assert service.tasks.describe(precious)["lastStatus"] == "RUNNING"
    assert service.deployment()["status"] == "IN_PROGRESS"
    service.ecs.update_task_protection(
        cluster=service.cluster, tasks=[precious], protectionEnabled=False
    )
    service.ended("SUCCESSFUL")
    service.tasks.wait(precious, "STOPPED")


def ecs_deploy(world: World, *arguments: str) -> subprocess.CompletedProcess[str]:
    """The command line of `ecs-deploy`, which finds the server by AWS_ENDPOINT_URL alone."""
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": "/nonexistent",
        "LC_ALL": "C.UTF-8",
        "AWS_ENDPOINT_URL": world.server.url,
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": aws.REGION,
    }
    tool = pathlib.Path(sys.executable).with_name("ecs")
    return subprocess.run(
        [sys.executable, str(tool), *arguments],
        env=environment,
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )


@pytest.mark.timeout(240)
def test_ecs_deploy_deploys_scales_and_rolls_back(service: Service) -> None:
    world, where = service.tasks.world, (service.cluster, service.name)
    service.create(service.tasks.define({"memory": 16}), 1, deploymentConfiguration=AT_ONCE)
    service.stable()

    done = ecs_deploy(world, "deploy", *where, "-e", "app", "COLOUR", "green", "--timeout", "60")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Deployment successful" in done.stdout
    [task] = service.stable() and service.running()
    environment = service.tasks.inspect(task["taskArn"])["Config"]["Env"]
    assert "COLOUR=green" in environment

    done = ecs_deploy(world, "scale", *where, "2", "--timeout", "60")
    assert done.returncode == 0, done.stdout + done.stderr
    assert service.stable()["runningCount"] == 2
    good = service.describe()["taskDefinition"]

    service.update(deploymentConfiguration={"minimumHealthyPercent": 100})
    image = ("-i", "app", NOWHERE)
    done = ecs_deploy(world, "deploy", *where, *image, "--timeout", "8", "--rollback")
    assert done.returncode != 0, done.stdout
    assert "Deployment failed" in done.stdout + done.stderr
    assert "Rollback successful" in done.stdout
    service.ecs.get_waiter("services_stable").wait(
        cluster=service.cluster, services=[service.name], WaiterConfig=WAIT
    )
    assert service.describe()["taskDefinition"] == good
