"""A control plane as it is run by those who want it to survive: three servers, three members of
etcd, each on a machine of its own, and hollow agents. All of it speaks TLS, but for etcd."""

from __future__ import annotations

import json
import pathlib
import shutil
import signal
import ssl
import subprocess
import urllib.error
import urllib.request
from typing import Any

from harness import aws, identity
from harness.cli import longshore
from harness.netns import Network
from harness.process import Process
from harness.wait import until

KEY, SECRET = "AKIDTEST", "secret"


class Machine:
    """A process on a machine of its own, and what can happen to it."""

    def __init__(self, network: Network, name: str, log: pathlib.Path) -> None:
        self.network, self.name = network, name
        self.address = network.add(name)
        self.process = Process(log, [])
        self.process.prefix = network.inside(name)

    def start(self) -> None:
        """Starts the process."""
        self.process.spawn()

    def kill(self) -> None:
        """kill -9."""
        self.process.kill()

    def send(self, number: int) -> None:
        """Sends a signal, and does not wait for an end."""
        assert self.process.popen is not None
        self.process.popen.send_signal(number)

    def pause(self) -> None:
        """It stands still."""
        self.send(signal.SIGSTOP)

    def resume(self) -> None:
        """It goes on."""
        self.send(signal.SIGCONT)

    def cut(self) -> None:
        """It reaches nobody."""
        self.network.cut(self.name)

    def heal(self) -> None:
        """It reaches everybody again."""
        self.network.heal(self.name)


class Etcd(Machine):
    """A member of etcd."""

    def join(self, data: pathlib.Path, members: list[Etcd]) -> None:
        """Says who the members are."""
        cluster = ",".join(f"{member.name}=http://{member.address}:2380" for member in members)
        peer, client = f"http://{self.address}:2380", f"http://{self.address}:2379"
        self.process.program = shutil.which("etcd") or "etcd"
        self.process.arguments = [
            *("--name", self.name, "--data-dir", str(data / self.name)),
            *("--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer),
            *("--listen-client-urls", client, "--advertise-client-urls", client),
            *("--initial-cluster", cluster, "--initial-cluster-state", "new"),
            *("--logger", "zap", "--log-level", "warn"),
        ]


class Server(Machine):
    """A server of the control plane."""

    # By which it is known.
    ca: pathlib.Path

    @property
    def url(self) -> str:
        """Where it answers."""
        return f"https://{self.address}:4566"

    def readiness(self, timeout: float = 2) -> dict[str, Any] | None:
        """What it says of itself, if it answers."""
        url = f"{self.url}/_longshore/health/ready"
        trusted = ssl.create_default_context(cafile=self.ca)
        try:
            with urllib.request.urlopen(url, timeout=timeout, context=trusted) as answer:
                return dict(json.load(answer))
        except urllib.error.HTTPError as error:
            return dict(json.load(error))
        except OSError:
            return None

    def is_ready(self) -> bool:
        """Whether it is of use."""
        said = self.readiness()
        return bool(said and said["ready"])


class ControlPlane:
    """Three servers and three members of etcd."""

    def __init__(self, folder: pathlib.Path, *options: str) -> None:
        self.network = Network()
        self.folder = folder
        self.etcds = [Etcd(self.network, f"e{n}", folder / f"e{n}.log") for n in range(3)]
        self.servers = [Server(self.network, f"s{n}", folder / f"s{n}.log") for n in range(3)]
        keys = [{"accessKeyId": KEY, "secretAccessKey": SECRET, "account": aws.ACCOUNT}]
        (folder / "keys.json").write_text(json.dumps(keys))
        self.store = "etcd://" + ",".join(f"{etcd.address}:2379" for etcd in self.etcds)
        self.ca = folder / self.servers[0].name / "ca.pem"
        self.environment = {
            "AWS_ACCESS_KEY_ID": KEY,
            "AWS_SECRET_ACCESS_KEY": SECRET,
            "LONGSHORE_CA_FILE": str(self.ca),
        }
        for etcd in self.etcds:
            etcd.join(folder, self.etcds)
        for server in self.servers:
            server.process.arguments = [
                *("server", "--keys", str(folder / "keys.json"), "--store", self.store),
                *("--listen", f"{server.address}:4566", "--advertise", server.url),
                *("--name", server.name, "--data-dir", str(folder / server.name), *options),
            ]
        self.agents: Process | None = None

    def start(self) -> None:
        """Starts all of them, and waits until the servers are of use."""
        for etcd in self.etcds:
            etcd.start()
        until(lambda: self.etcd_leader() is not None, "etcd to have a leader")
        self.initialize()
        for server in self.servers:
            server.start()
        for server in self.servers:
            server.process.wait(server.is_ready, f"{server.name} to be ready")

    def initialize(self) -> None:
        """Makes the authority of the servers, and gives them the key that it is sealed with."""
        first, *others = [self.folder / server.name for server in self.servers]
        identity.init_json(first, "--store", self.store)
        for folder in others:
            folder.mkdir()
            shutil.copy(first / "identity.key", folder)
        for server in self.servers:
            server.ca = self.ca

    def start_agents(self, cluster: str, count: int, *options: str) -> None:
        """Starts hollow agents, and waits until their instances are connected."""
        urls = ",".join(server.url for server in self.servers)
        arguments = ["--endpoint", urls, "sim", "agents", "--cluster", cluster]
        self.agents = Process(
            self.folder / "agents.log", [*arguments, "--count", str(count), *options]
        )
        self.agents.environment = self.environment
        self.agents.spawn()
        ecs = self.client(self.servers[0])

        def connected() -> bool:
            arns = ecs.list_container_instances(cluster=cluster)["containerInstanceArns"]
            if len(arns) < count:
                return False
            found = ecs.describe_container_instances(cluster=cluster, containerInstances=arns)
            return all(one["agentConnected"] for one in found["containerInstances"])

        self.agents.wait(connected, f"{count} hollow agents to be connected", timeout=60)

    def client(self, server: Server, **options: Any) -> Any:
        """A boto3 client of a server."""
        return aws.client(server.url, KEY, SECRET, ca=self.ca, **options)

    def leader(self, among: list[Server] | None = None) -> Server | None:
        """The server that leads, if one says so."""
        for server in among or self.servers:
            said = server.readiness(timeout=1)
            if said and said["leads"]:
                return server
        return None

    def etcd_leader(self) -> Etcd | None:
        """The member of etcd that leads, if one answers so."""
        for etcd in self.etcds:
            where = ["--endpoints", f"{etcd.address}:2379", "--command-timeout", "1s"]
            asked = subprocess.run(
                ["etcdctl", *where, "endpoint", "status", "--write-out", "json"],
                env={"ETCDCTL_API": "3", "PATH": "/usr/bin:/bin"},
                capture_output=True,
                text=True,
                check=False,
            )
            if asked.returncode == 0 and asked.stdout.strip():
                status = json.loads(asked.stdout)[0]["Status"]
                if status["header"]["member_id"] == status["leader"]:
                    return etcd
        return None

    def told(self, server: Server, *options: str) -> list[dict[str, Any]]:
        """The journal's events, oldest first."""
        arguments = ["--output", "json", "ctl", "events", *options]
        done = longshore(server.url, *arguments, **self.environment)
        return [json.loads(line) for line in done.stdout.splitlines()]

    def close(self) -> None:
        """Ends everything."""
        processes = [machine.process for machine in [*self.servers, *self.etcds]]
        if self.agents is not None:
            processes.insert(0, self.agents)
        for process in processes:
            if process.alive:
                process.kill()
        self.network.close()
