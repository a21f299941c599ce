"""The binary as a person runs it against a server."""

import json
import os
import subprocess
from typing import Any

from harness.process import binary


def longshore(
    url: str, *arguments: str, fails: bool = False, **environment: str
) -> subprocess.CompletedProcess[str]:
    """Runs the binary against a server; fails the test unless it ends as expected."""
    done = subprocess.run(
        [binary(), "--endpoint", url, *arguments],
        env={"PATH": os.environ["PATH"], "HOME": "/nonexistent", **environment},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert (done.returncode != 0) == fails, f"{arguments}\n{done.stdout}\n{done.stderr}"
    return done


def as_json(url: str, *arguments: str, **environment: str) -> Any:
    """The same with JSON on standard output."""
    return json.loads(longshore(url, "--output", "json", *arguments, **environment).stdout)
