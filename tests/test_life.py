"""The whole life of each resource, through boto3 and the AWS CLI, with containers that run."""

import urllib.request
from typing import Any

from harness import aws, docker
from harness.process import World
from harness.tasks import Tasks
from harness.wait import until


def test_a_task_lives_and_stops(tasks: Tasks, world: World) -> None:
    definition = tasks.define(
        {"command": ["/bin/serve"], "portMappings": [{"containerPort": 80}]},
        tags=[{"key": "from", "value": "definition"}],
    )
    ran = tasks.run(
        definition,
        count=1,
        startedBy="a-test",
        tags=[{"key": "of", "value": "task"}],
        propagateTags="TASK_DEFINITION",
        enableECSManagedTags=True,
    )
    arn = ran["taskArn"]
    assert ran["desiredStatus"] == "RUNNING"
    assert ran["group"] == f"family:{tasks.family}"
    world.ecs.get_waiter("tasks_running").wait(
        cluster=world.cluster, tasks=[arn], WaiterConfig={"Delay": 1}
    )
    task = tasks.describe(arn)
    assert task["startedBy"] == "a-test"
    assert {t["key"] for t in task["tags"]} == {"from", "of", "aws:ecs:clusterName"}
    assert task["createdAt"] <= task["startedAt"]
    [container] = task["containers"]
    assert container["lastStatus"] == "RUNNING"
    assert container["runtimeId"] == tasks.inspect(arn)["Id"]
    [binding] = container["networkBindings"]
    agent = next(a for a in world.agents if a.arn == task["containerInstanceArn"])
    assert binding["bindIP"] == agent.address
    with urllib.request.urlopen(f"http://{agent.address}:{binding['hostPort']}/") as answer:
        assert arn.rsplit("/", 1)[-1] in answer.read().decode()

    stopped = world.ecs.stop_task(cluster=world.cluster, task=arn, reason="seen enough")["task"]
    assert stopped["desiredStatus"] == "STOPPED"
    world.ecs.get_waiter("tasks_stopped").wait(
        cluster=world.cluster, tasks=[arn], WaiterConfig={"Delay": 1}
    )
    task = tasks.describe(arn)
    assert task["stopCode"] == "UserInitiated"
    assert task["stoppedReason"] == "seen enough"
    assert task["containers"][0]["exitCode"] == 0
    assert task["stoppingAt"] <= task["stoppedAt"]
    own = {"cluster": world.cluster, "family": tasks.family}
    assert arn in world.ecs.list_tasks(**own, desiredStatus="STOPPED")["taskArns"]


def test_the_instance_counts_what_its_tasks_use(tasks: Tasks, world: World) -> None:
    target = world.agents[0].arn

    def remaining() -> dict[str, Any]:
        [instance] = world.ecs.describe_container_instances(
            cluster=world.cluster, containerInstances=[target]
        )["containerInstances"]
        return {r["name"]: r.get("integerValue") for r in instance["remainingResources"]}

    before = remaining()
    definition = tasks.define({"cpu": 100, "memory": 64})
    started = world.ecs.start_task(
        cluster=world.cluster, taskDefinition=definition, containerInstances=[target]
    )
    arn = started["tasks"][0]["taskArn"]
    assert remaining()["CPU"] == before["CPU"] - 100
    assert remaining()["MEMORY"] == before["MEMORY"] - 64
    tasks.wait(arn, "RUNNING")
    tasks.stop(arn)
    assert until(lambda: remaining() == before, "the resources to be free again")


def test_the_aws_cli_does_all_of_it(world: World, name: str) -> None:
    url = world.server.url

    def ecs(*arguments: str) -> Any:
        return aws.cli(url, "ecs", *arguments)

    try:
        made = ecs("create-cluster", "--cluster-name", name, "--tags", "key=a,value=b")
        assert made["cluster"]["status"] == "ACTIVE"
        definition = ecs(
            "register-task-definition",
            *("--family", name, "--container-definitions"),
            f'[{{"name":"app","image":"{world.image}","memory":32,"command":["sleep","1000"],'
            f'"stopTimeout":2}}]',
        )["taskDefinition"]
        assert definition["revision"] == 1
        ran = ecs("run-task", "--cluster", world.cluster, "--task-definition", name)
        arn = ran["tasks"][0]["taskArn"]
        ecs("wait", "tasks-running", "--cluster", world.cluster, "--tasks", arn)
        listed = ecs("list-tasks", "--cluster", world.cluster, "--family", name)
        assert listed["taskArns"] == [arn]
        ecs("stop-task", "--cluster", world.cluster, "--task", arn)
        ecs("wait", "tasks-stopped", "--cluster", world.cluster, "--tasks", arn)
        gone = ecs("deregister-task-definition", "--task-definition", f"{name}:1")
        assert gone["taskDefinition"]["status"] == "INACTIVE"
        assert ecs("delete-cluster", "--cluster", name)["cluster"]["status"] == "INACTIVE"
    finally:
        docker.remove_cluster(name)


def test_draining_keeps_new_tasks_away(tasks: Tasks, world: World) -> None:
    first, second = (agent.arn for agent in world.agents)
    update = world.ecs.update_container_instances_state
    definition = tasks.define()
    update(cluster=world.cluster, containerInstances=[first], status="DRAINING")
    try:
        for _ in range(3):
            assert tasks.run(definition)["containerInstanceArn"] == second
        refused = world.ecs.start_task(
            cluster=world.cluster, taskDefinition=definition, containerInstances=[first]
        )
        assert refused["failures"], "a draining instance takes no task"
    finally:
        update(cluster=world.cluster, containerInstances=[first], status="ACTIVE")


def test_a_client_token_makes_a_task_once(tasks: Tasks) -> None:
    definition = tasks.define()
    one = tasks.run(definition, clientToken="once")
    two = tasks.run(definition, clientToken="once")
    assert one["taskArn"] == two["taskArn"]
    with aws.refused("ConflictException"):
        tasks.run(definition, clientToken="once", startedBy="somebody else")


def test_constraints_and_strategies_place_tasks(tasks: Tasks, world: World) -> None:
    definition = tasks.define({"memory": 16})
    in_b = {"type": "memberOf", "expression": "attribute:ecs.availability-zone == us-east-1b"}
    for _ in range(2):
        task = tasks.run(definition, placementConstraints=[in_b])
        assert task["availabilityZone"] == "us-east-1b"
    spread = world.ecs.run_task(
        cluster=world.cluster,
        taskDefinition=definition,
        count=4,
        group="spread",
        placementStrategy=[{"type": "spread", "field": "instanceId"}],
    )
    hosts = [task["containerInstanceArn"] for task in spread["tasks"]]
    assert {hosts.count(host) for host in hosts} == {2}
    once = world.ecs.run_task(
        cluster=world.cluster,
        taskDefinition=definition,
        count=3,
        group="once",
        placementConstraints=[{"type": "distinctInstance"}],
    )
    assert len(once["tasks"]) == 2
    assert {failure["arn"] for failure in once["failures"]} == {a.arn for a in world.agents}


def test_a_refusal_says_which_resource(tasks: Tasks, world: World) -> None:
    too_big = tasks.define({"memory": 100_000})
    answer = world.ecs.run_task(cluster=world.cluster, taskDefinition=too_big)
    assert not answer["tasks"]
    assert {failure["reason"] for failure in answer["failures"]} == {"RESOURCE:MEMORY"}
    why = world.server.explain(world.cluster, f"family:{tasks.family}")
    assert "memory" in str(why).lower()
