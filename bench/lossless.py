"""Does what may not cost a request while `ctl loadtest` asks a service 2,000 times a second.

Part of bench/lb.py. Server, agents and balancer are processes of their own, the tasks real
containers of nginx, all on this machine; the load test is the one that users run.
"""

import io
import json
import pathlib
import signal
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Callable
from typing import Any

ROOT = pathlib.Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests"))

from harness.balancing import Balanced, Node, world_with_node  # noqa: E402
from harness.process import World, binary  # noqa: E402
from harness.services import Service  # noqa: E402
from harness.tasks import Tasks  # noqa: E402
from harness.wait import until  # noqa: E402
from table import Table  # noqa: E402

RATE = 2000
CLIENTS = 64
IMAGE = "longshore-bench-nginx:1"
SETTLED_S = 600
STOPS = 100
DRAINS = ("--fidelity", "drain-on-stop-task=on")

CONF = """
daemon off; worker_processes 1; pid /tmp/nginx.pid; error_log /dev/null; user root;
events { worker_connections 1024; }
http {
    access_log off; keepalive_requests 1000000000; keepalive_timeout 3600s;
    client_body_temp_path /tmp/b; proxy_temp_path /tmp/p; fastcgi_temp_path /tmp/f;
    uwsgi_temp_path /tmp/u; scgi_temp_path /tmp/s;
    server { listen 80; location / { return 200 "hello\\n"; } }
}
"""


def image() -> str:
    """An image of this machine's nginx and the libraries that it loads."""
    nginx = "/usr/sbin/nginx"
    loaded = subprocess.run(["ldd", nginx], check=True, capture_output=True, text=True).stdout
    words = (word for line in loaded.splitlines() for word in line.split())
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:

        def add(name: str, data: bytes, mode: int = 0o755) -> None:
            info = tarfile.TarInfo(name.lstrip("/"))
            info.size, info.mode = len(data), mode
            tar.addfile(info, io.BytesIO(data))

        for path in sorted({nginx, *(word for word in words if word.startswith("/"))}):
            add(path, pathlib.Path(path).read_bytes())
        add("/etc/nginx.conf", CONF.encode())
        add("/etc/passwd", b"root:x:0:0::/:/bin/sh\n")
        add("/etc/group", b"root:x:0:\n")
        folder = tarfile.TarInfo("tmp")
        folder.type, folder.mode = tarfile.DIRTYPE, 0o1777
        tar.addfile(folder)
    command = ["docker", "import", "-", IMAGE]
    subprocess.run(command, input=buffer.getvalue(), check=True, capture_output=True)
    return IMAGE


class Load:
    """The load test, from before something happens until a second after it."""

    def __init__(self, url: str) -> None:
        command = [binary(), "--output", "json", "ctl", "loadtest", url]
        command += ["--rate", str(RATE), "--clients", str(CLIENTS), "--duration", f"{SETTLED_S}s"]
        self.popen = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)

    def end(self) -> dict[str, Any]:
        """What it found."""
        self.popen.send_signal(signal.SIGINT)
        out, _ = self.popen.communicate(timeout=60)
        return dict(json.loads(out))


def lossless(table: Table) -> None:
    """Each in turn: what happens, how many requests meanwhile, how many of them failed."""
    with (
        tempfile.TemporaryDirectory(prefix="longshore-lossless-") as folder,
        world_with_node(pathlib.Path(folder), "bench", image(), *DRAINS) as (made, node),
    ):
        everything(table, made, node)


def everything(table: Table, made: World, node: Node) -> None:
    balanced = Balanced(made, "lossless")
    service = Service(Tasks(made, "lossless"))
    elb, ecs = balanced.elb, service.ecs
    delay = {"Key": "deregistration_delay.timeout_seconds", "Value": "30"}
    elb.modify_target_group_attributes(TargetGroupArn=balanced.group, Attributes=[delay])

    def define(text: str) -> str:
        return service.tasks.define(
            {
                "image": IMAGE,
                "command": ["/usr/sbin/nginx", "-c", "/etc/nginx.conf"],
                "portMappings": [{"containerPort": 80}],
                "environment": [{"name": "TEXT", "value": text}],
                "memory": 64,
            }
        )

    service.create(define("one"), 2, loadBalancers=balanced.member())
    service.stable()
    balanced.healthy(2)

    def scale(count: int) -> None:
        service.update(desiredCount=count)
        until(lambda: service.describe()["runningCount"] == count, f"{count} tasks", SETTLED_S)
        balanced.healthy(count)

    def rolling() -> None:
        service.update(taskDefinition=define("two"))
        service.ended("SUCCESSFUL", SETTLED_S)

    def stops() -> None:
        for _ in range(STOPS // 2):
            tasks = [task["taskArn"] for task in service.running()]
            for task in tasks[:2]:
                ecs.stop_task(cluster=service.cluster, task=task)
            until(lambda gone=tasks: replaced(gone), "the tasks to be replaced", 120)

    def replaced(gone: list[str]) -> bool:
        arns = {task["taskArn"] for task in service.running()}
        return len(arns) == 4 and not arns & set(gone[:2]) and balanced.states() == ["healthy"] * 4

    def restart() -> None:
        for _ in range(5):
            successor = Node(made.server)
            successor.arguments = node.arguments
            successor.spawn()
            until(lambda: not node.alive, "the old process to end", 60)
            node.popen = successor.popen

    measured(table, balanced, "a rolling update of 2 tasks", rolling)
    measured(table, balanced, "scaling 2 to 20 to 2", lambda: (scale(20), scale(2)))
    scale(4)
    measured(table, balanced, f"{STOPS} StopTasks, two at a time (drain switch on)", stops)
    measured(table, balanced, "5 restarts of the balancer", restart)

    def crash() -> None:
        task = service.running()[0]
        containers = task["containers"]
        subprocess.run(
            ["docker", "kill", containers[0]["runtimeId"]], check=True, capture_output=True
        )
        until(lambda: replaced([task["taskArn"]] * 2), "the task to be replaced", 120)

    measured(table, balanced, "a task crashes (docker kill)", crash, "those in flight on it")
    ecs.delete_service(cluster=service.cluster, service=service.name, force=True)


def measured(
    table: Table,
    balanced: Balanced,
    what: str,
    happen: Callable[[], object],
    target: str = "0",
) -> None:
    """Asks while it happens, and a second before and after."""
    load = Load(f"http://{balanced.host}/")
    time.sleep(1)
    before = time.monotonic()
    happen()
    took = time.monotonic() - before
    time.sleep(1)
    found = load.end()
    row = f"failed requests during {what}, {took:.0f} s at {RATE:,}/s"
    asked = found["answered"] + found["failed"]
    kinds = f"; {json.dumps(found['failures'])}" if found["failures"] else ""
    ours = f"{found['failed']} of {asked:,} (p99 {found['p99Ms']:.1f} ms{kinds})"
    table.row(row, ours, "", None, target)
