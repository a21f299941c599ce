"""What a task definition says is what the container gets, seen from inside and from Docker."""

import json
import os
import pathlib
import urllib.request
from typing import Any

import pytest
from harness import docker
from harness.process import World
from harness.tasks import FOREVER, Tasks, sh
from harness.wait import until


def logged(tasks: Tasks, script: str, **container: Any) -> str:
    """What a script prints in a container made so."""
    task = tasks.finished({"command": sh(script), **container})
    return tasks.logs(task["taskArn"])


def test_environment_and_command(tasks: Tasks) -> None:
    definition = tasks.define(
        {
            "entryPoint": ["sh", "-c"],
            "command": ["echo $A-$B-$C; exit 3"],
            "environment": [{"name": "A", "value": "1"}, {"name": "B", "value": "x y"}],
        }
    )
    task = tasks.run(definition)
    task = tasks.wait(task["taskArn"], "STOPPED")
    assert tasks.logs(task["taskArn"]) == "1-x y-"
    assert task["containers"][0]["exitCode"] == 3
    assert task["stopCode"] == "EssentialContainerExited"
    assert task["stoppedReason"] == "Essential container in task exited"

    changed = {
        "name": "app",
        "command": ["echo $A-$B-$C $#"],
        "environment": [{"name": "A", "value": "2"}, {"name": "C", "value": "3"}],
        "memory": 48,
    }
    task = tasks.run(definition, overrides={"containerOverrides": [changed]})
    task = tasks.wait(task["taskArn"], "STOPPED")
    assert tasks.logs(task["taskArn"]) == "2-x y-3 0"
    assert tasks.inspect(task["taskArn"])["HostConfig"]["Memory"] == 48 << 20


def test_user_directory_and_limits(tasks: Tasks) -> None:
    printed = logged(
        tasks,
        "id -u; pwd; ulimit -n; touch /x || echo read-only; touch /scratch/x && echo ok",
        user="1000:1000",
        workingDirectory="/tmp",
        ulimits=[{"name": "nofile", "softLimit": 123, "hardLimit": 456}],
        readonlyRootFilesystem=True,
        linuxParameters={
            "tmpfs": [{"containerPath": "/scratch", "size": 1, "mountOptions": ["mode=1777"]}]
        },
    )
    assert printed.split() == ["1000", "/tmp", "123", "read-only", "ok"]


def test_what_docker_was_told(tasks: Tasks) -> None:
    task = tasks.running(
        {
            "cpu": 256,
            "memory": 64,
            "memoryReservation": 32,
            "dockerLabels": {"team": "blue"},
            "hostname": "box",
            "extraHosts": [{"hostname": "db", "ipAddress": "10.1.2.3"}],
            "dnsServers": ["10.0.0.2"],
            "privileged": False,
            "interactive": True,
            "pseudoTerminal": True,
            "stopTimeout": 7,
            "systemControls": [{"namespace": "net.core.somaxconn", "value": "99"}],
            "linuxParameters": {
                "capabilities": {"add": ["NET_ADMIN"], "drop": ["MKNOD"]},
                "initProcessEnabled": True,
                "sharedMemorySize": 16,
            },
            "logConfiguration": {"logDriver": "json-file", "options": {"max-size": "1m"}},
        }
    )
    arn = task["taskArn"]
    told = tasks.inspect(arn)
    config, host = told["Config"], told["HostConfig"]
    assert host["CpuShares"] == 256
    assert (host["Memory"], host["MemoryReservation"]) == (64 << 20, 32 << 20)
    assert config["Labels"]["team"] == "blue"
    assert config["Labels"]["com.amazonaws.ecs.task-definition-family"] == tasks.family
    assert config["Hostname"] == "box"
    assert host["ExtraHosts"] == ["db:10.1.2.3"]
    assert host["Dns"] == ["10.0.0.2"]
    assert (config["OpenStdin"], config["Tty"]) == (True, True)
    assert [c.removeprefix("CAP_") for c in host["CapAdd"]] == ["NET_ADMIN"]
    assert [c.removeprefix("CAP_") for c in host["CapDrop"]] == ["MKNOD"]
    assert host["Init"] is True
    assert host["ShmSize"] == 16 << 20
    assert host["Sysctls"] == {"net.core.somaxconn": "99"}
    assert host["LogConfig"] == {"Type": "json-file", "Config": {"max-size": "1m"}}
    assert "NET_ADMIN" not in tasks.exec(arn, "cat", "/proc/self/status")


def test_dependencies_start_in_order(tasks: Tasks) -> None:
    """One container for each condition; each writes when it began to a shared volume."""
    mount = [{"sourceVolume": "shared", "containerPath": "/shared"}]
    stamp = "cut -d' ' -f1 /proc/uptime > /shared/$NAME; "

    def part(name: str, script: str, needs: dict[str, str], **members: Any) -> dict[str, Any]:
        return {
            "name": name,
            "command": sh(stamp + script),
            "environment": [{"name": "NAME", "value": name}],
            "mountPoints": mount,
            "essential": False,
            "dependsOn": [{"containerName": c, "condition": k} for c, k in needs.items()],
            **members,
        }

    hold = "trap 'exit 0' TERM; touch /tmp/up; while true; do sleep 1000 & wait $!; done"
    check = {"command": ["CMD-SHELL", "test -e /tmp/up"], "interval": 5, "timeout": 2, "retries": 2}
    task = tasks.running(
        part("last", hold, {"healthy": "HEALTHY", "failed": "COMPLETE"}, essential=True),
        part("healthy", hold, {"ok": "SUCCESS"}, healthCheck=check),
        part("ok", "sleep 0.3", {"first": "START"}),
        part("failed", "exit 1", {"first": "START"}),
        part("first", hold, {}),
        volumes=[{"name": "shared", "dockerVolumeConfiguration": {"scope": "task"}}],
    )
    arn = task["taskArn"]
    made = docker.of_task(arn)

    def began(name: str) -> str:
        return made[name]["State"]["StartedAt"]

    assert began("first") <= began("ok") <= began("healthy") <= began("last")
    assert made["ok"]["State"]["FinishedAt"] <= began("healthy")
    assert made["failed"]["State"]["FinishedAt"] <= began("last")
    tasks.stop(arn)
    made = docker.of_task(arn)
    # They stop in the reverse order.
    assert made["last"]["State"]["FinishedAt"] <= made["healthy"]["State"]["FinishedAt"]


def test_a_dependency_that_fails_stops_the_task(tasks: Tasks) -> None:
    task = tasks.finished(
        {"dependsOn": [{"containerName": "setup", "condition": "SUCCESS"}]},
        {"name": "setup", "essential": False, "command": sh("exit 9")},
    )
    assert "app" not in docker.of_task(task["taskArn"]) or not tasks.inspect(task["taskArn"])[
        "State"
    ]["StartedAt"].startswith("20")
    exits = {c["name"]: c.get("exitCode") for c in task["containers"]}
    assert exits["setup"] == 9
    assert task["stoppedReason"]


def test_health_is_reported(tasks: Tasks) -> None:
    check = {
        "command": ["CMD-SHELL", "test ! -e /tmp/sick"],
        "interval": 5,
        "timeout": 2,
        "retries": 1,
    }
    task = tasks.running({"healthCheck": check})
    arn = task["taskArn"]
    healthy = until(
        lambda: tasks.describe(arn)["healthStatus"] == "HEALTHY", "the task to be HEALTHY", 30
    )
    assert healthy
    tasks.exec(arn, "touch", "/tmp/sick")
    until(lambda: tasks.describe(arn)["healthStatus"] == "UNHEALTHY", "it to be UNHEALTHY", 30)
    # A task of no service is never stopped for its health.
    assert tasks.describe(arn)["lastStatus"] == "RUNNING"
    assert tasks.describe(arn)["containers"][0]["healthStatus"] == "UNHEALTHY"


def test_volumes_keep_what_was_written(tasks: Tasks, tmp_path: pathlib.Path) -> None:
    volume = f"{tasks.family}-shared"
    shared = {"scope": "shared", "autoprovision": True, "driver": "local"}
    volumes = [
        {"name": "bind", "host": {"sourcePath": str(tmp_path)}},
        {"name": volume, "dockerVolumeConfiguration": shared},
    ]
    mounts = [
        {"sourceVolume": "bind", "containerPath": "/bind"},
        {"sourceVolume": volume, "containerPath": "/shared"},
    ]
    try:
        write = sh("echo one > /bind/a; echo two > /shared/b")
        wrote = task = tasks.finished({"command": write, "mountPoints": mounts}, volumes=volumes)
        assert (tmp_path / "a").read_text() == "one\n"
        mounts[0]["readOnly"] = True
        read = sh("cat /bind/a /shared/b; touch /bind/c || echo refused")
        task = tasks.finished({"command": read, "mountPoints": mounts}, volumes=volumes)
        assert tasks.logs(task["taskArn"]).split()[:2] == ["one", "two"]
        assert not (tmp_path / "c").exists()
    finally:
        for arn in (wrote["taskArn"], task["taskArn"]):
            for each in docker.of_task(arn).values():
                docker.docker("rm", "-f", each["Id"])
        docker.docker("volume", "rm", volume)


def test_volumes_of_another_container(tasks: Tasks) -> None:
    source = {
        "name": "source",
        "mountPoints": [{"sourceVolume": "own", "containerPath": "/data"}],
        "command": sh("echo here > /data/file; sleep 1000"),
        "stopTimeout": 1,
    }
    task = tasks.running(
        {"volumesFrom": [{"sourceContainer": "source", "readOnly": True}]},
        source,
        volumes=[{"name": "own"}],
    )
    until(
        lambda: tasks.exec(task["taskArn"], "sh", "-c", "cat /data/file || true") == "here",
        "the file of the other container",
    )


def bindings(task: dict[str, Any]) -> list[dict[str, Any]]:
    return task["containers"][0]["networkBindings"]


def get(host: str, port: int) -> dict[str, Any]:
    """The demo image's answer."""

    def ask() -> Any:
        try:
            with urllib.request.urlopen(f"http://{host}:{port}/", timeout=5) as answer:
                return json.load(answer)
        except OSError:
            return None

    return until(ask, f"an answer from {host}:{port}")


def address(world: World, task: dict[str, Any]) -> str:
    return next(a.address for a in world.agents if a.arn == task["containerInstanceArn"])


def test_static_ports_and_their_conflict(tasks: Tasks, world: World) -> None:
    web = {"command": ["/bin/serve"], "portMappings": [{"containerPort": 80, "hostPort": 18080}]}
    definition = tasks.define(web)
    both = [tasks.run(definition) for _ in world.agents]
    assert len({task["containerInstanceArn"] for task in both}) == 2
    third = world.ecs.run_task(cluster=world.cluster, taskDefinition=definition)
    assert {f["reason"] for f in third["failures"]} == {"RESOURCE:PORTS"}
    for task in both:
        task = tasks.wait(task["taskArn"], "RUNNING")
        assert [b["hostPort"] for b in bindings(task)] == [18080]
        assert get(address(world, task), 18080)["task"] == task["taskArn"].rsplit("/", 1)[1]
    tasks.stop(both[0]["taskArn"])
    again = tasks.run(definition)
    assert again["containerInstanceArn"] == both[0]["containerInstanceArn"]
    tasks.wait(again["taskArn"], "RUNNING")


def test_dynamic_ports(tasks: Tasks, world: World) -> None:
    ports = [{"containerPort": 80}, {"containerPort": 81, "hostPort": 0}]
    definition = tasks.define({"command": ["/bin/serve"], "portMappings": ports})
    started = [tasks.run(definition) for _ in range(4)]
    taken = set()
    for each in started:
        task = tasks.wait(each["taskArn"], "RUNNING")
        by_port = {b["containerPort"]: b["hostPort"] for b in bindings(task)}
        assert set(by_port) == {80, 81}
        taken |= {(address(world, task), port) for port in by_port.values()}
        assert get(address(world, task), by_port[80])["task"] in task["taskArn"]
    assert len(taken) == 8


def test_udp_ports(tasks: Tasks, world: World) -> None:
    ports = [{"containerPort": 9000, "protocol": "udp"}, {"containerPort": 9000}]
    task = tasks.running({"portMappings": ports})
    by_protocol = {b["protocol"]: str(b["hostPort"]) for b in bindings(task)}
    published = tasks.inspect(task["taskArn"])["NetworkSettings"]["Ports"]
    for protocol, port in by_protocol.items():
        expected = [{"HostIp": address(world, task), "HostPort": port}]
        assert published[f"9000/{protocol}"] == expected


def test_port_ranges(tasks: Tasks) -> None:
    task = tasks.running({"portMappings": [{"containerPortRange": "7000-7003"}]})
    [binding] = bindings(task)
    assert binding["containerPortRange"] == "7000-7003"
    first, last = binding["hostPortRange"].split("-")
    assert int(last) - int(first) == 3


def test_host_network(tasks: Tasks, world: World) -> None:
    port = 18099
    task = tasks.running(
        {
            "command": ["/bin/serve"],
            "environment": [{"name": "PORT", "value": str(port)}],
            "portMappings": [{"containerPort": port}],
        },
        networkMode="host",
    )
    assert tasks.inspect(task["taskArn"])["HostConfig"]["NetworkMode"] == "host"
    assert get("127.0.0.1", port)["task"] == task["taskArn"].rsplit("/", 1)[1]
    assert bindings(task)[0]["hostPort"] == port


def test_no_network(tasks: Tasks) -> None:
    task = tasks.running({}, networkMode="none")
    assert tasks.inspect(task["taskArn"])["HostConfig"]["NetworkMode"] == "none"
    assert tasks.exec(task["taskArn"], "ls", "/sys/class/net") == "lo"


def test_links(tasks: Tasks) -> None:
    task = tasks.running({"links": ["other:there"]}, {"name": "other", "memory": 8})
    assert "there" in tasks.exec(task["taskArn"], "cat", "/etc/hosts")


def test_the_metadata_endpoint(tasks: Tasks, world: World) -> None:
    task = tasks.running({"portMappings": [{"containerPort": 80}]}, {"name": "side", "memory": 8})
    arn = task["taskArn"]

    def ask(path: str, name: str = "app") -> Any:
        script = f"fetch $ECS_CONTAINER_METADATA_URI_V4{path}"
        return json.loads(tasks.exec(arn, "sh", "-c", script, name=name))

    own = ask("")
    assert own["Name"] == "app"
    assert own["DockerId"] == tasks.inspect(arn)["Id"]
    assert ask("", name="side")["Name"] == "side"
    whole = ask("/task")
    assert whole["TaskARN"] == arn
    assert whole["Family"] == tasks.family
    assert {c["Name"] for c in whole["Containers"]} == {"app", "side"}
    assert whole["AvailabilityZone"] == task["availabilityZone"]
    stats = until(lambda: ask("/stats"), "the stats")
    assert stats["memory_stats"]["usage"] > 0
    assert set(ask("/task/stats")) == {c["DockerId"] for c in whole["Containers"]}


def test_restart_policy(tasks: Tasks) -> None:
    policy = {"enabled": True, "restartAttemptPeriod": 60, "ignoredExitCodes": [0]}
    crash = tasks.running(
        {},
        {
            "name": "flaky",
            "essential": False,
            "restartPolicy": policy,
            "command": sh("sleep 0.2; kill -9 $$; exit 1"),
        },
    )
    assert crash["lastStatus"] == "RUNNING"
    zero = tasks.running(
        {},
        {
            "name": "done",
            "essential": False,
            "restartPolicy": policy,
            "command": sh("exit 0"),
        },
    )
    until(
        lambda: [c["lastStatus"] for c in tasks.describe(zero["taskArn"])["containers"]].count(
            "STOPPED"
        ),
        "the container that ended well to stay so",
    )
    assert tasks.describe(zero["taskArn"])["lastStatus"] == "RUNNING"


def test_an_essential_container_takes_the_others_along(tasks: Tasks) -> None:
    task = tasks.finished(
        {"command": FOREVER},
        {"name": "short", "command": sh("exit 4")},
    )
    codes = {c["name"]: c.get("exitCode") for c in task["containers"]}
    assert codes == {"app": 0, "short": 4}


def test_task_limits(tasks: Tasks) -> None:
    task = tasks.running({"memory": 16}, cpu="512", memory="64")
    assert (task["cpu"], task["memory"]) == ("512", "64")


@pytest.mark.parametrize("size", [32, 100])
def test_shared_memory_and_swap(tasks: Tasks, size: int) -> None:
    linux = {"maxSwap": 0, "swappiness": 10, "sharedMemorySize": size}
    task = tasks.running({"memory": 64, "linuxParameters": linux})
    assert tasks.inspect(task["taskArn"])["HostConfig"]["ShmSize"] == size << 20


def test_awslogs_stays_on_the_machine(tasks: Tasks) -> None:
    options = {
        "awslogs-group": "/ecs/app",
        "awslogs-region": "us-east-1",
        "awslogs-stream-prefix": "ecs",
    }
    definition = tasks.define(
        {
            "command": sh("echo hello"),
            "logConfiguration": {"logDriver": "awslogs", "options": options},
        },
        executionRoleArn="arn:aws:iam::000000000000:role/ecsTaskExecutionRole",
    )
    task = tasks.wait(tasks.run(definition)["taskArn"], "STOPPED")
    assert tasks.logs(task["taskArn"]) == "hello"
    found = tasks.inspect(task["taskArn"])
    assert found["HostConfig"]["LogConfig"]["Type"] == "json-file"
    labels = found["Config"]["Labels"]
    assert labels["longshore.awslogs-group"] == "/ecs/app"
    task_id = task["taskArn"].rsplit("/", 1)[1]
    assert labels["longshore.awslogs-stream"] == f"ecs/app/{task_id}"


def test_namespaces_of_the_host(tasks: Tasks) -> None:
    definition = tasks.define(
        {"command": sh("readlink /proc/self/ns/ipc; test -d /proc/$PPID && echo $PPID")},
        pidMode="host",
        ipcMode="host",
    )
    task = tasks.wait(tasks.run(definition)["taskArn"], "STOPPED")
    namespace, parent = tasks.logs(task["taskArn"]).split()
    assert namespace == os.readlink("/proc/self/ns/ipc")
    # In a namespace of its own the first process has no parent that it could see.
    assert int(parent) > 0


def test_namespaces_of_the_task_are_refused_with_a_reason(tasks: Tasks) -> None:
    task = tasks.run(tasks.define({}, pidMode="task"))
    task = tasks.wait(task["taskArn"], "STOPPED")
    assert task["stopCode"] == "TaskFailedToStart"
    assert "pid" in task["stoppedReason"].lower(), task["stoppedReason"]
