"""The tools of the binary, as a person uses them: run, deploy, ctl, env, completions, TLS, keys."""

import json
import pathlib
import ssl
import subprocess
import urllib.error
import urllib.request
from collections.abc import Callable

import boto3
import pytest
from harness import aws
from harness.cli import as_json, longshore
from harness.process import Process, Server, World, free_port
from harness.wait import until


def asked(url: str) -> str:
    """What answers there."""
    with urllib.request.urlopen(url, timeout=10) as answer:
        return str(answer.read().decode())


def test_run_makes_a_service_that_answers(world: World, name: str) -> None:
    serve = ("--", "httpd", "-f", "-p", "8080", "-h", "/etc")
    options = ("--image", world.image, "--port", "8080", "--name", name, "--cluster", world.cluster)
    made = as_json(world.server.url, "run", *options, "--count", "2", *serve)
    assert made["url"] is None, "there is no node of balancers"
    tasks = made["tasks"]
    assert [task["status"] for task in tasks] == ["RUNNING", "RUNNING"]
    for task in tasks:
        (address,) = task["addresses"]
        with pytest.raises(urllib.error.HTTPError, match="404"):
            asked(f"{address}/nothing-there")

    # The same service again, with another count: a table for people this time.
    shown = longshore(world.server.url, "run", *options, "--count", "1", *serve)
    assert shown.stdout.startswith("TASK ")
    assert f"updated service {name}" in shown.stderr
    assert "(service " in shown.stderr

    events = longshore(world.server.url, "ctl", "events", "--cluster", world.cluster)
    assert f"(service {name}) has reached a steady state." in events.stdout
    status = longshore(world.server.url, "ctl", "status").stdout
    assert f"cluster {world.cluster}:" in status
    assert name in status
    world.ecs.delete_service(cluster=world.cluster, service=name, force=True)


def test_run_that_finds_no_place_says_why(world: World, name: str) -> None:
    options = ("--image", world.image, "--name", name, "--cluster", world.cluster)
    size = ("--memory", "999999", "--timeout", "2")
    failed = longshore(world.server.url, "run", *options, *size, fails=True)
    assert "was unable to place a task" in failed.stderr
    assert f"to fix: longshore ctl explain {name} --cluster {world.cluster}" in failed.stderr

    explain = ("ctl", "explain", name, "--cluster", world.cluster)
    why = longshore(world.server.url, *explain).stdout
    assert "RESOURCE:MEMORY" in why
    assert "nearest fix:" in why
    report = as_json(world.server.url, *explain)
    assert len(report["placement"]["instances"]) == 2
    world.ecs.delete_service(cluster=world.cluster, service=name, force=True)


def test_explain_tells_how_a_task_ended(world: World, name: str) -> None:
    definition = world.ecs.register_task_definition(
        family=name,
        containerDefinitions=[
            {"name": "app", "image": world.image, "memory": 32, "command": ["no-such-command"]}
        ],
    )["taskDefinition"]["taskDefinitionArn"]
    task = world.ecs.run_task(cluster=world.cluster, taskDefinition=definition)["tasks"][0]
    world.ecs.get_waiter("tasks_stopped").wait(
        cluster=world.cluster,
        tasks=[task["taskArn"]],
        WaiterConfig={"Delay": 1, "MaxAttempts": 60},
    )
    subject = ("ctl", "explain", task["taskArn"], "--cluster", world.cluster)
    why = longshore(world.server.url, *subject).stdout
    assert "CannotStartContainerError" in why
    missing = ("ctl", "explain", "0" * 32, "--cluster", world.cluster)
    assert "no task" in longshore(world.server.url, *missing, fails=True).stderr


def test_deploy_a_compose_file(world: World, name: str, tmp_path: pathlib.Path) -> None:
    (tmp_path / "page").mkdir()
    (tmp_path / "page/index.html").write_text("from compose")
    file = tmp_path / "compose.yaml"
    file.write_text(
        f"""
services:
  {name}:
    image: {world.image}
    command: httpd -f -p 8080 -h /page
    ports: ["8080"]
    volumes: ["{tmp_path}/page:/page:ro"]
    depends_on: [other]
    deploy: {{replicas: 2}}
networks: {{front: {{}}}}
"""
    )
    options = ("deploy", "-f", str(file), "--cluster", world.cluster)
    done = longshore(world.server.url, "--output", "json", *options)
    tasks = json.loads(done.stdout)
    assert [asked(task["addresses"][0]) for task in tasks] == ["from compose", "from compose"]
    assert f"not mapped: services.{name}.depends_on" in done.stderr
    assert "not mapped: networks" in done.stderr
    world.ecs.delete_service(cluster=world.cluster, service=name, force=True)


def test_deploy_says_what_is_wrong_with_a_file(server: Server, tmp_path: pathlib.Path) -> None:
    file = tmp_path / "compose.yaml"
    file.write_text("services: {a: {build: .}}")
    failed = longshore(server.url, "deploy", "-f", str(file), fails=True)
    assert "service a: it has no image" in failed.stderr


def test_doctor_env_and_completions(server: Server) -> None:
    checks = {check["check"]: check for check in as_json(server.url, "ctl", "doctor")}
    assert {"server", "docker", "cgroups", "ports", "disk"} == set(checks)
    assert checks["docker"]["ok"], checks["docker"]
    exports = longshore(server.url, "env").stdout
    assert f"export AWS_ENDPOINT_URL={server.url}\n" in exports
    assert "_longshore" in longshore(server.url, "completions", "bash").stdout


def test_a_server_that_is_not_there(tmp_path: pathlib.Path) -> None:
    url = f"http://127.0.0.1:{free_port()}"
    failed = longshore(url, "ctl", "status", fails=True)
    assert "to fix: start `longshore dev`" in failed.stderr


def test_reset_empties_a_development_server(new_world: Callable[[int], World]) -> None:
    world = new_world(1)
    definition = world.ecs.register_task_definition(
        family="gone",
        containerDefinitions=[
            {"name": "app", "image": world.image, "memory": 32, "command": ["sleep", "1000"]}
        ],
    )["taskDefinition"]["taskDefinitionArn"]
    world.ecs.create_service(
        cluster=world.cluster, serviceName="gone", taskDefinition=definition, desiredCount=2
    )
    world.ecs.get_waiter("services_stable").wait(
        cluster=world.cluster,
        services=["gone"],
        WaiterConfig={"Delay": 1, "MaxAttempts": 60},
    )
    elb, acm = (aws.client(world.server.url, service=which) for which in ("elbv2", "acm"))
    balancer = elb.create_load_balancer(Name="gone")["LoadBalancers"][0]
    group = elb.create_target_group(Name="gone", Protocol="HTTP", Port=80)["TargetGroups"][0]
    forward = {"Type": "forward", "TargetGroupArn": group["TargetGroupArn"]}
    elb.create_listener(
        LoadBalancerArn=balancer["LoadBalancerArn"],
        Protocol="HTTP",
        Port=80,
        DefaultActions=[forward],
    )
    elb.register_targets(
        TargetGroupArn=group["TargetGroupArn"], Targets=[{"Id": "i-0123456789abcdef0", "Port": 80}]
    )
    acm.request_certificate(DomainName="gone.example.com")
    trusted = longshore(world.server.url, "ctl", "ca").stdout
    longshore(world.server.url, "ctl", "reset")
    assert elb.describe_load_balancers()["LoadBalancers"] == []
    assert elb.describe_target_groups()["TargetGroups"] == []
    assert acm.list_certificates()["CertificateSummaryList"] == []
    assert longshore(world.server.url, "ctl", "ca").stdout == trusted, "clients go on trusting it"
    again = elb.create_target_group(Name="gone", Protocol="HTTP", Port=80)["TargetGroups"][0]
    health = elb.describe_target_health(TargetGroupArn=again["TargetGroupArn"])
    assert health["TargetHealthDescriptions"] == []
    assert world.ecs.list_services(cluster=world.cluster)["serviceArns"] == []
    assert world.ecs.list_task_definitions()["taskDefinitionArns"] == []
    assert world.ecs.list_tasks(cluster=world.cluster)["taskArns"] == []
    assert len(world.ecs.list_container_instances(cluster=world.cluster)["containerInstanceArns"])

    def no_container_runs() -> bool:
        found = subprocess.run(
            ["docker", "ps", "-q", "--filter", f"label=com.amazonaws.ecs.cluster={world.cluster}"],
            capture_output=True,
            text=True,
            check=True,
        )
        return found.stdout == ""

    until(no_container_runs, "the containers of a reset server to stop", 60)


def test_tls_and_keys(tmp_path: pathlib.Path) -> None:
    certificate, key = tmp_path / "certificate.pem", tmp_path / "key.pem"
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"),
            *("-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1"),
            *("-addext", "basicConstraints=critical,CA:FALSE"),
            *("-keyout", str(key), "-out", str(certificate)),
        ],
        check=True,
        capture_output=True,
    )
    keys = tmp_path / "keys.json"
    entry = {"accessKeyId": "AKID", "secretAccessKey": "secret", "account": "123456789012"}
    keys.write_text(json.dumps([entry]))
    port = free_port()
    url = f"https://127.0.0.1:{port}"
    files = ["--tls-certificate", str(certificate), "--tls-key", str(key), "--keys", str(keys)]
    place = ["--listen", f"127.0.0.1:{port}", "--data-dir", str(tmp_path / "data")]
    server = Process(tmp_path / "server.log", ["server", *files, *place])
    server.spawn()
    context = ssl.create_default_context(cafile=str(certificate))

    def healthy() -> bool:
        try:
            with urllib.request.urlopen(f"{url}/health", context=context, timeout=2) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False

    try:
        server.wait(healthy, "the TLS server's /health")
        ecs = boto3.client(
            "ecs",
            endpoint_url=url,
            region_name=aws.REGION,
            aws_access_key_id="AKID",
            aws_secret_access_key="secret",
            verify=str(certificate),
        )
        arn = ecs.create_cluster(clusterName="c")["cluster"]["clusterArn"]
        assert arn == "arn:aws:ecs:us-east-1:123456789012:cluster/c"
        trusted = {"SSL_CERT_FILE": str(certificate), "AWS_ACCESS_KEY_ID": "AKID"}
        status = as_json(url, "ctl", "status", AWS_SECRET_ACCESS_KEY="secret", **trusted)
        assert [cluster["cluster"] for cluster in status] == ["c"]
        denied = longshore(
            url, "ctl", "status", fails=True, AWS_SECRET_ACCESS_KEY="wrong", **trusted
        )
        assert "InvalidSignatureException" in denied.stderr
    finally:
        server.stop()


@pytest.mark.parametrize(
    ("options", "why"),
    [
        (["--open", "--listen", "0.0.0.0:0"], "without authentication"),
        (["--keys", "/nonexistent"], "cannot use the key file"),
        ([], "--keys"),
    ],
)
def test_a_server_that_must_not_start(options: list[str], why: str, tmp_path: pathlib.Path) -> None:
    place = ["--data-dir", str(tmp_path)]
    refused = longshore("http://127.0.0.1:1", "server", *options, *place, fails=True)
    assert why in refused.stderr
