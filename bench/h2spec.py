#!/usr/bin/env python3
"""Runs h2spec, the conformance tests of HTTP/2, against our balancer, nginx and HAProxy in turn.

Needs Go, which fetches h2spec. Prints the failures of ours and how many tests each passes.
"""

import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

import lb

H2SPEC = "github.com/summerwind/h2spec/cmd/h2spec@v2.2.1"
TOOLS = pathlib.Path(__file__).resolve().parents[1] / ".cache" / "tools" / "bin"


def h2spec() -> str:
    """The program, installed where it is missing."""
    program = TOOLS / "h2spec"
    if not program.exists():
        if not shutil.which("go"):
            raise SystemExit("h2spec: it is installed by Go, which is not here")
        environment = {**os.environ, "GOBIN": str(TOOLS)}
        subprocess.run(["go", "install", H2SPEC], check=True, env=environment)
    return str(program)


def main() -> int:
    """Whether ours passes all."""
    program = h2spec()
    passes = {}
    with tempfile.TemporaryDirectory(prefix="longshore-h2spec-") as name:
        folder = pathlib.Path(name)
        folder.chmod(0o755)
        bench = lb.Bench(folder)
        with lb.process(lb.OTHERS, *bench.upstream_command()):
            lb.wait_for_port(bench.upstream)
            for side in lb.SIDES:
                port = bench.ports[side][1]
                with lb.process(lb.OTHERS, *bench.command(side)):
                    lb.wait_for_port(port)
                    command = [program, "--tls", "--insecure", "--host", "127.0.0.1"]
                    command += ["--port", str(port), "--path", "/small"]
                    told = subprocess.run(command, check=False, capture_output=True, text=True)
                found = re.search(r"(\d+) tests, (\d+) passed", told.stdout)
                if not found:
                    raise SystemExit(f"h2spec: {side}: {told.stdout}{told.stderr}")
                passes[side] = (int(found[2]), int(found[1]))
                if side == lb.SIDES[0]:
                    print(told.stdout.partition("Failures:")[2])
    for side, (passed, of) in passes.items():
        print(f"{side}: {passed} of {of}")
    ours = passes[lb.SIDES[0]]
    return int(ours[0] < ours[1])


if __name__ == "__main__":
    sys.exit(main())
