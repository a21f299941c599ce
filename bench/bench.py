#!/usr/bin/env python3
"""Measures Longshore beside its peers, on this machine and in this run, and prints both sides.

Usage: bench/bench.py [PART...]   (default: all)
Parts: start burst replace rolling api placement services memory sim

Sides are interleaved where the machine's mood would matter. The table is Markdown, so that it can
go into docs/performance.md as it is.
"""

import concurrent.futures
import contextlib
import json
import os
import pathlib
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from typing import Any

ROOT = pathlib.Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "demo"))

import image as demo_image  # noqa: E402
import peers  # noqa: E402
from table import Table  # noqa: E402

STARTS = 30
REPLACED = 31
ROLLED = 20
ROLL_ROUNDS = 2
# ECS's shortest. Both sides probe alike; the first probe comes after one interval.
PROBE_S = 5
SEEDS = 1000
BURST = 50
BURST_ROUNDS = 3
LOAD_S = 4
TASKS = 10


def say(text: str) -> None:
    print(f"bench: {text}", file=sys.stderr, flush=True)


def start(table: Table, folder: pathlib.Path, image: str) -> None:
    """One task and one `docker run -d` in turn, each until Docker says that it began."""
    ours, theirs, returned = [], [], []
    with peers.Dev(folder).started() as dev, peers.Starts() as starts:
        definition = dev.define(image)
        for number in range(STARTS + 2):
            before = time.time()
            task = dev.ecs.run_task(taskDefinition=definition)["tasks"][0]["taskArn"]
            took = starts.last(1, "ours") - before
            dev.ecs.stop_task(task=task)
            arns = [task]
            peers.wait_until(
                lambda arns=arns: (
                    dev.ecs.describe_tasks(tasks=arns)["tasks"][0]["lastStatus"] == "STOPPED"
                ),
                "the task to stop",
            )
            dev.remove_containers()
            before = time.time()
            peers.run(*peers.docker_run(image))
            back = time.time() - before
            his = starts.last(1, "docker") - before
            peers.remove("docker")
            # The first rounds warm both sides up.
            if number >= 2:
                ours.append(took)
                theirs.append(his)
                returned.append(back)
    mine, other = statistics.median(ours), statistics.median(theirs)
    table.row(
        f"start of one container, p50 of {STARTS}: RunTask / `docker run -d`, until it runs",
        f"{mine * 1000:.0f} ms",
        f"{other * 1000:.0f} ms (returns after {statistics.median(returned) * 1000:.0f} ms)",
        mine / other,
        "≤ 1.2x",
    )


def burst(table: Table, folder: pathlib.Path, image: str) -> None:
    """From nothing to 50 running containers: a service, a Swarm service, parallel `docker run`."""

    def ours() -> float:
        before = time.time()
        dev.ecs.create_service(serviceName="burst", taskDefinition=definition, desiredCount=BURST)
        took = starts.last(BURST, "ours") - before
        dev.ecs.delete_service(service="burst", force=True)
        arns = dev.ecs.list_tasks(family="bench", desiredStatus="RUNNING")["taskArns"]
        for arn in arns:
            dev.ecs.stop_task(task=arn)
        peers.wait_until(
            lambda: (
                dev.ecs.describe_services(services=["burst"])["services"][0]["status"] == "INACTIVE"
            ),
            "the service to be deleted",
        )
        idle()
        dev.remove_containers()
        return took

    def idle() -> None:
        label = ["--filter", f"label={peers.LABEL}"]
        peers.wait_until(lambda: not peers.run("docker", "ps", "-q", *label), "containers to end")

    def docker_swarm() -> float:
        labels = ["--container-label", f"{peers.LABEL}=swarm", "--label", f"{peers.LABEL}=swarm"]
        flags = ["--detach", "--no-resolve-image", "--limit-memory", "32m", *labels]
        with peers.swarm():
            before = time.time()
            peers.run(
                *["docker", "service", "create", "--name", "burst", "--replicas", str(BURST)],
                *[*flags, image, *peers.COMMAND],
            )
            took = starts.last(BURST, "swarm") - before
            peers.run("docker", "service", "rm", "burst")
            idle()
        peers.remove("swarm")
        return took

    def by_hand() -> float:
        before = time.time()
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            done = [pool.submit(peers.run, *peers.docker_run(image)) for _ in range(BURST)]
            for each in done:
                each.result()
        took = starts.last(BURST, "docker") - before
        peers.remove("docker")
        return took

    sides: dict[str, tuple[Callable[[], float], list[float]]] = {
        "ours": (ours, []),
        "swarm": (docker_swarm, []),
        "docker": (by_hand, []),
    }
    with peers.Dev(folder).started() as dev, peers.Starts() as starts:
        definition = dev.define(image)
        for _ in range(BURST_ROUNDS):
            for name, (measure, times) in sides.items():
                starts.drain()
                times.append(measure())
                say(f"burst, {name}: {times[-1]:.2f} s")
    mine = statistics.median(sides["ours"][1])
    for name, what, target in (
        ("swarm", "`docker service create`", "≤ 0.5x"),
        ("docker", "eight parallel `docker run -d`", "≤ 1.15x"),
    ):
        other = statistics.median(sides[name][1])
        table.row(
            f"0 to {BURST} running: a service / {what}, median of {BURST_ROUNDS}",
            f"{mine:.2f} s",
            f"{other:.2f} s",
            mine / other,
            target,
        )


def replace(table: Table, folder: pathlib.Path, image: str) -> None:
    """From the end of a service's container to its replacement, and RunTask, in turn."""
    replaced, ran = [], []
    with peers.Dev(folder).started() as dev, peers.Starts() as starts:
        definition = dev.define(image)
        service = dev.define(image, "kept")
        dev.ecs.create_service(serviceName="kept", taskDefinition=service, desiredCount=1)

        def kept() -> int:
            return int(dev.ecs.describe_services(services=["kept"])["services"][0]["runningCount"])

        def in_service() -> list[str]:
            label = "label=com.amazonaws.ecs.task-definition-family=kept"
            return peers.run("docker", "ps", "-q", "--no-trunc", "--filter", label).split()

        for number in range(REPLACED + 2):
            peers.wait_until(lambda: kept() == 1, "the service to run")
            peers.wait_until(lambda: connected() == 1, "Docker to be done with the last one")
            starts.drain()
            before = time.time()
            task = dev.ecs.run_task(taskDefinition=definition)["tasks"][0]["taskArn"]
            took = starts.last(1, "ours") - before
            dev.ecs.stop_task(task=task)
            peers.wait_until(lambda: len(in_all(image)) == 1, "the task to stop")
            peers.wait_until(lambda: connected() == 1, "Docker to be done with the stopped task")
            (container,) = in_service()
            starts.drain()
            peers.run("docker", "kill", container)
            ended = starts.last(1, "ours", action="die")
            began = starts.last(1, "ours")
            if number >= 2:
                ran.append(took)
                replaced.append(began - ended)
        dev.ecs.delete_service(service="kept", force=True)
    mine, other = statistics.median(replaced), statistics.median(ran)
    table.row(
        f"a service's container dies, until its replacement runs / RunTask, p50 of {REPLACED}",
        f"{mine * 1000:.0f} ms",
        f"{other * 1000:.0f} ms (RunTask)",
        mine / other,
        "≤ 1.2x",
    )


def connected() -> int:
    """Containers on Docker's default network.

    One that has ended leaves it some 50 ms later, and slows what starts meanwhile.
    """
    return int(peers.run("docker", "network", "inspect", "bridge", "-f", "{{len .Containers}}"))


def in_all(image: str) -> list[str]:
    """Our running containers of an image."""
    filters = ["--filter", f"label={peers.LABEL}=ours", "--filter", f"ancestor={image}"]
    return peers.run("docker", "ps", "-q", *filters).split()


def rolling(table: Table, folder: pathlib.Path, image: str) -> None:
    """A new revision of 20 tasks, new ones first: until the last old container has ended."""

    def settled(dev: peers.Dev) -> bool:
        service = dev.ecs.describe_services(services=["rolled"])["services"][0]
        states = [deployment["rolloutState"] for deployment in service["deployments"]]
        return states == ["COMPLETED"] and service["runningCount"] == ROLLED

    def ours() -> float:
        probe = {"command": ["CMD", "true"], "interval": PROBE_S, "timeout": 2, "retries": 3}
        with peers.Dev(folder).started() as dev:
            first = dev.define(image, "rolled", healthCheck=probe)
            percents = {"minimumHealthyPercent": 100, "maximumPercent": 200}
            dev.ecs.create_service(
                serviceName="rolled",
                taskDefinition=first,
                desiredCount=ROLLED,
                deploymentConfiguration=percents,
            )
            peers.wait_until(lambda: settled(dev), "the first deployment", 300)
            second = dev.define(image, "rolled", healthCheck=probe)
            starts.drain()
            before = time.time()
            dev.ecs.update_service(service="rolled", taskDefinition=second)
            took = starts.last(ROLLED, "ours", 600, "die") - before
            dev.ecs.delete_service(service="rolled", force=True)
            peers.wait_until(lambda: not in_all(image), "containers to end")
        return took

    def docker_swarm(*update: str) -> float:
        labels = ["--container-label", f"{peers.LABEL}=swarm", "--label", f"{peers.LABEL}=swarm"]
        probe = ["--health-cmd", "true", "--health-interval", f"{PROBE_S}s"]
        probe += ["--health-timeout", "2s", "--health-retries", "3"]
        flags = ["--no-resolve-image", "--limit-memory", "32m", "--stop-grace-period", "2s"]
        with peers.swarm():
            peers.run(
                *["docker", "service", "create", "--name", "rolled", "--replicas", str(ROLLED)],
                *[*flags, *labels, *probe, image, *peers.COMMAND],
            )
            starts.drain()
            order = ["--update-order", "start-first", "--update-delay", "0s"]
            before = time.time()
            peers.run(
                *["docker", "service", "update", "--detach", "--no-resolve-image"],
                *[*order, *update, "--force", "rolled"],
            )
            took = starts.last(ROLLED, "swarm", 900, "die") - before
            peers.run("docker", "service", "rm", "rolled")
            label = ["--filter", f"label={peers.LABEL}=swarm"]
            peers.wait_until(lambda: not peers.run("docker", "ps", "-q", *label), "an end")
        peers.remove("swarm")
        return took

    sides: dict[str, tuple[Callable[[], float], list[float]]] = {
        "ours": (ours, []),
        "default": (docker_swarm, []),
        "all at once": (lambda: docker_swarm("--update-parallelism", "0"), []),
    }
    with peers.Starts() as starts:
        for _ in range(ROLL_ROUNDS):
            for name, (measure, times) in sides.items():
                times.append(measure())
                say(f"rolling, {name}: {times[-1]:.2f} s")
    mine = statistics.median(sides["ours"][1])
    for name, what, target in (
        ("default", "Swarm, start-first, its default parallelism", "≤ 0.5x"),
        ("all at once", "Swarm, start-first, `--update-parallelism 0`", ""),
    ):
        other = statistics.median(sides[name][1])
        table.row(
            f"rolling update of {ROLLED} tasks, 100/200 / {what}, median of {ROLL_ROUNDS}",
            f"{mine:.2f} s",
            f"{other:.2f} s",
            mine / other,
            target,
        )


def rate(url: str, operation: str, body: pathlib.Path, connections: int) -> tuple[float, int]:
    """Calls per second under wrk, and how many were refused."""
    threads = min(2, connections)
    load = ["wrk", f"-t{threads}", f"-c{connections}", f"-d{LOAD_S}s", "--timeout", "20s"]
    script = ["-s", str(ROOT / "bench/call.lua"), url, "--", operation, str(body)]
    output = peers.run(*load, *script)
    found = re.search(r"Requests/sec:\s+([\d.]+)", output)
    if not found:
        raise SystemExit(f"bench: wrk says {output}")
    refused = re.search(r"Non-2xx or 3xx responses: (\d+)", output)
    return float(found[1]), int(refused[1]) if refused else 0


def moto_tasks(url: str) -> list[str]:
    """Ten tasks on one instance, by moto's own rules."""
    ecs, ec2 = peers.client(url), peers.client(url, "ec2")
    ecs.create_cluster(clusterName="default")
    machine = ec2.describe_images()["Images"][0]["ImageId"]
    started = ec2.run_instances(ImageId=machine, MinCount=1, MaxCount=1)["Instances"][0]
    document = {
        "accountId": "123456789012",
        "region": peers.REGION,
        "instanceId": started["InstanceId"],
        "imageId": machine,
        "instanceType": "t2.micro",
        "architecture": "x86_64",
        "availabilityZone": f"{peers.REGION}a",
        "privateIp": "10.0.0.1",
        "pendingTime": "2026-01-01T00:00:00Z",
        "version": "2010-08-31",
        "kernelId": None,
        "ramdiskId": None,
        "billingProducts": None,
        "devpayProductCodes": None,
    }
    ecs.register_container_instance(
        cluster="default", instanceIdentityDocument=json.dumps(document)
    )
    container = {"name": "app", "image": "x", "memory": 32, "cpu": 1}
    ecs.register_task_definition(family="bench", containerDefinitions=[container])
    answer = ecs.run_task(cluster="default", taskDefinition="bench", count=TASKS)
    return [task["taskArn"] for task in answer["tasks"]]


def our_tasks(ecs: Any, definition: str) -> list[str]:
    """Ten running tasks."""
    arns = [t["taskArn"] for t in ecs.run_task(taskDefinition=definition, count=TASKS)["tasks"]]

    def running() -> bool:
        tasks = ecs.describe_tasks(tasks=arns)["tasks"]
        return all(task["lastStatus"] == "RUNNING" for task in tasks)

    peers.wait_until(running, "the tasks to run")
    return arns


def api(table: Table, folder: pathlib.Path, image: str) -> None:
    """DescribeTasks of ten tasks, and RunTask that cannot be placed, under load."""
    with contextlib.ExitStack() as stack:
        dev = stack.enter_context(peers.Dev(folder).started())
        their_url = stack.enter_context(peers.moto(folder))
        container = [{"name": "app", "image": "x", "memory": 1_000_000, "cpu": 10}]
        bodies: dict[tuple[str, str], dict[str, Any]] = {}
        for url, arns in (
            (dev.url, our_tasks(dev.ecs, dev.define(image))),
            (their_url, moto_tasks(their_url)),
        ):
            ecs = peers.client(url)
            ecs.register_task_definition(family="huge", containerDefinitions=container)
            bodies[url, "DescribeTasks"] = {"cluster": "default", "tasks": arns}
            bodies[url, "RunTask"] = {"cluster": "default", "taskDefinition": "huge"}
        for operation, what in (
            ("DescribeTasks", f"DescribeTasks of {TASKS} tasks"),
            ("RunTask", "RunTask that fits nowhere"),
        ):
            for connections in (1, 32):
                rates = {}
                for url in (dev.url, their_url):
                    body = folder / "body.json"
                    body.write_text(json.dumps(bodies[url, operation]))
                    rates[url], refused = rate(url, operation, body, connections)
                    # moto answers an unplaceable RunTask with an error, which is its way.
                    if refused and (url == dev.url or operation != "RunTask"):
                        raise SystemExit(f"bench: {refused} calls of {operation} failed on {url}")
                ours, theirs = rates[dev.url], rates[their_url]
                table.row(
                    f"{what}, calls/s, {connections} connection{'s' * (connections > 1)} / moto",
                    f"{ours:,.0f}",
                    f"{theirs:,.0f}",
                    ours / theirs,
                    "≥ 20x",
                )


def placement(table: Table, _folder: pathlib.Path, _image: str) -> None:
    """The decision alone, on one core."""
    command = ["cargo", "bench", "--quiet", "--package", "longshore-domain"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    for line in done.stdout.splitlines():
        if line.strip():
            table.row(f"placement: {line.strip()}", "", "", None, "≥ 100,000 placements/s")


def services(table: Table, _folder: pathlib.Path, _image: str) -> None:
    """The service scheduler alone, on one core, with simulated agents."""
    command = ["cargo", "bench", "--quiet", "--package", "longshore-server"]
    command += ["--features", "measure", "--bench", "services"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    for line in done.stdout.splitlines():
        work, took, target = (part.strip() for part in line.split("|"))
        table.row(work, took, "", None, target)


def sim(table: Table, _folder: pathlib.Path, _image: str) -> None:
    """Seeds of the simulator, as `make sim` runs them."""
    build = ["cargo", "build", "--quiet", "--release", "--package", "longshore-sim"]
    subprocess.run(build, cwd=ROOT, check=True)
    program = pathlib.Path(peers.binary()).resolve().parent / "longshore-sim"
    before = time.monotonic()
    subprocess.run(
        [str(program), "--seeds", str(SEEDS)],
        env={**os.environ, "RUST_LOG": "off"},
        stdout=subprocess.DEVNULL,
        check=True,
    )
    took = time.monotonic() - before
    table.row(
        f"{SEEDS:,} seeds of the simulator, 10 simulated minutes each",
        f"{took:.0f} s",
        "",
        None,
        "< 600 s",
    )


def memory(table: Table, folder: pathlib.Path, image: str) -> None:
    """Resident memory: everything idle, and one agent with ten tasks."""
    with peers.Dev(folder, instances=2).started() as dev:
        table.row(
            "resident memory of `longshore dev`, idle",
            f"{peers.resident_mib(dev.pid):.1f} MiB",
            "",
            None,
            "< 60 MiB",
        )
    alone = peers.Dev(folder / "alone", instances=0)
    alone.folder.mkdir()
    with alone.started() as dev:
        command = [peers.binary(), "--endpoint", dev.url, "agent", "--prefer-cached"]
        command += ["--data-dir", str(folder / "agent"), "--host-address", "127.0.9.1"]
        with peers.process(command, f"{dev.url}/health", folder / "agent.log") as agent:
            peers.connected(dev.ecs, 1)
            our_tasks(dev.ecs, dev.define(image))
            table.row(
                f"resident memory of `longshore agent` with {TASKS} tasks",
                f"{peers.resident_mib(agent.pid):.1f} MiB",
                "",
                None,
                "< 20 MiB",
            )


PARTS = {
    "start": start,
    "burst": burst,
    "replace": replace,
    "rolling": rolling,
    "api": api,
    "placement": placement,
    "services": services,
    "memory": memory,
    "sim": sim,
}


def main() -> int:
    chosen = sys.argv[1:] or list(PARTS)
    if unknown := [name for name in chosen if name not in PARTS]:
        raise SystemExit(f"bench: unknown {unknown}; parts: {', '.join(PARTS)}")
    image = demo_image.build()
    table = Table()
    for name in chosen:
        say(name)
        with tempfile.TemporaryDirectory(prefix="longshore-bench-") as folder:
            PARTS[name](table, pathlib.Path(folder), image)
    return 0


if __name__ == "__main__":
    sys.exit(main())
