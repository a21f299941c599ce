"""The files for operators: units that systemd takes, a dashboard of metrics that there are."""

import json
import os
import pathlib
import re
import shutil
import subprocess

import pytest
from harness.process import ROOT

UNITS = sorted((ROOT / "deploy/systemd").glob("*.service"))


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="this machine has no systemd")
@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.stem)
def test_systemd_takes_the_unit(unit: pathlib.Path, tmp_path: pathlib.Path) -> None:
    """The unit has no word that systemd does not know, and its program takes the options."""
    program = tmp_path / "longshore"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    text = unit.read_text().replace("/usr/local/bin/longshore", str(program))
    # Docker need not be installed where this is tested.
    text = re.sub(r"^(Requires=docker.service)$", r"# \1", text, flags=re.MULTILINE)
    copy = tmp_path / unit.name
    copy.write_text(text)
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", str(copy)],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "SYSTEMD_LOG_LEVEL": "warning"},
    )
    own = [line for line in done.stderr.splitlines() if unit.name in line]
    assert (done.returncode, own) == (0, []), done.stderr


def test_the_dashboard_shows_metrics_that_there_are() -> None:
    """Each metric of the dashboard is one that the server declares; so is each of the docs."""
    source = (ROOT / "crates/server/src/front/metrics.rs").read_text()
    declared = set(re.findall(r'Named =\s*\(\s*"(\w+)"', source))
    dashboard = json.loads((ROOT / "deploy/grafana/longshore.json").read_text())
    targets = [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]
    docs = (ROOT / "docs/operations.md").read_text()
    for text in (" ".join(targets), docs):
        shown = set(re.findall(r"\blongshore_([a-z_]+)", text)) - {"server", "agent"}
        assert len(shown) > 15
        assert {re.sub(r"_(total|bucket)$", "", name) for name in shown} - declared == set()
