"""The balancer beside nginx and HAProxy: requests per second, p99, idle connections, many rules;
and the first request to a service at zero.

All sides serve in turn, one at a time, before the same upstream (nginx with answers in memory), and
the median of the rounds counts. The balancer under test has one processor of its own, load and
upstream share the other.
"""

import argparse
import contextlib
import json
import os
import pathlib
import re
import resource
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from typing import Any

import zero
from lossless import lossless
from table import Table

SMALL, LARGE = "/small", "/large"
SIDES = ["longshore", "nginx", "haproxy"]
# Processor of the side under test, and of load and upstream.
TESTED, OTHERS = "0", "1"
# First requests to a service at zero.
ZERO_ROUNDS = 15
# Idle connections: HAProxy keeps two descriptors ready for each, and takes no more than it can.
CONNECTIONS = min(10_000, (resource.getrlimit(resource.RLIMIT_NOFILE)[1] - 200) // 2)


def binary() -> str:
    """The release binary."""
    return os.environ.get("LONGSHORE_BIN", "target/release/longshore")


def free_port() -> int:
    """A TCP port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_for_port(port: int) -> None:
    """Waits until somebody listens."""
    deadline = time.monotonic() + 20
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        except OSError:
            if time.monotonic() > deadline:
                raise SystemExit(f"bench: nobody listens on {port}") from None
            time.sleep(0.05)


@contextlib.contextmanager
def process(cpu: str, *command: str) -> Iterator[subprocess.Popen[bytes]]:
    """A process on one processor, ended with its children."""
    log = subprocess.DEVNULL if not os.environ.get("BENCH_VERBOSE") else None
    child = subprocess.Popen(
        ["taskset", "-c", cpu, *command], stdout=log, stderr=log, start_new_session=True
    )
    try:
        yield child
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)
        child.wait()


class Bench:
    """Files and ports of one run."""

    def __init__(self, folder: pathlib.Path) -> None:
        self.folder = folder
        self.ports = {side: (free_port(), free_port()) for side in SIDES}
        self.upstream = free_port()
        certificate, key = folder / "cert.pem", folder / "key.pem"
        made = [
            "openssl",
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
            "-nodes",
            "-days",
            "2",
        ]
        made += ["-subj", "/CN=localhost", "-keyout", str(key), "-out", str(certificate)]
        subprocess.run(made, check=True, capture_output=True)
        (folder / "both.pem").write_text(certificate.read_text() + key.read_text())
        (folder / "www").mkdir()
        (folder / "www" / "small").write_text("hello, world\n")
        (folder / "www" / "large").write_bytes(b"x" * 65536)

    def nginx_conf(self, body: str, name: str) -> str:
        """An nginx with one worker."""
        path = self.folder / f"{name}.conf"
        path.write_text(
            f"daemon off; worker_processes 1; pid {self.folder}/{name}.pid; error_log /dev/null;"
            "worker_rlimit_nofile 19000; events { worker_connections 18000; }"
            "http { access_log off; keepalive_requests 1000000000; keepalive_timeout 600s;"
            f"client_body_temp_path {self.folder}/b; proxy_temp_path {self.folder}/p;"
            f"fastcgi_temp_path {self.folder}/f; uwsgi_temp_path {self.folder}/u;"
            f"scgi_temp_path {self.folder}/s; {body} }}"
        )
        return str(path)

    def upstream_command(self) -> list[str]:
        """The upstream."""
        body = (
            f"server {{ listen 127.0.0.1:{self.upstream} backlog=4096; sendfile on; tcp_nopush on;"
            f"open_file_cache max=10; root {self.folder}/www; }}"
        )
        return ["nginx", "-c", self.nginx_conf(body, "upstream")]

    def command(self, side: str) -> list[str]:
        """The command of a side."""
        plain, tls = self.ports[side]
        if side == "nginx":
            body = (
                f"upstream u {{ server 127.0.0.1:{self.upstream}; keepalive 256;"
                "keepalive_requests 1000000000; }"
                f"server {{ listen 127.0.0.1:{plain} backlog=4096;"
                f"listen 127.0.0.1:{tls} ssl http2 backlog=4096;"
                f"ssl_certificate {self.folder}/cert.pem;"
                f"ssl_certificate_key {self.folder}/key.pem;"
                "location / { proxy_pass http://u; proxy_http_version 1.1;"
                'proxy_set_header Connection ""; proxy_set_header Host $host;'
                "proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for; } }"
            )
            return ["nginx", "-c", self.nginx_conf(body, "nginx")]
        if side == "haproxy":
            path = self.folder / "haproxy.cfg"
            path.write_text(
                f"global\n nbthread 1\n maxconn {CONNECTIONS}\n"
                "defaults\n mode http\n timeout connect 5s\n"
                " timeout client 600s\n timeout server 60s\n timeout http-keep-alive 600s\n"
                " option forwardfor\n http-reuse always\n"
                f"frontend f\n bind 127.0.0.1:{plain}\n"
                f" bind 127.0.0.1:{tls} ssl crt {self.folder}/both.pem alpn h2,http/1.1\n"
                f" default_backend b\nbackend b\n server s 127.0.0.1:{self.upstream}\n"
            )
            return ["haproxy", "-f", str(path), "-db"]
        file = self.folder / "snapshot.json"
        if not file.exists():
            self.write_snapshot(1, 1, 1)
        return [
            binary(),
            "lb",
            "--snapshot",
            str(file),
            "--data-dir",
            str(self.folder / "data"),
        ]

    def write_snapshot(self, version: int, rules: int, targets: int) -> None:
        """Our snapshot, put in place at once."""
        plain, tls = self.ports["longshore"]
        health = {"state": "healthy", "reason": None, "description": None, "since": 0}
        all_targets = [
            {
                "id": "127.0.0.1" if n == 0 else f"127.1.{n // 250}.{n % 250 + 1}",
                "port": self.upstream,
                # All are this machine.
                "address": f"127.{0 if n == 0 else 1}.{n // 250}.{n % 250 + 1}:{self.upstream}",
                "registered_at": 0,
                "deregistered_at": None,
                "health": health,
            }
            for n in range(targets)
        ]
        groups = [self.group("g", all_targets[:1])]
        # Others have the other targets, so that the same connections are used again.
        if targets > 1:
            groups.append(self.group("others", all_targets[1:]))
        made = [
            {
                "arn": f"rule{n}",
                "priority": n + 1,
                "conditions": [{"path-pattern": {"values": [f"/service{n}/*"]}}],
                "actions": [{"forward": {"groups": [{"group": "others", "weight": 1}]}}],
            }
            for n in range(rules - 1)
        ]
        forward = {"forward": {"groups": [{"group": "g", "weight": 1}], "stickiness_s": None}}
        default = {"arn": "d", "priority": None, "conditions": [], "actions": [forward]}
        for rule in made:
            rule["actions"][0]["forward"]["stickiness_s"] = None
        listener = {
            "port": plain,
            "protocol": "HTTP",
            "certificates": [],
            "ssl_policy": None,
            "alpn_policy": None,
            "rules": [*made, default],
            "arn": "plain",
        }
        secure = {**listener, "arn": "tls", "port": tls, "protocol": "HTTPS", "certificates": ["c"]}
        attributes = {
            "idle_timeout_s": 600,
            "client_keep_alive_s": 3600,
            "http2": True,
            "drop_invalid_header_fields": False,
            "preserve_host_header": False,
            "forwarded_for": "append",
            "forwarded_for_port": False,
            "tls_headers": False,
            "access_logs": None,
        }
        snapshot = {
            "version": version,
            "balancers": [
                {
                    "arn": "b",
                    "name": "b",
                    "kind": "application",
                    "addresses": ["127.0.0.1"],
                    "attributes": attributes,
                    "listeners": [listener, secure],
                }
            ],
            "groups": groups,
            "certificates": [
                {
                    "arn": "c",
                    "names": ["localhost"],
                    "chain_pem": (self.folder / "cert.pem").read_text(),
                    "key_pem": (self.folder / "key.pem").read_text(),
                }
            ],
        }
        new = self.folder / "snapshot.new"
        new.write_text(json.dumps(snapshot))
        new.rename(self.folder / "snapshot.json")

    @staticmethod
    def group(arn: str, targets: list[dict[str, Any]]) -> dict[str, Any]:
        """A target group."""
        return {
            "arn": arn,
            "name": arn,
            "protocol": "HTTP",
            "version": "HTTP1",
            "health_check": None,
            "attributes": {
                "deregistration_delay_s": 300,
                "slow_start_s": 0,
                "algorithm": "round_robin",
                "stickiness": None,
                "proxy_protocol_v2": False,
                "terminate_on_deregistration": False,
            },
            "targets": targets,
        }


def milliseconds(text: str) -> float:
    """What wrk and h2load write, in milliseconds."""
    found = re.match(r"([\d.]+)(us|ms|s|m)", text)
    if not found:
        raise SystemExit(f"bench: no time: {text}")
    return float(found[1]) * {"us": 0.001, "ms": 1, "s": 1000, "m": 60000}[found[2]]


def wrk(url: str, seconds: float) -> tuple[float, float, int]:
    """Requests per second, p99 in milliseconds, and errors."""
    command = ["taskset", "-c", OTHERS, "wrk", "-t1", "-c64", f"-d{seconds:g}", "--latency", url]
    text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    rate = float(re.search(r"Requests/sec:\s+([\d.]+)", text)[1])  # type: ignore[index]
    p99 = milliseconds(re.search(r"(?m)^\s+99%\s+(\S+)", text)[1])  # type: ignore[index]
    errors = sum(int(n) for n in re.findall(r"(?:connect|read|write|timeout) (\d+)", text))
    errors += sum(int(n) for n in re.findall(r"Non-2xx or 3xx responses: (\d+)", text))
    return rate, p99, errors


def h2load(url: str, seconds: float) -> tuple[float, float, int]:
    """The same for HTTP/2: 8 connections with 8 streams each; p99 is not told."""
    command = ["taskset", "-c", OTHERS, "h2load", "-t1", "-c8", "-m8", "-D", f"{seconds:g}", url]
    text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    rate = float(re.search(r"finished in \S+, ([\d.]+) req/s", text)[1])  # type: ignore[index]
    failed = int(re.search(r"(\d+) failed", text)[1])  # type: ignore[index]
    return rate, 0, failed


def memory_mib(pid: int) -> float:
    """Resident memory of a process and its children."""
    total = 0
    for path in pathlib.Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            fields = path.read_text().rsplit(")", 1)[1].split()
            # Fields after the name: state, parent, group.
            if int(fields[2]) == pid:
                rollup = path.with_name("smaps_rollup").read_text()
                total += int(re.search(r"Pss:\s+(\d+)", rollup)[1])  # type: ignore[index]
    return total / 1024


def idle(port: int, count: int) -> list[socket.socket]:
    """Connections that have asked once."""
    sockets = []
    for _ in range(count):
        one = socket.create_connection(("127.0.0.1", port))
        one.sendall(b"GET /small HTTP/1.1\r\nHost: x\r\n\r\n")
        if not one.recv(4096).startswith(b"HTTP/1.1 200"):
            raise SystemExit("bench: no answer")
        sockets.append(one)
    return sockets


def compare(bench: Bench, table: Table, rounds: int, seconds: float) -> None:
    """Requests per second and p99."""
    work = [
        ("HTTP, small", 0, SMALL, wrk),
        ("HTTP, 64 KiB", 0, LARGE, wrk),
        ("HTTPS, small", 1, SMALL, wrk),
        ("HTTPS, 64 KiB", 1, LARGE, wrk),
        ("HTTP/2 over TLS, small", 1, SMALL, h2load),
        ("HTTP/2 over TLS, 64 KiB", 1, LARGE, h2load),
    ]
    for name, which, path, load in work:
        got: dict[str, list[tuple[float, float, int]]] = {side: [] for side in SIDES}
        for _ in range(rounds):
            for side in SIDES:
                with process(TESTED, *bench.command(side)):
                    wait_for_port(bench.ports[side][which])
                    scheme = "https" if which else "http"
                    url = f"{scheme}://127.0.0.1:{bench.ports[side][which]}{path}"
                    load(url, 1)
                    got[side].append(load(url, seconds))
        rate = {side: statistics.median(one[0] for one in got[side]) for side in SIDES}
        p99 = {side: statistics.median(one[1] for one in got[side]) for side in SIDES}
        for side in SIDES:
            if errors := sum(one[2] for one in got[side]):
                print(f"bench: {name}: {side}: {errors} errors", file=sys.stderr)
        peers = ", ".join(f"{side} {rate[side]:,.0f}/s" for side in SIDES[1:])
        ratio = rate["longshore"] / max(rate["nginx"], rate["haproxy"])
        table.row(f"{name}: requests", f"{rate['longshore']:,.0f}/s", peers, ratio, "≥ 0.8x")
        if load is wrk:
            peers = ", ".join(f"{side} {p99[side]:.2f} ms" for side in SIDES[1:])
            ratio = min(p99["nginx"], p99["haproxy"]) / p99["longshore"]
            table.row(f"{name}: p99", f"{p99['longshore']:.2f} ms", peers, ratio, "≥ 0.8x")


def idle_memory(bench: Bench, table: Table, count: int) -> None:
    """Memory at idle connections."""
    used = {}
    for side in SIDES:
        with process(TESTED, *bench.command(side)) as child:
            port = bench.ports[side][0]
            wait_for_port(port)
            sockets = idle(port, count)
            time.sleep(1)
            used[side] = memory_mib(child.pid)
            for one in sockets:
                one.close()
    best = min(used["nginx"], used["haproxy"])
    peers = ", ".join(f"{side} {used[side]:.1f} MiB" for side in SIDES[1:])
    name = f"Memory, {count:,} idle connections"
    table.row(name, f"{used['longshore']:.1f} MiB", peers, used["longshore"] / best, "≤ 1.5x")


def many_rules(bench: Bench, table: Table, rounds: int, seconds: float) -> None:
    """One rule against a thousand, and swaps of the snapshot under load."""
    port = bench.ports["longshore"][0]
    url = f"http://127.0.0.1:{port}{SMALL}"
    rates: dict[int, list[float]] = {1: [], 1000: []}
    version = 2
    for _ in range(rounds):
        for count in rates:
            bench.write_snapshot(version, count, count)
            version += 1
            with process(TESTED, *bench.command("longshore")):
                wait_for_port(port)
                wrk(url, 1)
                rates[count].append(wrk(url, seconds)[0])
    one, many = (statistics.median(rates[count]) for count in (1, 1000))
    table.row(
        "1,000 rules and 1,000 targets: requests",
        f"{many:,.0f}/s",
        f"one rule {one:,.0f}/s",
        many / one,
        "≥ 0.95x",
    )
    with process(TESTED, *bench.command("longshore")):
        wait_for_port(port)
        ended = threading.Event()
        swaps = [0]

        def swap() -> None:
            while not ended.wait(0.2):
                swaps[0] += 1
                bench.write_snapshot(version + swaps[0], 1000, 1000 - swaps[0] % 2)

        thread = threading.Thread(target=swap)
        thread.start()
        rate, p99, errors = wrk(url, seconds)
        ended.set()
        thread.join()
    table.row(
        f"{swaps[0]} snapshots of 1,000 rules under load: failed requests",
        str(errors),
        f"{rate:,.0f}/s, p99 {p99:.2f} ms",
        None,
        "0",
    )


def main() -> None:
    """Measures what is asked for."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--idle", type=int, default=CONNECTIONS - 10)
    parts = ["compare", "idle", "rules", "lossless", "zero"]
    parser.add_argument("--only", choices=parts)
    options = parser.parse_args()
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    folder = pathlib.Path(tempfile.mkdtemp(prefix="longshore-lb-bench-"))
    folder.chmod(0o755)
    try:
        bench = Bench(folder)
        table = Table()
        with process(OTHERS, *bench.upstream_command()):
            wait_for_port(bench.upstream)
            if options.only in (None, "compare"):
                compare(bench, table, options.rounds, options.seconds)
            if options.only in (None, "idle"):
                idle_memory(bench, table, options.idle)
            if options.only in (None, "rules"):
                many_rules(bench, table, options.rounds, options.seconds)
        if options.only in (None, "lossless"):
            lossless(table)
        if options.only in (None, "zero"):
            zero.measure(binary(), folder, table, ZERO_ROUNDS)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
