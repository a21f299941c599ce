"""Roles of tasks: credentials that containers read from the agent."""

import datetime
import json
import pathlib
import sys
from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from harness import cli
from harness.aws import ACCOUNT, REGION, refused
from harness.identity import Guarded, document, trust
from harness.process import Agent, World
from harness.services import Service
from harness.tasks import Tasks, sh
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
    """What a container of a task is given, or told instead, if there is somebody to ask."""
    return json.loads(tasks.exec(arn, "sh", "-c", f"fetch {URL}") or "{}")


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


# Agents of other workers may have the address that SDKs know; they take no other but the loopback.
RELAY = """
import http.server, os, threading, urllib.request
URL = "AWS_CONTAINER_CREDENTIALS_FULL_URI"
class Relay(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = urllib.request.urlopen(self.server.url).read()
        self.send_response(200)
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *_):
        pass
if URL in os.environ:
    server = http.server.HTTPServer(("127.0.0.1", 0), Relay)
    server.url = os.environ[URL]
    os.environ[URL] = f"http://127.0.0.1:{server.server_port}/"
    del os.environ["AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"]
    threading.Thread(target=server.serve_forever, daemon=True).start()
"""
# What a container does with boto3: asks who it is, and what its role lets it.
PROGRAM = (
    RELAY
    + """
import json, boto3, botocore.exceptions
ecs, sts = boto3.client("ecs"), boto3.client("sts")
said = {"me": sts.get_caller_identity()["Arn"], "clusters": ecs.list_clusters()["clusterArns"]}
try:
    ecs.create_cluster(clusterName="mine")
except botocore.exceptions.ClientError as error:
    said["refused"] = error.response["Error"]
print(json.dumps(said), flush=True)
"""
)
TASKS = {"Service": "ecs-tasks.amazonaws.com"}


class Roles(World):
    """A world whose server has identities, beside containers that can call it."""

    def __init__(self, folder: pathlib.Path, image: str) -> None:
        self.guarded = Guarded(folder)
        admin = self.guarded.admin
        # What the harness asks, it asks as the administrator.
        self.guarded.server.ecs = admin.ecs
        super().__init__(folder, "identity", image, server=self.guarded.server)
        policy = "arn:aws:iam::aws:policy/service-role/AmazonEC2ContainerServiceforEC2Role"
        key = admin.new_user("instances")
        admin.iam.attach_user_policy(UserName="instances", PolicyArn=policy)
        agent = Agent(self.server, self.cluster)
        agent.environment |= {"AWS_ACCESS_KEY_ID": key.id, "AWS_SECRET_ACCESS_KEY": key.secret}
        self.agents.append(agent.start())

    def role(self, name: str, *statements: str, principal: dict[str, str] = TASKS) -> str:
        """A role with these policies."""
        iam, name = self.guarded.admin.iam, name[-60:]
        made = iam.create_role(RoleName=name, AssumeRolePolicyDocument=trust(principal))
        for number, statement in enumerate(statements):
            iam.put_role_policy(RoleName=name, PolicyName=f"p{number}", PolicyDocument=statement)
        return str(made["Role"]["Arn"])


@pytest.fixture(scope="module")
def roles(tmp_path_factory: pytest.TempPathFactory, image: str) -> Iterator[Roles]:
    """A world with identities."""
    roles = Roles(tmp_path_factory.mktemp("identity"), image)
    yield roles
    roles.close()


def with_python(roles: Roles, program: str) -> dict[str, Any]:
    """A container that runs a program with this machine's Python and boto3."""
    packages = pathlib.Path(boto3.__file__).parents[1]
    paths = {path: path for path in ("/usr", "/lib", "/lib64", sys.base_prefix)}
    paths["/packages"] = str(packages)
    return {
        "definition": {
            "command": sh(f"exec {sys.base_prefix}/bin/python3 -c '{program}' 2>&1"),
            "environment": [
                {"name": "PYTHONPATH", "value": "/packages"},
                {"name": "AWS_ENDPOINT_URL", "value": roles.server.url},
                {"name": "HOME", "value": "/"},
            ],
            "memory": 256,
            "mountPoints": [
                {"sourceVolume": f"v{n}", "containerPath": path, "readOnly": True}
                for n, path in enumerate(paths)
            ],
        },
        "volumes": [
            {"name": f"v{n}", "host": {"sourcePath": source}}
            for n, source in enumerate(paths.values())
        ],
    }


def test_boto3_in_a_container_may_what_its_role_may(roles: Roles, name: str) -> None:
    role = roles.role(name, document(["ecs:ListClusters"]))
    tasks = Tasks(roles, name)
    made = with_python(roles, PROGRAM)
    task = tasks.finished(
        made["definition"], volumes=made["volumes"], taskRoleArn=role, networkMode="host"
    )
    logs = tasks.logs(task["taskArn"])
    assert task["containers"][0]["exitCode"] == 0, logs
    said = json.loads(logs)
    session = task["taskArn"].rsplit("/", 1)[1]
    assert said["me"] == f"arn:aws:sts::{ACCOUNT}:assumed-role/{role.rsplit('/', 1)[1]}/{session}"
    assert any(arn.endswith(f"/{roles.cluster}") for arn in said["clusters"])
    assert said["refused"]["Code"] == "AccessDeniedException"
    assert said["refused"]["Message"] == (
        f"User: {said['me']} is not authorized to perform: ecs:CreateCluster on resource: "
        f"arn:aws:ecs:{REGION}:{ACCOUNT}:cluster/mine because no identity-based policy allows the "
        "ecs:CreateCluster action"
    )


def test_credentials_end_with_their_task(roles: Roles, name: str) -> None:
    tasks = Tasks(roles, name)
    arn = tasks.running({}, taskRoleArn=roles.role(name, document("ecs:*")))["taskArn"]
    given = credentials(tasks, arn)
    assert given["AccessKeyId"].startswith("ASIA")
    session = {"AccessKeyId": given["AccessKeyId"], "SecretAccessKey": given["SecretAccessKey"]}
    key = roles.guarded.admin.of_session(roles.server, session | {"SessionToken": given["Token"]})
    key.ecs.list_clusters()
    tasks.stop(arn)
    with refused("ExpiredTokenException"):
        key.ecs.list_clusters()


def test_a_role_that_tasks_cannot_have_is_refused_at_once(roles: Roles, name: str) -> None:
    tasks = Tasks(roles, name)
    missing = f"arn:aws:iam::{ACCOUNT}:role/{name}-nothing"
    with refused("ClientException", "(taskRoleArn: there is no role with this ARN.)"):
        tasks.define({}, taskRoleArn=missing)
    wrong = roles.role(f"{name}-ec2", principal={"Service": "ec2.amazonaws.com"})
    with refused("ClientException", f"ECS was unable to assume the role '{wrong}'"):
        tasks.define({}, executionRoleArn=wrong)
    right = roles.role(f"{name}-right")
    definition = tasks.define({}, taskRoleArn=right)
    with refused("ClientException", "does not allow sts:AssumeRole to the service"):
        tasks.run(definition, overrides={"taskRoleArn": wrong})
    roles.guarded.admin.iam.update_assume_role_policy(
        RoleName=right.rsplit("/", 1)[1], PolicyDocument=trust({"Service": "ec2.amazonaws.com"})
    )
    with refused("ClientException", "(taskRoleArn: its trust policy"):
        tasks.run(definition)


REFUSED = (
    "failed to launch a task with (error ECS was unable to assume the role '{}' that was provided "
    "for this task. Please verify that the role being passed has the proper trust relationship and "
    "permissions and that your IAM user has permissions to pass this role.)."
)


def test_a_service_starts_nothing_without_its_role_and_goes_on_when_it_is_back(
    roles: Roles, name: str
) -> None:
    tasks, iam = Tasks(roles, name), roles.guarded.admin.iam
    service = Service(tasks)
    role = roles.role(name)
    made = role.rsplit("/", 1)[1]
    service.create(tasks.define({}, taskRoleArn=role), 1)
    service.stable()
    iam.delete_role(RoleName=made)
    service.update(desiredCount=3)
    told = f"(service {name}) {REFUSED.format(role)}"
    until(lambda: told in service.messages(), "the event of ECS")
    assert len(service.running()) == 1, "what runs goes on"
    admin = roles.guarded.admin
    explained = cli.longshore(
        roles.server.url,
        "ctl",
        "explain",
        "--cluster",
        roles.cluster,
        AWS_ACCESS_KEY_ID=admin.id,
        AWS_SECRET_ACCESS_KEY=admin.secret,
    ).stdout
    assert f"ROLE: a role that its tasks can have: {role} (taskRoleArn: there is no" in explained
    # One that tasks cannot have is no better.
    wrong = trust({"Service": "ec2.amazonaws.com"})
    iam.create_role(RoleName=made, AssumeRolePolicyDocument=wrong)
    assert len(service.running()) == 1
    iam.update_assume_role_policy(RoleName=made, PolicyDocument=trust(TASKS))
    service.stable()
    assert len(service.running()) == 3
    assert service.messages().count(told) == 1
    for task in service.running():
        assert credentials(tasks, task["taskArn"])["RoleArn"] == role
    service.update(desiredCount=0)


def test_a_task_whose_role_goes_before_its_agent_hears_of_it_does_not_start(
    roles: Roles, name: str
) -> None:
    tasks = Tasks(roles, name)
    role = roles.role(name)
    definition = tasks.define({}, taskRoleArn=role)
    [agent] = roles.agents
    # It may be away for a few seconds before the control plane says so.
    agent.kill()
    arn = tasks.run(definition)["taskArn"]
    roles.guarded.admin.iam.delete_role(RoleName=role.rsplit("/", 1)[1])
    agent.start()
    stopped = tasks.wait(arn, "STOPPED")
    assert stopped["stopCode"] == "TaskFailedToStart"
    assert stopped["stoppedReason"].startswith(f"ECS was unable to assume the role '{role}'")
    assert not stopped["containers"][0].get("runtimeId"), "nothing ran"
