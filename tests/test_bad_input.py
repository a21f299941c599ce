"""Whatever comes in, the answer is a client error with an AWS code, and the server goes on."""

import json
import socket
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from harness.aws import TARGET, Raw, refused
from harness.process import Server


@pytest.fixture
def raw(server: Server) -> Iterator[Raw]:
    with Raw(server.url) as raw:
        yield raw
    assert server.healthy()


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"}",
        b"[]",
        b"null",
        b"42",
        b'"text"',
        b"{'a': 1}",
        b'{"cluster": }',
        b'{"cluster": "a"} trailing',
        b'{"cluster": "\xff\xfe"}',
        b"\x00" * 100,
        b'{"cluster": "a\nb"}',
        b'{"tasks": [' + b"[" * 5000 + b"]" * 5000 + b"]}",
        b'{"a":' * 5000 + b"1" + b"}" * 5000,
    ],
    ids=range(15),
)
def test_malformed_bodies(raw: Raw, body: bytes) -> None:
    for operation in ("DescribeTasks", "RunTask", "RegisterTaskDefinition"):
        answer = raw.call(operation, body)
        answer.expect_client_error()


@pytest.mark.parametrize(
    ("operation", "body"),
    [
        ("RunTask", {"taskDefinition": 5}),
        ("RunTask", {"taskDefinition": "x", "count": "three"}),
        ("RunTask", {"taskDefinition": "x", "count": 1.5}),
        ("RunTask", {"taskDefinition": "x", "count": 1e300}),
        ("RunTask", {"taskDefinition": "x", "count": -(2**70)}),
        ("RunTask", {"taskDefinition": "x", "tags": {}}),
        ("RunTask", {"taskDefinition": "x", "tags": [None]}),
        ("RunTask", {"taskDefinition": "x", "launchType": "ROCKET"}),
        ("RunTask", {}),
        ("DescribeTasks", {}),
        ("DescribeTasks", {"tasks": "not-a-list"}),
        ("DescribeTasks", {"tasks": [["nested"]]}),
        ("StopTask", {}),
        ("StopTask", {"task": ""}),
        ("StopTask", {"task": None}),
        ("RegisterTaskDefinition", {"family": "a"}),
        ("RegisterTaskDefinition", {"family": "a", "containerDefinitions": [{}]}),
        ("RegisterTaskDefinition", {"family": "a", "containerDefinitions": [7]}),
        ("CreateCluster", {"clusterName": "a b"}),
        ("CreateCluster", {"clusterName": "x" * 256}),
        ("CreateCluster", {"clusterName": "é"}),
        ("DeleteCluster", {}),
        ("TagResource", {"resourceArn": "not-an-arn", "tags": []}),
        ("TagResource", {"resourceArn": "arn:aws:s3:::bucket", "tags": []}),
        ("ListTasks", {"maxResults": "many"}),
        ("ListTasks", {"desiredStatus": "SLEEPING"}),
        ("ListContainerInstances", {"filter": "((((("}),
        ("ListContainerInstances", {"filter": "attribute:a =~ (((((a+)+)+)+)+)$"}),
        ("PutAccountSetting", {"name": "unheardOf", "value": "x"}),
    ],
)
def test_wrong_and_missing_members(raw: Raw, operation: str, body: dict[str, Any]) -> None:
    answer = raw.call(operation, json.dumps(body).encode())
    if operation == "ListContainerInstances" and answer.status == 200:
        return  # An expression that is merely slow elsewhere is a valid one.
    answer.expect_client_error()


def test_unknown_targets(raw: Raw) -> None:
    for target in ("", "RunTask", f"{TARGET}.", f"{TARGET}.Fly", "Other_1.RunTask", "." * 1000):
        headers = {"X-Amz-Target": target, "Content-Type": "application/x-amz-json-1.1"}
        raw.send("POST", "/", b"{}", headers).expect_client_error()
    raw.send("POST", "/", b"{}", {}).expect_client_error()
    raw.send("GET", "/", b"", {}).expect_client_error()
    raw.send("DELETE", "/no/such/path", b"", {}).expect_client_error()


def test_oversized_bodies(server: Server, raw: Raw) -> None:
    answer = raw.call("DescribeTasks", b'{"a": "' + b"x" * 1_000_000 + b'"}')
    assert answer.status in (200, 400)
    big = b'{"a": "' + b"x" * 20_000_000 + b'"}'
    with Raw(server.url) as other:
        try:
            answer = other.call("DescribeTasks", big)
            assert answer.status == 413
        except (BrokenPipeError, ConnectionResetError):
            pass  # The answer came before all of the body was sent, as HTTP allows.
    assert raw.call("ListClusters", b"{}").status == 200


def test_bytes_that_are_no_http(server: Server) -> None:
    for junk in (b"\x16\x03\x01\x02\x00", b"GET\r\n\r\n", b"A" * 100_000, b"\r\n" * 1000):
        with socket.create_connection(("127.0.0.1", server.port), timeout=5) as connection:
            try:
                connection.sendall(junk)
                connection.shutdown(socket.SHUT_WR)
                connection.recv(1000)
            except (BrokenPipeError, ConnectionResetError):
                pass
    # A body that is promised and never comes holds up nobody else.
    with socket.create_connection(("127.0.0.1", server.port), timeout=5) as connection:
        head = f"POST / HTTP/1.1\r\nHost: x\r\nX-Amz-Target: {TARGET}.ListClusters\r\n"
        connection.sendall(f"{head}Content-Length: 1000\r\n\r\n{{".encode())
        assert server.healthy()
        assert server.ecs.list_clusters()["ResponseMetadata"]["HTTPStatusCode"] == 200


def test_sessions_that_are_none(server: Server, raw: Raw) -> None:
    for path in ("/ws", "/ws?", "/ws?clusterArn=x&containerInstanceArn=y", "/a/b/ws"):
        assert 400 <= raw.send("GET", path, b"", {}).status < 500
    upgrade = {
        "Connection": "Upgrade",
        "Upgrade": "websocket",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
    }
    arn = "arn:aws:ecs:us-east-1:000000000000:container-instance/default/" + "0" * 32
    with Raw(server.url) as other:
        other.send("GET", f"/ws?clusterArn=default&containerInstanceArn={arn}", b"", upgrade)
    assert server.healthy()


def test_a_name_is_taken_once(new_server: Callable[..., Server]) -> None:
    ecs = new_server().ecs
    for _ in range(3):
        ecs.create_cluster(clusterName="same")
    assert len(ecs.list_clusters()["clusterArns"]) == 1


@pytest.fixture
def rolling(server: Server, name: str) -> dict[str, str]:
    """A service of no tasks: its cluster, its name and its definition."""
    ecs = server.ecs
    ecs.create_cluster(clusterName=name)
    container = {"name": "app", "image": "image", "memory": 16}
    ecs.register_task_definition(family=name, containerDefinitions=[container])
    ecs.create_service(cluster=name, serviceName="web", taskDefinition=name, desiredCount=0)
    return {"cluster": name, "service": "web", "taskDefinition": name}


DAEMON_COUNT = "The daemon scheduling strategy does not support a desired count for services."
BOTH_100 = "Both maximumPercent and minimumHealthyPercent cannot be 100"


@pytest.mark.parametrize(
    ("members", "code", "text"),
    [
        ({"desiredCount": -1}, "InvalidParameterException", "desiredCount"),
        ({"desiredCount": 2_147_483_647}, "InvalidParameterException", "desiredCount"),
        ({"desiredCount": 2**40}, "SerializationException", ""),
        ({"desiredCount": 1e300}, "SerializationException", ""),
        ({"cluster": "never-made"}, "ClusterNotFoundException", "Cluster not found."),
        ({"taskDefinition": "never-registered"}, "ClientException", "TaskDefinition not found."),
        (
            {"deploymentConfiguration": {"minimumHealthyPercent": 100, "maximumPercent": 100}},
            "InvalidParameterException",
            BOTH_100,
        ),
        (
            {"deploymentConfiguration": {"minimumHealthyPercent": -5}},
            "InvalidParameterException",
            "minimumHealthyPercent cannot be negative.",
        ),
        (
            {"deploymentConfiguration": {"minimumHealthyPercent": 150}},
            "InvalidParameterException",
            "minimumHealthyPercent must be at most 100",
        ),
        (
            {"deploymentConfiguration": {"maximumPercent": 0}},
            "InvalidParameterException",
            "maximumPercent must be at least 100",
        ),
        (
            {"launchType": "EC2", "capacityProviderStrategy": [{"capacityProvider": "p"}]},
            "InvalidParameterException",
            "Specifying both a launch type and capacity provider strategy is not supported.",
        ),
        (
            {"schedulingStrategy": "DAEMON", "desiredCount": 1},
            "InvalidParameterException",
            DAEMON_COUNT,
        ),
        ({"deploymentController": {"type": "CODE_DEPLOY"}}, "UnsupportedFeatureException", ""),
        ({"serviceName": "web", "desiredCount": 7}, "InvalidParameterException", "idempotent"),
    ],
)
def test_services_that_cannot_be_made(
    raw: Raw, rolling: dict[str, str], members: dict[str, Any], code: str, text: str
) -> None:
    body = {
        "cluster": rolling["cluster"],
        "serviceName": "other",
        "taskDefinition": rolling["taskDefinition"],
        "desiredCount": 0,
        **members,
    }
    answer = raw.call("CreateService", json.dumps(body).encode()).expect_client_error()
    assert answer.code == code, answer.body
    assert text in json.loads(answer.body)["message"]
    # No half of it is there.
    listed = raw.call("ListServices", json.dumps({"cluster": rolling["cluster"]}).encode())
    assert len(json.loads(listed.body)["serviceArns"]) == 1


@pytest.mark.parametrize(
    ("operation", "members", "code"),
    [
        ("UpdateService", {"desiredCount": -1}, "InvalidParameterException"),
        ("UpdateService", {"taskDefinition": "gone"}, "ClientException"),
        ("UpdateService", {"service": "nobody"}, "ServiceNotFoundException"),
        (
            "UpdateService",
            {"deploymentConfiguration": {"maximumPercent": 100}},
            "InvalidParameterException",
        ),
        ("CreateTaskSet", {}, "InvalidParameterException"),
        ("CreateTaskSet", {"service": "nobody"}, "ServiceNotFoundException"),
        ("CreateTaskSet", {"cluster": "never-made"}, "ClusterNotFoundException"),
        ("DescribeTaskSets", {}, "InvalidParameterException"),
        ("UpdateTaskSet", {"taskSet": "x", "scale": {"value": 1e308}}, "InvalidParameterException"),
        ("DeleteTaskSet", {"taskSet": "ecs-svc/1"}, "InvalidParameterException"),
        ("UpdateServicePrimaryTaskSet", {"primaryTaskSet": ""}, "InvalidParameterException"),
        ("DescribeServiceDeployments", {"serviceDeploymentArns": []}, "InvalidParameterException"),
        (
            "StopServiceDeployment",
            {"serviceDeploymentArn": "not-an-arn"},
            "InvalidParameterException",
        ),
    ],
)
def test_changes_that_cannot_be_made(
    raw: Raw, rolling: dict[str, str], operation: str, members: dict[str, Any], code: str
) -> None:
    answer = raw.call(operation, json.dumps(rolling | members).encode()).expect_client_error()
    assert answer.code == code, answer.body


def test_definitions_that_are_inactive_and_names_that_drain(
    server: Server, rolling: dict[str, str]
) -> None:
    ecs, cluster = server.ecs, rolling["cluster"]
    definition = f"{rolling['taskDefinition']}:1"
    ecs.deregister_task_definition(taskDefinition=definition)
    named = {"cluster": cluster, "serviceName": "other", "taskDefinition": definition}
    with refused("ClientException", "TaskDefinition is inactive"):
        ecs.create_service(**named, desiredCount=0)
    # The one that has it goes on with it, and may scale.
    assert ecs.update_service(cluster=cluster, service="web", desiredCount=1)
    with refused("InvalidParameterException", "scaled above 0"):
        ecs.delete_service(cluster=cluster, service="web")
    ecs.delete_service(cluster=cluster, service="web", force=True)
    with refused(("ServiceNotActiveException", "ServiceNotFoundException")):
        ecs.update_service(cluster=cluster, service="web", desiredCount=1)


def test_pages_are_not_obeyed(new_server: Callable[..., Server]) -> None:
    """A server that accepts everybody is asked by programs of its machine, and by no web page."""
    server = new_server()
    server.ecs.create_cluster(clusterName="kept")
    evil = {"Origin": "http://evil.example", "Sec-Fetch-Site": "cross-site"}
    upgrade = {
        "Connection": "Upgrade",
        "Upgrade": "websocket",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
    }
    rebound = {"Host": f"evil.example:{server.port}"}
    for headers in (evil, {"Sec-Fetch-Site": "same-site"}, rebound):
        with Raw(server.url) as page:
            answer = page.send("POST", "/_longshore/reset", b"", headers)
            assert answer.status == 403, answer.body
            assert "--identity iam" in json.loads(answer.body)["error"]
        with Raw(server.url) as page:
            answer = page.send("GET", "/ws?containerInstanceArn=x", b"", {**upgrade, **headers})
            assert answer.status == 403, answer.body
        with Raw(server.url) as page:
            body = b'{"clusterName": "made-by-a-page"}'
            answer = page.call("CreateCluster", body, **headers)
            assert (answer.status, answer.code) == (403, "AccessDeniedException"), answer.body
        with Raw(server.url) as page:
            form = {"Content-Type": "application/x-www-form-urlencoded", **headers}
            body = b"Action=CreateUser&Version=2010-05-08&UserName=page"
            answer = page.send("POST", "/", body, form)
            assert answer.status == 403, answer.body
            assert b"<Code>AccessDenied</Code>" in answer.body
        with Raw(server.url) as page:
            assert page.send("OPTIONS", "/", b"", headers).status == 403
            assert page.send("GET", "/health", b"", headers).status == 200
    arns = server.ecs.list_clusters()["clusterArns"]
    assert [arn.rsplit("/")[-1] for arn in arns] == ["kept"]
    for host in ("localhost", "[::1]", "longshore", "host.docker.internal"):
        with Raw(server.url) as local:
            named = {"Host": f"{host}:{server.port}"}
            assert local.call("ListClusters", b"{}", **named).status == 200, host
