"""The journal: events as EventBridge tells them, streamed, posted and looked back at."""

import datetime
import http.server
import json
import queue
import subprocess
import threading
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from harness import docker
from harness.cli import as_json, longshore
from harness.process import Server, World, binary
from harness.tasks import Tasks, sh
from harness.wait import until

WAIT = {"Delay": 1, "MaxAttempts": 90}

TASK = "ECS Task State Change"
INSTANCE = "ECS Container Instance State Change"
ACTION = "ECS Service Action"
DEPLOYMENT = "ECS Deployment State Change"


def lines(server: Server, **query: str) -> list[dict[str, Any]]:
    """The lines that the stream has by now."""
    url = f"{server.url}/_longshore/events?{urllib.parse.urlencode(query)}"
    with urllib.request.urlopen(url, timeout=30) as answer:
        assert answer.headers["content-type"] == "application/x-ndjson"
        return [json.loads(line) for line in answer]


def summary(event: dict[str, Any]) -> str:
    """What an event says, in a word."""
    detail = event["detail"]
    return str(detail.get("eventName") or detail.get("lastStatus") or detail.get("message"))


class Hook:
    """A webhook that keeps what it is told."""

    def __init__(self) -> None:
        self.events: list[tuple[int, dict[str, Any]]] = []
        self.down = False
        hook = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                if not hook.down:
                    sequence = int(self.headers["longshore-sequence"])
                    hook.events.append((sequence, json.loads(body)))
                self.send_response(503 if hook.down else 204)
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/events"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()

    def told(self, arn: str) -> list[str]:
        """What it was told of a resource, without repetitions of the same event."""
        by_id = {event["id"]: event for _, event in self.events if arn in event["resources"]}
        return [summary(event) for event in by_id.values()]


@pytest.fixture
def hook() -> Iterator[Hook]:
    hook = Hook()
    yield hook
    hook.close()


class Follower:
    """`longshore ctl events --follow`, and the lines that it has printed."""

    def __init__(self, url: str, *options: str) -> None:
        command = [binary(), "--endpoint", url, "--output", "json", "ctl", "events", "--follow"]
        self.popen = subprocess.Popen(
            [*command, *options],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env={"HOME": "/nonexistent"},
        )
        self.queue: queue.Queue[dict[str, Any]] = queue.Queue()
        threading.Thread(target=self.read, daemon=True).start()

    def read(self) -> None:
        assert self.popen.stdout is not None
        for line in self.popen.stdout:
            self.queue.put(json.loads(line))

    def next(self, timeout: float = 60) -> dict[str, Any]:
        return self.queue.get(timeout=timeout)

    def __enter__(self) -> "Follower":
        return self

    def __exit__(self, *_: object) -> None:
        self.popen.terminate()
        self.popen.wait(30)


def test_the_life_of_a_task_is_told_in_order(world: World, tasks: Tasks) -> None:
    task = tasks.finished({"command": sh("exit 3")})
    arn = task["taskArn"]
    told = lines(world.server, cluster=world.cluster, task=arn)
    assert {line["type"] for line in told} == {TASK}
    events = [line["event"] for line in told]
    states = [event["detail"]["lastStatus"] for event in events]
    assert states == sorted(states, key=["PENDING", "RUNNING", "STOPPED"].index)
    assert set(states) >= {"PENDING", "STOPPED"}
    versions = [event["detail"]["version"] for event in events]
    assert versions == sorted(set(versions))
    last = events[-1]
    assert (last["version"], last["source"], last["resources"]) == ("0", "aws.ecs", [arn])
    described = world.ecs.describe_tasks(cluster=world.cluster, tasks=[arn])["tasks"][0]
    detail = last["detail"]
    assert detail["version"] == described["version"]
    for member in ["clusterArn", "containerInstanceArn", "taskDefinitionArn", "stopCode", "group"]:
        assert detail[member] == described[member]
    assert detail["stoppedReason"] == "Essential container in task exited"
    assert detail["containers"][0]["exitCode"] == 3
    assert detail["containers"][0]["runtimeId"] == described["containers"][0]["runtimeId"]
    stopped = datetime.datetime.fromisoformat(detail["stoppedAt"])
    assert abs((stopped - described["stoppedAt"]).total_seconds()) < 0.01
    assert len({event["id"] for event in events}) == len(events)


def test_a_service_and_its_deployments_are_told(world: World, tasks: Tasks) -> None:
    definition, name = tasks.define(), tasks.family
    service = {"cluster": world.cluster, "service": name}
    world.ecs.create_service(
        cluster=world.cluster, serviceName=name, taskDefinition=definition, desiredCount=1
    )
    stable = world.ecs.get_waiter("services_stable")
    stable.wait(cluster=world.cluster, services=[name], WaiterConfig=WAIT)
    told = until(
        lambda: [
            line["event"]
            for line in lines(world.server, cluster=world.cluster, service=name)
            if line["type"] in (ACTION, DEPLOYMENT)
        ][:3],
        "events of the service",
    )
    assert [summary(event) for event in told] == [
        "SERVICE_DEPLOYMENT_IN_PROGRESS",
        "SERVICE_DEPLOYMENT_COMPLETED",
        "SERVICE_STEADY_STATE",
    ]
    described = world.ecs.describe_services(cluster=world.cluster, services=[name])["services"][0]
    for event in told:
        assert event["resources"] == [described["serviceArn"]]
        assert event["detail"]["eventType"] == "INFO"
    assert told[0]["detail"]["deploymentId"] == described["deployments"][0]["id"]

    # More than there is room for.
    world.ecs.update_service(**service, desiredCount=500)
    failure = until(
        lambda: [
            line["event"]
            for line in lines(world.server, cluster=world.cluster, service=name, type="service")
            if summary(line["event"]) == "SERVICE_TASK_PLACEMENT_FAILURE"
        ],
        "a placement failure",
    )[0]
    assert failure["detail"]["eventType"] == "ERROR"
    assert failure["detail"]["reason"] == "RESOURCE:MEMORY"
    agents = {agent.arn for agent in world.agents}
    assert set(failure["detail"]["containerInstanceArns"]) == agents
    world.ecs.update_service(**service, desiredCount=0)
    world.ecs.delete_service(**service, force=True)

    # For people, the same.
    shown = longshore(
        world.server.url, "ctl", "events", "--cluster", world.cluster, "--service", name
    ).stdout
    assert f"ERROR (service {name}) was unable to place a task" in shown
    assert "deployment completed" in shown
    only = longshore(
        world.server.url,
        *("ctl", "events", "--cluster", world.cluster, "--service", name, "--type", "deployment"),
    ).stdout
    assert "COMPLETED" in only
    assert "unable to place" not in only


def test_nothing_is_lost_when_the_server_is_killed(
    new_world: Callable[..., World], hook: Hook, name: str
) -> None:
    world = new_world(1, "--open", "--event-webhook", hook.url)
    tasks = Tasks(world, name)
    (agent,) = world.agents
    connected = until(lambda: hook.told(agent.arn), "the instance's events at the webhook")
    assert connected
    with Follower(world.server.url, "--cluster", world.cluster, "--type", "task") as follower:
        first = tasks.running()["taskArn"]
        until(lambda: "RUNNING" in hook.told(first), "RUNNING at the webhook")
        seen = [follower.next()]
        while seen[-1]["event"]["detail"]["lastStatus"] != "RUNNING":
            seen.append(follower.next())

        # A webhook that is down keeps nobody from anything.
        hook.down = True
        world.ecs.stop_task(cluster=world.cluster, task=first)
        tasks.wait(first, "STOPPED")
        world.server.kill()
        before = len(hook.events)
        hook.down = False
        world.server.start()
        until(lambda: "STOPPED" in hook.told(first), "STOPPED at the webhook", 60)
        second = tasks.running()["taskArn"]
        until(lambda: "RUNNING" in hook.told(second), "the next task at the webhook")
        while (
            seen[-1]["task"] != second.rsplit("/")[-1]
            or seen[-1]["event"]["detail"]["lastStatus"] != "RUNNING"
        ):
            seen.append(follower.next())

    whole = lines(world.server, cluster=world.cluster, type="task")
    assert seen == [line for line in whole if line["sequence"] <= seen[-1]["sequence"]]
    # In order, all of them, and after the restart not all over again.
    sequences = [sequence for sequence, _ in hook.events]
    assert sequences == sorted(sequences)
    aws = [line for line in lines(world.server) if line["event"]["source"] == "aws.ecs"]
    until(
        lambda: {line["sequence"] for line in aws} <= {sequence for sequence, _ in hook.events},
        "every event at the webhook",
    )
    repeated = len(hook.events) - len({sequence for sequence, _ in hook.events})
    assert repeated <= 2, "at most what was under way when the server died"
    assert len(hook.events) > before
    posted = dict(hook.events)
    assert all(posted[line["sequence"]] == line["event"] for line in aws if line["type"] == TASK)
    world.ecs.stop_task(cluster=world.cluster, task=second)


def test_the_past_is_told(new_world: Callable[..., World], name: str) -> None:
    world = new_world(1)
    tasks = Tasks(world, name)
    definition = tasks.define()
    world.ecs.create_service(
        cluster=world.cluster, serviceName=name, taskDefinition=definition, desiredCount=2
    )
    stable = world.ecs.get_waiter("services_stable")
    stable.wait(cluster=world.cluster, services=[name], WaiterConfig=WAIT)
    running = world.ecs.list_tasks(cluster=world.cluster)["taskArns"]
    then = datetime.datetime.now(datetime.UTC).isoformat()
    world.ecs.delete_service(cluster=world.cluster, service=name, force=True)
    until(
        lambda: not world.ecs.list_tasks(cluster=world.cluster)["taskArns"],
        "the tasks to stop",
        60,
    )
    world.server.kill()
    world.server.start()

    past = as_json(world.server.url, "ctl", "at", then, world.cluster)
    (service,) = past["services"]
    assert (service["serviceName"], service["status"]) == (name, "ACTIVE")
    counts = [service[key] for key in ("desiredCount", "runningCount", "pendingCount")]
    assert counts == [2, 2, 0]
    assert service["deployments"][0]["rolloutState"] == "COMPLETED"
    (instance,) = past["containerInstances"]
    assert instance["agentConnected"] is True
    ids = {arn.rsplit("/")[-1] for arn in running}
    assert {task["task"] for task in instance["tasks"]} == ids
    assert {task["lastStatus"] for task in instance["tasks"]} == {"RUNNING"}
    assert any("steady state" in event["text"] for event in past["events"])

    shown = longshore(world.server.url, "ctl", "at", then, world.cluster).stdout
    assert name in shown
    assert "has reached a steady state" in shown
    now = ("ctl", "at", "0s", world.cluster)
    until(lambda: not as_json(world.server.url, *now)["tasks"], "the tasks' end", 60)
    refused = longshore(world.server.url, "ctl", "at", "2020-01-01", world.cluster, fails=True)
    assert "the journal begins at" in refused.stderr
    wrong = longshore(world.server.url, "ctl", "at", "noon", world.cluster, fails=True)
    assert "'noon' is no time" in wrong.stderr


def test_a_lost_instance_is_replaced_and_fenced(new_world: Callable[..., World], name: str) -> None:
    world = new_world(1, "--open", "--fidelity", "replace-lost-instances=30")
    tasks = Tasks(world, name)
    (lost,) = world.agents
    world.ecs.create_service(
        cluster=world.cluster, serviceName=name, taskDefinition=tasks.define(), desiredCount=1
    )
    stable = world.ecs.get_waiter("services_stable")
    stable.wait(cluster=world.cluster, services=[name], WaiterConfig=WAIT)
    (old,) = world.ecs.list_tasks(cluster=world.cluster)["taskArns"]
    container = tasks.inspect(old)["Id"]
    other = world.add_agent(zone="b")
    lost.kill()
    ended = tasks.wait(old, "STOPPED", 90)
    assert ended["stopCode"] == "InfrastructureHealth"
    assert "has been disconnected" in ended["stoppedReason"]
    stable.wait(cluster=world.cluster, services=[name], WaiterConfig=WAIT)
    (new,) = world.ecs.list_tasks(cluster=world.cluster)["taskArns"]
    assert tasks.describe(new)["containerInstanceArn"] == other.arn
    assert docker.inspect(container)[0]["State"]["Running"], "nobody was there to stop it"

    lost.start()
    until(lambda: not docker.inspect(container)[0]["State"]["Running"], "the old container to end")
    # Then the instance takes tasks again.
    start = {"cluster": world.cluster, "taskDefinition": tasks.family}
    started = until(
        lambda: world.ecs.start_task(**start, containerInstances=[lost.arn])["tasks"],
        "a task on the instance that is back",
    )
    tasks.wait(started[0]["taskArn"], "RUNNING")
    assert tasks.describe(old)["stopCode"] == "InfrastructureHealth"
    world.ecs.delete_service(cluster=world.cluster, service=name, force=True)
