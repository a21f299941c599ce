"""Services that scale to zero: real containers, a real balancer, requests that wait for a task."""

import concurrent.futures
import socket
import time
from collections.abc import Iterator
from typing import Any

import pytest
from harness import aws, docker
from harness.aws import refused
from harness.balancing import Balanced, Clients, addresses, serving, world_with_node
from harness.cli import as_json, longshore
from harness.process import Process, World, free_port
from harness.services import Service
from harness.tasks import Tasks, sh
from harness.wait import until

TAG, HOLD = "longshore:scale-to-zero", "longshore:scale-to-zero-hold"
# The shortest idle time; with what is allowed for reports a service sleeps within 20 seconds.
SHORT = "5s"


def tags(after: str, **more: str) -> list[dict[str, str]]:
    """Tags of a service that scales to zero."""
    return [{"key": TAG, "value": after}, *({"key": HOLD, "value": v} for v in more.values())]


@pytest.fixture(scope="module")
def zero_world(tmp_path_factory: pytest.TempPathFactory, image: str) -> Iterator[World]:
    """A server, a container instance and a node of balancers."""
    with world_with_node(tmp_path_factory.mktemp("zero"), "zero", image, zones="a") as (world, _):
        yield world


@pytest.fixture
def balanced(zero_world: World, name: str) -> Balanced:
    """A balancer of the test's own."""
    return Balanced(zero_world, name)


@pytest.fixture
def service(zero_world: World, name: str) -> Iterator[Service]:
    """A service of the test's own."""
    service = Service(Tasks(zero_world, name))
    yield service
    service.ecs.delete_service(cluster=service.cluster, service=service.name, force=True)


def asleep(service: Service, *options: str) -> dict[str, Any]:
    """What `ctl explain` says of a service that sleeps."""
    server = service.tasks.world.server
    explained = as_json(
        server.url, "ctl", "explain", service.name, "--cluster", service.cluster, *options
    )
    [shown] = explained["waits"]["services"]
    waits = [wait for wait in shown["waits"] if wait["cause"] == "ASLEEP"]
    return waits[0] if waits else {}


def sleeps(service: Service, balanced: Balanced) -> None:
    """Waits until a service sleeps and its balancer knows no target of it any more.

    A task that drains still answers, and a request that it answers wakes nobody.
    """
    until(lambda: service.describe()["desiredCount"] == 0, "desired count 0", 60)
    until(lambda: service.describe()["runningCount"] == 0, "its tasks to end", 60)
    until(lambda: balanced.states() == [], "its targets to be gone", 60)


def test_an_idle_service_sleeps_and_the_first_request_wakes_it(
    balanced: Balanced, service: Service
) -> None:
    made = service.create(
        serving(service, "one"), 2, loadBalancers=balanced.member(), tags=tags(SHORT)
    )
    assert made["desiredCount"] == 2
    service.stable()
    # As long as somebody asks it stays.
    with Clients(balanced.host, 1) as clients:
        time.sleep(25)
        assert service.describe()["desiredCount"] == 2
    assert clients.failures == []
    assert asleep(service) == {}
    sleeps(service, balanced)
    service.stable()
    wait = asleep(service)
    assert wait["what"] == "a request to its load balancer: it is scaled to zero"
    assert "a request starts its tasks (2)" in wait["fix"]
    shown = longshore(
        balanced.world.server.url, "ctl", "explain", service.name, "--cluster", service.cluster
    )
    assert "it is scaled to zero" in shown.stdout

    # Many at once, and nobody is turned away.
    with concurrent.futures.ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(lambda _: balanced.get(), range(20)))
    assert answers == [(200, "one\n")] * 20
    assert service.describe()["desiredCount"] == 2
    service.stable()
    balanced.healthy(2)
    messages = service.messages()
    told = [
        f"(service {service.name}) has had no request for 5 seconds and scales to zero: desired "
        "count 0 instead of 2.",
        f"(service {service.name}) is woken by a request: desired count 2 instead of 0.",
    ]
    assert [text for text in messages if "instead of" in text] == told


def test_a_request_that_lasts_keeps_it_awake(balanced: Balanced, service: Service) -> None:
    script = (
        "mkdir -p /w/cgi-bin; echo ok > /w/index.html; "
        "printf '#!/bin/sh\\nsleep 26\\necho Content-Type: text/plain\\necho\\necho slow\\n' "
        "> /w/cgi-bin/slow; chmod +x /w/cgi-bin/slow; "
        "trap 'kill %1; exit 0' TERM; httpd -f -p 80 -h /w & wait"
    )
    slow = service.tasks.define({"command": sh(script), "portMappings": [{"containerPort": 80}]})
    service.create(slow, 1, loadBalancers=balanced.member(), tags=tags(SHORT))
    service.stable()
    balanced.healthy(1)
    with socket.create_connection((balanced.host, 80), timeout=40) as client:
        client.sendall(b"GET /cgi-bin/slow HTTP/1.0\r\nHost: web\r\n\r\n")
        answer = b"".join(iter(lambda: client.recv(4096), b""))
    assert service.describe()["desiredCount"] == 1
    assert answer.endswith(b"slow\n"), answer
    sleeps(service, balanced)


def test_it_may_be_deployed_and_scaled_while_it_sleeps(
    balanced: Balanced, service: Service
) -> None:
    service.create(serving(service, "one"), 0, loadBalancers=balanced.member(), tags=tags("1h"))
    service.stable()
    until(lambda: asleep(service), "it to be known to sleep")
    service.update(taskDefinition=serving(service, "two"))
    service.ended("SUCCESSFUL")
    assert service.running() == []
    assert balanced.get() == (200, "two\n")
    service.stable()
    assert service.describe()["desiredCount"] == 1, "it never had a count"
    # Somebody puts it to sleep, and wakes it with another count.
    service.update(desiredCount=0)
    sleeps(service, balanced)
    service.update(desiredCount=2)
    service.stable()
    balanced.healthy(2)
    service.update(desiredCount=0)
    sleeps(service, balanced)
    assert balanced.get() == (200, "two\n")
    assert service.describe()["desiredCount"] == 2, "what it had last"
    # Without the tag 0 is 0.
    service.update(desiredCount=0)
    sleeps(service, balanced)
    arn = service.describe()["serviceArn"]
    service.ecs.untag_resource(resourceArn=arn, tagKeys=[TAG])
    until(lambda: not asleep(service), "it not to sleep any more")
    assert balanced.get()[0] == 503, "nobody holds it"
    assert service.describe()["desiredCount"] == 0


def test_without_its_tag_it_gets_back_what_it_had(balanced: Balanced, service: Service) -> None:
    service.create(serving(service, "one"), 1, loadBalancers=balanced.member(), tags=tags(SHORT))
    service.stable()
    sleeps(service, balanced)
    arn = service.describe()["serviceArn"]
    service.ecs.untag_resource(resourceArn=arn, tagKeys=[TAG])
    until(lambda: service.describe()["desiredCount"] == 1, "its desired count")
    service.stable()
    balanced.healthy(1)
    assert service.messages().count(
        f"(service {service.name}) does not scale to zero any more: desired count 1."
    )


def test_each_of_several_services_behind_one_balancer_wakes_alone(
    balanced: Balanced, service: Service, zero_world: World
) -> None:
    other = Service(Tasks(zero_world, f"{service.name}-b"))
    group = balanced.elb.create_target_group(
        Name=other.name[-32:].strip("-"), Protocol="HTTP", Port=80
    )["TargetGroups"][0]["TargetGroupArn"]
    balanced.elb.create_rule(
        ListenerArn=balanced.listener,
        Priority=1,
        Conditions=[{"Field": "path-pattern", "Values": ["/other*"]}],
        Actions=[{"Type": "forward", "TargetGroupArn": group}],
    )
    member = [{"targetGroupArn": group, "containerName": "app", "containerPort": 80}]
    service.create(serving(service, "one"), 0, loadBalancers=balanced.member(), tags=tags("1h"))
    other.create(serving(other, "other"), 0, loadBalancers=member, tags=tags("1h"))
    try:
        until(lambda: asleep(service) and asleep(other), "both to sleep")
        assert balanced.get() == (200, "one\n")
        assert other.describe()["desiredCount"] == 0
        assert balanced.get("/other/")[0] == 404, "its server has no such path"
        assert other.describe()["desiredCount"] == 1
    finally:
        other.ecs.delete_service(cluster=other.cluster, service=other.name, force=True)


def test_a_request_waits_as_long_as_it_may_and_gets_503(
    balanced: Balanced, service: Service
) -> None:
    definition = service.tasks.define({"portMappings": [{"containerPort": 80}], "cpu": 99_999})
    service.create(definition, 0, loadBalancers=balanced.member(), tags=tags("1h", hold="2s"))
    until(lambda: asleep(service), "it to sleep")
    until(lambda: 1.5 < timed(balanced)[0] < 5, "the request to be held")
    took, status = timed(balanced)
    assert status == 503
    assert 1.9 < took < 5
    until(
        lambda: any("unable to place a task" in text for text in service.messages()),
        "the reason among its events",
    )


def timed(balanced: Balanced) -> tuple[float, int]:
    """How long an answer takes, and its status."""
    began = time.monotonic()
    status = balanced.get()[0]
    return time.monotonic() - began, status


def test_a_connection_to_a_network_balancer_is_held_too(
    zero_world: World, service: Service
) -> None:
    elb, (host, group) = network(zero_world, service.name, "TCP")
    member = [{"targetGroupArn": group, "containerName": "app", "containerPort": 80}]
    service.create(serving(service, "one"), 0, loadBalancers=member, tags=tags("1h"))
    until(lambda: asleep(service), "it to sleep")
    until(lambda: connects(host), f"{host} to listen")
    with socket.create_connection((host, 80), timeout=30) as client:
        client.sendall(b"GET / HTTP/1.0\r\n\r\n")
        answer = b"".join(iter(lambda: client.recv(4096), b""))
    assert answer.endswith(b"one\n")
    elb.describe_target_health(TargetGroupArn=group)


def connects(host: str) -> bool:
    """Whether anybody listens."""
    try:
        socket.create_connection((host, 80), timeout=1).close()
    except OSError:
        return False
    return True


def network(world: World, name: str, protocol: str) -> tuple[Any, tuple[str, str]]:
    """A network load balancer: its address, and its target group."""
    elb = aws.client(world.server.url, service="elbv2")
    short = name[-32:].strip("-")
    made = elb.create_load_balancer(Name=short, Type="network")["LoadBalancers"][0]
    health = {"HealthCheckProtocol": "TCP"}
    group = elb.create_target_group(Name=short, Protocol=protocol, Port=80, **health)
    arn = group["TargetGroups"][0]["TargetGroupArn"]
    elb.create_listener(
        LoadBalancerArn=made["LoadBalancerArn"],
        Port=80,
        Protocol=protocol,
        DefaultActions=[{"Type": "forward", "TargetGroupArn": arn}],
    )
    return elb, (made["DNSName"], arn)


def test_what_cannot_sleep_says_why(zero_world: World, service: Service) -> None:
    service.create(service.tasks.define(), 1, tags=tags(SHORT))
    why = "it has no load balancer that could hold a request"
    text = f"(service {service.name}) is tagged {TAG}, but cannot scale to zero: {why}."
    until(lambda: text in service.messages(), "the reason among its events")
    datagrams = Service(Tasks(zero_world, f"{service.name}-udp"))
    _, (_, group) = network(zero_world, datagrams.name, "UDP")
    member = [{"targetGroupArn": group, "containerName": "app", "containerPort": 80}]
    port = {"containerPort": 80, "protocol": "udp"}
    definition = datagrams.tasks.define({"portMappings": [port]})
    datagrams.create(definition, 1, loadBalancers=member, tags=tags(SHORT))
    try:
        until(
            lambda: any("takes UDP, which cannot be held" in t for t in datagrams.messages()),
            "the reason among its events",
        )
    finally:
        datagrams.ecs.delete_service(cluster=datagrams.cluster, service=datagrams.name, force=True)


def test_a_time_that_is_none_is_refused(zero_world: World, name: str) -> None:
    service = Service(Tasks(zero_world, name))
    definition = service.tasks.define()
    for value in ("", "soon", "4s", "31d", "-5m"):
        with refused("InvalidParameterException", "must be a time between 5 and 2592000 seconds"):
            service.create(definition, 1, tags=tags(value))
    with refused("InvalidParameterException", "must be a time between 1 and 300 seconds"):
        service.create(definition, 1, tags=tags("1h", hold="1h"))
    service.create(definition, 0)
    arn = service.describe()["serviceArn"]
    with refused("InvalidParameterException", "must be a time between"):
        service.ecs.tag_resource(resourceArn=arn, tags=tags("soon"))
    service.ecs.delete_service(cluster=service.cluster, service=service.name, force=True)


def test_it_works_as_it_stands_with_longshore_dev(
    tmp_path_factory: pytest.TempPathFactory, image: str, name: str
) -> None:
    folder = tmp_path_factory.mktemp("dev")
    listen = f"127.0.0.1:{free_port()}"
    url = f"http://{listen}"
    dev = Process(folder / "dev.log", ["dev", "--listen", listen, "--data-dir", str(folder)])
    dev.arguments += ["--instances", "1", "--balancer-addresses", addresses()]
    dev.spawn()
    ecs = aws.client(url)
    try:
        dev.wait(lambda: answers(ecs), "dev to answer")
        serve = ("--", "httpd", "-f", "-p", "8080", "-h", "/etc")
        options = ("--image", image, "--port", "8080", "--name", name)
        made = as_json(url, "run", *options, *serve)
        assert made["url"], made
        found = ecs.describe_services(services=[name])["services"][0]
        ecs.tag_resource(resourceArn=found["serviceArn"], tags=tags(SHORT))

        def rests() -> bool:
            shown = ecs.describe_services(services=[name])["services"][0]
            return (shown["desiredCount"], shown["runningCount"]) == (0, 0)

        until(rests, "the service to sleep", 60)
        host = made["url"].split("/")[2]
        with socket.create_connection((host, 80), timeout=30) as client:
            client.sendall(b"GET /passwd HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            answer = b"".join(iter(lambda: client.recv(4096), b""))
        assert answer.startswith(b"HTTP/1.1 200")
        ecs.delete_service(service=name, force=True)
        until(lambda: not ecs.list_tasks()["taskArns"], "its tasks to end", 60)
    finally:
        dev.stop()
        docker.remove_family(name)


def answers(ecs: Any) -> bool:
    """Whether a server answers, and has an instance."""
    try:
        return bool(ecs.list_container_instances()["containerInstanceArns"])
    except Exception:  # It does not listen yet, or has no cluster.
        return False
