"""The demo holds what it promises: steady, asked, found again, and stopped by Ctrl-C."""

import os
import pathlib
import re
import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest
from harness.balancing import addresses
from harness.process import ROOT, binary, free_port
from harness.wait import until

TASK = re.compile(r"^([0-9a-f]{32})  [0-9a-f]{32}  (us-east-1[ab])  http://\S+  hello", re.M)


class Demo:
    """Runs demo.py with state and a port of its own."""

    def __init__(self, folder: pathlib.Path) -> None:
        self.folder = folder
        self.port = free_port()
        self.started: list[subprocess.Popen[str]] = []

    def start(self, *options: str) -> subprocess.Popen[str]:
        listen = ["--listen", f"127.0.0.1:{self.port}", "--data-dir", str(self.folder / "state")]
        listen += ["--balancer-addresses", addresses()]
        process = subprocess.Popen(
            [sys.executable, str(ROOT / "demo/demo.py"), *listen, *options],
            env={**os.environ, "LONGSHORE_BIN": binary()},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        self.started.append(process)
        return process

    def run(self, *options: str) -> str:
        """Runs it to its end, which must be a good one."""
        process = self.start(*options)
        output, _ = process.communicate(timeout=150)
        assert process.returncode == 0, output
        return output


@pytest.fixture
def demo(tmp_path: pathlib.Path) -> Iterator[Demo]:
    demo = Demo(tmp_path)
    yield demo
    for process in demo.started:
        if process.poll() is None:
            process.terminate()
            process.wait(40)
    assert "gone" in demo.run("--reset")


def test_the_demo(demo: Demo) -> None:
    output = demo.run("--once")
    first = TASK.findall(output)
    assert len(first) == 4, output
    assert {zone for _, zone in first} == {"us-east-1a", "us-east-1b"}
    assert re.search(r"^http://127\.\d+\.\d+\.\d+/$", output, re.M), "the balancer's URL"
    assert f"export AWS_ENDPOINT_URL=http://127.0.0.1:{demo.port}" in output
    assert "All checks held." in output

    # Started again, it finds its state and its containers; Ctrl-C stops it cleanly.
    process = demo.start()
    assert process.stdout is not None
    lines: list[str] = []

    def ready() -> bool:
        line = process.stdout.readline()
        assert line or process.poll() is None, "".join(lines)
        lines.append(line)
        return line.startswith("Ctrl-C")

    until(ready, "the demo to be ready", 120)
    assert TASK.findall("".join(lines)) == first
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=30)
    assert process.returncode == 0, output
    assert "Stopped." in output
