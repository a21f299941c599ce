"""A server alone is a control plane of one: it leads at once, and says how it is."""

import json
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from typing import Any

from harness.cli import as_json, longshore
from harness.process import Server


def get(server: Server, path: str) -> tuple[int, Any]:
    try:
        with urllib.request.urlopen(f"{server.url}{path}", timeout=10) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()


def test_it_leads_at_once_even_after_a_crash(new_server: Callable[..., Server]) -> None:
    server = new_server()
    server.ecs.create_cluster(clusterName="default")
    container = {"name": "main", "image": "image", "memory": 16}
    server.ecs.register_task_definition(family="job", containerDefinitions=[container])
    for _ in range(3):
        server.kill()
        server.start()
        began = time.monotonic()
        run = server.ecs.run_task(taskDefinition="job")
        assert run["failures"], "there is no instance"
        # A lease of the process that was killed would have minutes to go.
        assert time.monotonic() - began < 5


def test_health_and_the_list_of_servers(new_server: Callable[..., Server]) -> None:
    server = new_server("--open", "--name", "alone", "--advertise", "http://control.example:4566")
    assert get(server, "/_longshore/health/live") == (200, b"ok\n")

    def ready() -> Any:
        status, body = get(server, "/_longshore/health/ready")
        return json.loads(body) if status == 200 else None

    assert server.wait(ready, "the server to be ready")["leader"] == "alone"
    told = as_json(server.url, "ctl", "servers")
    (member,) = told["members"]
    assert (member["name"], member["leads"], member["behind"]) == ("alone", True, 0)
    table = longshore(server.url, "ctl", "status").stdout
    assert "leader alone" in table
    assert "http://control.example:4566" in table
    endpoint = server.ecs.discover_poll_endpoint()["endpoint"]
    assert endpoint == "http://control.example:4566"
    refused = longshore(server.url, "server", "--open", "--advertise", "example", fails=True)
    assert "is no URL" in refused.stderr
