"""Roles of tasks: credentials that containers read from the agent."""

import datetime
import json
from collections.abc import Iterator
from typing import Any

import pytest
from harness.process import World
from harness.tasks import Tasks
from harness.wait import until

ROLE = "arn:aws:iam::000000000042:role/app"
# Where SDKs look for credentials.
URL = "${AWS_CONTAINER_CREDENTIALS_FULL_URI:-http://169.254.170.2$AWS_CONTAINER_CREDENTIALS_RELATIVE_URI}"


@pytest.fixture(scope="module")
def role_world(tmp_path_factory: pytest.TempPathFactory, image: str) -> Iterator[World]:
    """A world whose roles are short-lived."""
    options = ["--open", "--task-credentials-life", "20s"]
    world = World(tmp_path_factory.mktemp("roles"), "roles", image, *options)
    world.add_agent()
    yield world
    world.close()


@pytest.fixture
def tasks(role_world: World, name: str) -> Tasks:
    """Tasks of the test's own."""
    return Tasks(role_world, name)


def credentials(tasks: Tasks, arn: str) -> Any:
    """What a container of a task is given, or told instead."""
    return json.loads(tasks.exec(arn, "sh", "-c", f"fetch {URL}"))


def test_a_container_has_the_role_of_its_task_and_no_other(tasks: Tasks) -> None:
    arn = tasks.running({}, taskRoleArn=ROLE)["taskArn"]
    first = credentials(tasks, arn)
    assert first["RoleArn"] == ROLE
    assert first["AccessKeyId"] == "000000000042", "whoever is root of the account"
    ends = datetime.datetime.fromisoformat(first["Expiration"])
    assert ends <= datetime.datetime.now(datetime.UTC) + datetime.timedelta(seconds=20)
    renewed = until(
        lambda: credentials(tasks, arn)["Expiration"] != first["Expiration"], "others", 30
    )
    assert renewed
    # The url is a secret, but not the only one.
    url = tasks.exec(arn, "sh", "-c", f"echo {URL}").strip()
    other = tasks.running({})["taskArn"]
    assert json.loads(tasks.exec(other, "fetch", url))["code"] == "InvalidIdInRequest"
    environment = tasks.inspect(other)["Config"]["Env"]
    assert not any("CREDENTIALS" in variable for variable in environment)
    assert credentials(tasks, arn)["RoleArn"] == ROLE


def test_an_override_of_the_role_counts(tasks: Tasks) -> None:
    definition = tasks.define({}, taskRoleArn=ROLE)
    over = {"taskRoleArn": "arn:aws:iam::000000000043:role/other"}
    arn = tasks.run(definition, overrides=over)["taskArn"]
    tasks.wait(arn, "RUNNING")
    assert credentials(tasks, arn)["RoleArn"] == over["taskRoleArn"]


def test_an_agent_that_is_started_again_has_the_roles_again(
    tasks: Tasks, role_world: World
) -> None:
    arn = tasks.running({}, taskRoleArn=ROLE)["taskArn"]
    [agent] = role_world.agents
    agent.kill()
    agent.start()
    assert until(lambda: credentials(tasks, arn).get("RoleArn"), "its role") == ROLE
