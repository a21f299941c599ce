"""TLS of the control plane: by its own authority, wherever others than this machine reach it."""

import base64
import json
import os
import pathlib
import shutil
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import botocore.exceptions
import pytest
from harness import aws, docker
from harness.balancing import Node, addresses
from harness.cli import longshore
from harness.identity import Guarded, Key, init, init_json
from harness.joining import TERMINAL, Joined
from harness.process import Server, binary, free_port
from harness.tasks import Tasks
from harness.wait import until


def beyond() -> str:
    """An address of this machine that others can reach: that of Docker's bridge."""
    form = "{{(index .IPAM.Config 0).Gateway}}"
    return docker.docker("network", "inspect", "bridge", "--format", form)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory, image: str) -> Iterator[Joined]:
    """A server beyond this machine's loopback, as `server init` and nothing else prepares it."""
    options = ("--balancer-addresses", addresses(), "--tls-name", "control.example")
    world = Joined(tmp_path_factory.mktemp("tls"), image, *options, address=beyond())
    yield world
    world.close()


def aws_cli(server: Server, key: Key, **environment: str) -> subprocess.CompletedProcess[str]:
    """`aws ecs list-clusters`."""
    tool = pathlib.Path(sys.executable).with_name("aws")
    return subprocess.run(
        [sys.executable, str(tool), "ecs", "list-clusters"],
        env={
            "PATH": os.environ["PATH"],
            "HOME": "/nonexistent",
            "AWS_ENDPOINT_URL": server.url,
            "AWS_ACCESS_KEY_ID": key.id,
            "AWS_SECRET_ACCESS_KEY": key.secret,
            "AWS_DEFAULT_REGION": aws.REGION,
            **environment,
        },
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def keys(key: Key) -> dict[str, str]:
    """A key for the environment of a tool."""
    return {"AWS_ACCESS_KEY_ID": key.id, "AWS_SECRET_ACCESS_KEY": key.secret}


def changed(token: str, **members: Any) -> str:
    """A join token with other members."""
    text = token.removeprefix("lsj_")
    read = json.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
    text = base64.urlsafe_b64encode(json.dumps(read | members).encode()).decode()
    return "lsj_" + text.rstrip("=")


def test_tools_of_aws_trust_the_authority_that_init_made(world: Joined) -> None:
    server, admin = world.server, world.admin
    assert server.url.startswith("https://") and server.ca
    assert admin.ecs.list_clusters()["clusterArns"]
    with pytest.raises(botocore.exceptions.SSLError):
        aws.client(server.url, admin.id, admin.secret).list_clusters()
    trusted = aws_cli(server, admin, AWS_CA_BUNDLE=str(server.ca))
    assert json.loads(trusted.stdout)["clusterArns"], trusted.stderr
    assert "SSL validation failed" in aws_cli(server, admin).stderr
    by_name = subprocess.run(
        [
            *("openssl", "s_client", "-brief", "-connect", server.url.removeprefix("https://")),
            *("-CAfile", str(server.ca), "-verify_hostname", "control.example"),
            # As Python verifies from 3.13 on.
            "-x509_strict",
        ],
        input="",
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert "Verification: OK" in by_name.stderr, by_name.stderr


def test_our_tools_say_what_to_do_where_a_server_is_not_trusted(world: Joined) -> None:
    server, admin = world.server, keys(world.admin)
    ca = str(server.ca)
    for found in (
        longshore(server.url, "--ca-file", ca, "ctl", "status", **admin),
        longshore(server.url, "ctl", "status", LONGSHORE_CA_FILE=ca, **admin),
        longshore(server.url, "ctl", "status", AWS_CA_BUNDLE=ca, **admin),
    ):
        assert world.cluster in found.stdout
    said = longshore(server.url, "ctl", "status", fails=True, **admin).stderr
    assert f"{server.url} is not trusted: its certificate is not of an authority" in said
    assert "--ca-file" in said and "ca.pem" in said, "what to do"
    plain = server.url.replace("https:", "http:")
    said = longshore(plain, "ctl", "status", fails=True, **admin).stderr
    assert "use a URL that begins with https://" in said
    missing = longshore(server.url, "--ca-file", "/nonexistent", "ctl", "status", fails=True)
    assert "cannot trust the certificates of /nonexistent" in missing.stderr


def test_plain_and_tls_are_told_apart(server: Server) -> None:
    secure = server.url.replace("http:", "https:")
    said = longshore(secure, "ctl", "status", fails=True).stderr
    assert "it does not speak TLS" in said and "http://" in said


def test_a_machine_joins_by_its_token_alone_and_runs_a_task(world: Joined, name: str) -> None:
    token = world.token()
    agent = world.agent(token, "--renew-after", "2s").start()
    tasks = Tasks(world, name)
    arn = tasks.running({})["taskArn"]
    assert world.server.ca
    kept = world.keys(agent)
    assert kept["ca"] == world.server.ca.read_text()
    # The authority outlives the keys of that day, and the token.
    key = kept["access_key_id"]
    agent.wait(lambda: world.keys(agent)["access_key_id"] != key, "renewed keys")
    agent.kill()
    del agent.environment["LONGSHORE_JOIN_TOKEN"]
    agent.start()
    tasks.stop(arn)
    tasks.wait(arn, "STOPPED")
    agent.stop()
    # AWS's variable is for other servers; what the token says counts more.
    other = world.server.folder / "other"
    init(other)
    agent.environment["AWS_CA_BUNDLE"] = str(other / "ca.pem")
    agent.start()
    agent.stop()
    agent.environment["LONGSHORE_CA_FILE"] = str(other / "ca.pem")
    agent.spawn()
    agent.wait(lambda: "is not trusted" in agent.tail(), "an agent that was told otherwise")
    agent.stop()
    world.agents.remove(agent)


def test_a_machine_tells_nothing_to_another_control_plane(
    world: Joined, tmp_path: pathlib.Path
) -> None:
    token = world.token()
    other = init_json(tmp_path)["certificateAuthority"]
    assert other == (tmp_path / "ca.pem").read_text()
    said = world.refused(changed(token, ca=other))
    assert "is not the control plane of this join token, and was told nothing" in said
    assert "its certificate is not of an authority that is trusted here" in said
    assert "--ca-file" in said and "ctl join-token" in said, "what to do"
    # Nor does it tell one that the system's roots know nothing of.
    agent = world.agent(changed(token, ca=None))
    agent.spawn()
    assert agent.popen is not None and agent.popen.wait(30) == TERMINAL
    world.agents.remove(agent)
    # Nor where it is led past TLS.
    agent = world.agent(token)
    plain = world.server.url.replace("https:", "http:")
    agent.environment["AWS_ENDPOINT_URL"] = plain
    agent.spawn()
    assert agent.popen is not None and agent.popen.wait(30) == TERMINAL
    assert f"{plain} is plain HTTP, and the join token of this machine is for TLS" in agent.tail()
    world.agents.remove(agent)
    # The token was not used by that.
    agent = world.agent(token).start()
    agent.stop()
    world.agents.remove(agent)


def test_a_node_of_balancers_serves_over_tls(world: Joined, name: str) -> None:
    stranger = Node(world.server)
    node = Node(world.server)
    node.arguments += ["--ca-file", str(world.server.ca)]
    elb = world.admin.client("elbv2")
    arn = elb.create_load_balancer(Name=name[-32:].strip("-"))["LoadBalancers"][0][
        "LoadBalancerArn"
    ]
    try:
        for process in (stranger, node):
            process.environment = keys(world.admin)
        stranger.spawn()
        stranger.wait(lambda: "is not trusted" in stranger.tail(), "a node that trusts nobody")
        stranger.stop()
        node.spawn()

        def active() -> bool:
            found = elb.describe_load_balancers(LoadBalancerArns=[arn])["LoadBalancers"]
            return bool(found[0]["State"]["Code"] == "active")

        node.wait(active, "the node to have taken up the balancer")
    finally:
        elb.delete_load_balancer(LoadBalancerArn=arn)
        node.stop()
        stranger.stop()


def test_plain_http_beyond_this_machine_is_a_choice_that_warns(tmp_path: pathlib.Path) -> None:
    guarded = Guarded(tmp_path, "--tls", "off", address=beyond())
    try:
        assert "plain HTTP (--tls off): whoever is on the way can read" in guarded.server.tail()
        said = longshore(guarded.server.url, "ctl", "join-token", **keys(guarded.admin)).stderr
        assert "over plain HTTP: whoever is on the way can read the token" in said
    finally:
        guarded.server.stop()


def test_what_cannot_be_served_is_said_at_once(tmp_path: pathlib.Path) -> None:
    data_dir = tmp_path / "data"
    file = tmp_path / "keys.json"
    file.write_text(
        json.dumps([{"accessKeyId": "A", "secretAccessKey": "B", "account": aws.ACCOUNT}])
    )

    def refusal(*options: str) -> str:
        listen = f"{beyond()}:{free_port()}"
        done = subprocess.run(
            [binary(), "server", "--data-dir", str(data_dir), "--listen", listen, *options],
            env={"PATH": os.environ["PATH"], "HOME": "/nonexistent"},
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
        assert done.returncode == 2, done.stderr
        return done.stderr

    said = refusal("--keys", str(file))
    assert "there is no authority to speak TLS by" in said
    assert "longshore server init" in said and "--tls off" in said
    init(data_dir)
    said = refusal("--advertise", "http://control.example:4566")
    assert "so nobody gets through" in said and "https://" in said
    assert "give --tls local" in refusal("--tls", "off", "--tls-name", "a.example")
    assert "no name such as" in refusal("--tls-name", "a b")
    files = ("--tls-certificate", "a", "--tls-key", "b")
    assert "cannot be used with" in refusal("--tls", "local", *files)


def test_an_authority_is_made_anew_when_its_key_is_lost(tmp_path: pathlib.Path) -> None:
    first = init_json(tmp_path)["certificateAuthority"]
    again = init_json(tmp_path, "--reset-root")["certificateAuthority"]
    assert again == first, "the key is not lost"
    (tmp_path / "identity.key").unlink()
    new = init_json(tmp_path, "--reset-root", "--forget-keys")["certificateAuthority"]
    assert new != first
    assert (tmp_path / "ca.pem").read_text() == new


def test_servers_that_share_a_store_trust_each_other(tmp_path: pathlib.Path, etcd: str) -> None:
    store = f"etcd://{etcd}/tls-{os.getpid()}"
    made = init_json(tmp_path / "one" / "server", "--store", store)
    (tmp_path / "two" / "server").mkdir(parents=True)
    key = "server/identity.key"
    shutil.copy(tmp_path / "one" / key, tmp_path / "two" / key)
    servers = [Server(tmp_path / one, "--store", store, "--tls", "local") for one in ("one", "two")]
    try:
        for server in servers:
            server.spawn()
        for server in servers:
            server.wait(lambda of=server: of.ca and of.ca.exists(), "its ca.pem")
            server.wait(server.healthy, "the server's /health")
        assert servers[0].ca and servers[1].ca
        assert servers[0].ca.read_text() == servers[1].ca.read_text()
        root = made["administrator"]
        admins = [Key(s, root["accessKeyId"], root["secretAccessKey"]) for s in servers]
        admins[0].ecs.create_cluster(clusterName="default")
        container = {"name": "main", "image": "image", "memory": 8}
        admins[0].ecs.register_task_definition(family="web", containerDefinitions=[container])

        def placed(admin: Key) -> bool:
            # Only the leader places: one of the two has passed the call on.
            answer = admin.ecs.run_task(taskDefinition="web")
            return bool(
                answer["failures"][0]["reason"]
                == "No Container Instances were found in your cluster."
            )

        for admin in admins:
            until(lambda of=admin: placed(of), "a call that the leader answers")
    finally:
        for server in servers:
            server.stop()


def test_a_certificate_is_for_each_address_of_the_machine(tmp_path: pathlib.Path) -> None:
    init(tmp_path / "server")
    server = Server(tmp_path, "--store", "redb", address=beyond())
    everywhere = [option.replace(beyond(), "0.0.0.0") for option in server.arguments]
    server.arguments = everywhere
    try:
        server.start()
        server.url = server.url.replace(beyond(), "127.0.0.1")
        assert server.healthy()
    finally:
        server.stop()
