"""Services behind load balancers: real containers, a real balancer, clients that keep asking."""

import signal
import threading
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest
from harness.aws import refused
from harness.balancing import Balanced, Clients, Node, serving, world_with_node
from harness.cli import as_json, longshore
from harness.process import Process, World
from harness.services import Service
from harness.tasks import Tasks, sh
from harness.wait import until


@pytest.fixture(scope="module")
def balanced_world(
    tmp_path_factory: pytest.TempPathFactory, image: str
) -> Iterator[tuple[World, Node]]:
    """A server, two container instances and a node of balancers."""
    folder = tmp_path_factory.mktemp("balanced")
    drains = ("--fidelity", "drain-on-stop-task=on")
    with world_with_node(folder, "balanced", image, *drains) as world:
        yield world


@pytest.fixture
def balanced(balanced_world: tuple[World, Node], name: str) -> Balanced:
    """A balancer of the test's own."""
    return Balanced(balanced_world[0], name)


@pytest.fixture
def service(balanced_world: tuple[World, Node], name: str) -> Iterator[Service]:
    """A service of the test's own."""
    service = Service(Tasks(balanced_world[0], name))
    yield service
    service.ecs.delete_service(cluster=service.cluster, service=service.name, force=True)


def test_two_balancers_answer_on_port_80_as_they_are_named(
    balanced_world: tuple[World, Node], balanced: Balanced, service: Service
) -> None:
    other = Balanced(balanced_world[0], f"{service.name[-26:]}-other")
    assert other.host != balanced.host
    assert other.get()[0] == 503, "it has no targets"
    shown = service.create(serving(service, "one"), 2, loadBalancers=balanced.member())
    assert shown["loadBalancers"] == balanced.member()
    service.stable()
    balanced.healthy(2)
    assert balanced.get() == (200, "one\n")
    messages = service.messages()
    assert any("registered 1 targets in (target-group" in text for text in messages), messages


def test_a_rolling_update_and_scaling_lose_no_request(balanced: Balanced, service: Service) -> None:
    service.create(serving(service, "one"), 2, loadBalancers=balanced.member())
    service.stable()
    balanced.healthy(2)
    with Clients(balanced.host) as clients:
        service.update(taskDefinition=serving(service, "two"))
        service.ended("SUCCESSFUL")
        until(lambda: clients.answers["two"] > 100, "answers of the new revision")
        service.update(desiredCount=6)
        balanced.healthy(6)
        service.update(desiredCount=2)
        balanced.healthy(2)
        for task in service.running():
            service.tasks.stop(task["taskArn"])
            service.stable()
            balanced.healthy(2)
    assert clients.failures == []
    assert clients.answers["one"] > 0
    assert any("begun draining connections" in text for text in service.messages())


def test_a_task_that_is_under_way_is_deactivating_until_it_has_answered(
    balanced: Balanced, service: Service
) -> None:
    # A CGI script answers after as long as it is asked to.
    script = (
        "mkdir -p /w/cgi-bin; echo ok > /w/index.html; "
        "printf '#!/bin/sh\\nsleep 4\\necho Content-Type: text/plain\\necho\\necho slow\\n' "
        "> /w/cgi-bin/slow; chmod +x /w/cgi-bin/slow; "
        "trap 'kill %1; exit 0' TERM; httpd -f -p 80 -h /w & wait"
    )
    slow = service.tasks.define({"command": sh(script), "portMappings": [{"containerPort": 80}]})
    service.create(slow, 1, loadBalancers=balanced.member())
    service.stable()
    balanced.healthy(1)
    with Asking(balanced, "/cgi-bin/slow") as asking:
        [task] = service.running()
        until(lambda: asking.begun, "the request to be under way")
        service.update(desiredCount=0)
        until(
            lambda: service.tasks.describe(task["taskArn"])["lastStatus"] == "DEACTIVATING",
            "the task to be DEACTIVATING",
        )
        until(lambda: balanced.states() == ["draining"], "the target to be draining")
        service.tasks.wait(task["taskArn"], "STOPPED")
    assert asking.answer == (200, "slow\n"), "it was answered before the task was told to stop"


class Asking:
    """One request in a thread."""

    def __init__(self, balanced: Balanced, path: str) -> None:
        self.answer: tuple[int, str] | None = None
        self.begun = False

        def ask() -> None:
            self.begun = True
            self.answer = balanced.get(path)

        self.thread = threading.Thread(target=ask, daemon=True)

    def __enter__(self) -> "Asking":
        self.thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self.thread.join(30)


def test_an_unhealthy_target_is_replaced(balanced: Balanced, service: Service) -> None:
    service.create(serving(service, "one"), 1, loadBalancers=balanced.member())
    service.stable()
    balanced.healthy(1)
    [sick] = service.running()
    # It runs on and answers, but not with what the check wants.
    service.tasks.exec(sick["taskArn"], "rm", "/w/index.html")
    stopped = service.tasks.wait(sick["taskArn"], "STOPPED", timeout=90)
    assert stopped["stoppedReason"].startswith("Task failed ELB health checks in (target-group ")
    service.stable()
    balanced.healthy(1)
    text = "is unhealthy in (target-group"
    messages = [message for message in service.messages() if text in message]
    assert len(messages) == 1
    assert "Health checks failed with these codes: [404]" in messages[0]


def test_a_deployment_that_never_is_healthy_goes_back(balanced: Balanced, service: Service) -> None:
    breaker = {"deploymentCircuitBreaker": {"enable": True, "rollback": True}}
    service.create(
        serving(service, "one"),
        1,
        loadBalancers=balanced.member(),
        deploymentConfiguration=breaker,
    )
    service.stable()
    balanced.healthy(1)
    broken = serving(
        service, "two", command=sh("mkdir -p /w; exec httpd -f -p 80 -h /w"), stopTimeout=2
    )
    service.update(taskDefinition=broken)
    service.ended("ROLLBACK_SUCCESSFUL", timeout=150)
    assert balanced.get() == (200, "one\n")


def test_the_balancer_serves_on_without_its_server_and_after_a_restart(
    balanced_world: tuple[World, Node], balanced: Balanced, service: Service
) -> None:
    world, node = balanced_world
    service.create(serving(service, "one"), 1, loadBalancers=balanced.member())
    service.stable()
    balanced.healthy(1)
    world.server.kill()
    assert balanced.get() == (200, "one\n")
    node.kill()
    node.spawn()

    def answers() -> bool:
        try:
            return balanced.get() == (200, "one\n")
        except OSError:
            return False

    until(answers, "the balancer to serve what it knew")
    world.server.start()
    balanced.healthy(1)
    # The node that is gone has nothing under way, whatever it has said.
    [task] = service.running()
    service.update(desiredCount=0)
    service.tasks.wait(task["taskArn"], "STOPPED", timeout=90)


def test_a_load_test_during_a_deployment_finds_no_failure(
    balanced: Balanced, service: Service
) -> None:
    service.create(serving(service, "one"), 2, loadBalancers=balanced.member())
    service.stable()
    balanced.healthy(2)
    url = f"http://{balanced.host}/"
    load = Process(
        service.tasks.world.server.folder / "loadtest.log",
        ["--output", "json", "ctl", "loadtest", url, "--rate", "500", "--duration", "8s"],
    )
    load.spawn()
    service.update(taskDefinition=serving(service, "two"))
    service.ended("SUCCESSFUL")
    assert load.popen is not None
    assert load.popen.wait(60) == 0, load.tail()
    load.arguments[-1] = "600s"
    before = load.log.stat().st_size
    load.spawn()
    until(lambda: load.log.stat().st_size > before, "the load test to say that it runs")
    assert load.signal(signal.SIGINT) == 0, load.tail()
    assert '"answered"' in load.log.read_text()[before:], (
        "what it had seen until it was interrupted"
    )
    refused = longshore(
        service.tasks.world.server.url,
        "ctl",
        "loadtest",
        f"{url}none",
        "--duration",
        "1s",
        fails=True,
    )
    assert "times: HTTP 404" in refused.stdout


def test_run_gives_a_url(balanced_world: tuple[World, Node], name: str) -> None:
    world, _ = balanced_world
    options = ["--image", world.image, "--port", "8080", "--name", name, "--cluster", world.cluster]
    serve = ["--", "httpd", "-f", "-p", "8080", "-h", "/etc"]
    made = as_json(world.server.url, "run", *options, "--count", "2", *serve)
    with urllib.request.urlopen(f"{made['url']}hostname", timeout=10) as answer:
        assert answer.status == 200
    again = longshore(world.server.url, "run", *options, "--count", "1", *serve)
    assert f"{name} answers at {made['url']}" in again.stdout
    world.ecs.delete_service(cluster=world.cluster, service=name, force=True)


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"containerName": "gone"}, "The container gone does not exist in the task definition."),
        ({"containerPort": 81}, "The container app did not have a container port 81 defined."),
        ({"targetGroupArn": "arn:gone"}, "The target group arn:gone does not exist."),
    ],
)
def test_bad_load_balancers_are_refused(
    balanced: Balanced, balanced_world: tuple[World, Node], name: str, change: Any, text: str
) -> None:
    service = Service(Tasks(balanced_world[0], name))
    [member] = balanced.member()
    definition = serving(service, "one")
    with refused("InvalidParameterException", text):
        service.create(definition, 1, loadBalancers=[{**member, **change}])
    with refused("InvalidParameterException", "Health check grace period is only valid"):
        service.create(definition, 1, healthCheckGracePeriodSeconds=5)


def test_a_target_group_without_listener_is_refused(
    balanced: Balanced, balanced_world: tuple[World, Node], name: str
) -> None:
    service = Service(Tasks(balanced_world[0], name))
    balanced.elb.delete_listener(ListenerArn=balanced.listener)
    with refused("InvalidParameterException", "does not have an associated load balancer."):
        service.create(serving(service, "one"), 1, loadBalancers=balanced.member())
