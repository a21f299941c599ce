"""What policies decide about calls of unmodified clients, and what the audit log tells of it."""

import json
import os
import pathlib
from collections.abc import Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError
from harness import cli, docker
from harness.aws import ACCOUNT, REGION
from harness.identity import Guarded, Key, document, trust
from harness.process import Agent, Server
from harness.wait import until

ECS = f"arn:aws:ecs:{REGION}:{ACCOUNT}"
ROLE = f"arn:aws:iam::{ACCOUNT}:role"


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    """A server that records every call, shared by the tests of this file."""
    guarded = Guarded(tmp_path_factory.mktemp("access"), "--audit", "all")
    yield guarded
    assert guarded.server.alive, guarded.server.tail()
    guarded.server.stop()


@pytest.fixture
def admin(guarded: Guarded) -> Key:
    """The first administrator."""
    return guarded.admin


def denial(key: Key, service: str, operation: str, **request: Any) -> tuple[str, str, str]:
    """Code, text and id of a call that must be denied."""
    with pytest.raises(ClientError) as refusal:
        getattr(key.client(service), operation)(**request)
    answer = refusal.value.response
    error, meta = answer["Error"], answer["ResponseMetadata"]
    assert error["Code"] in ("AccessDenied", "AccessDeniedException"), error
    status = 403 if error["Code"] == "AccessDenied" else 400
    assert meta["HTTPStatusCode"] == status
    return error["Code"], error["Message"], meta["RequestId"]


def statement(action: str | list[str], resource: str | list[str] = "*", **more: Any) -> str:
    """A policy of one statement, with conditions."""
    only = {"Effect": "Allow", "Action": action, "Resource": resource, **more}
    return json.dumps({"Version": "2012-10-17", "Statement": [only]})


def ctl(key: Key, *arguments: str, fails: bool = False) -> str:
    """What `longshore ctl` prints for somebody."""
    environment = {"AWS_ACCESS_KEY_ID": key.id, "AWS_SECRET_ACCESS_KEY": key.secret}
    done = cli.longshore(key.server.url, "ctl", *arguments, fails=fails, **environment)
    return done.stderr if fails else done.stdout


def ctl_json(key: Key, *arguments: str) -> Any:
    """The same as JSON."""
    return json.loads(ctl(key, "--output", "json", *arguments))


def test_denials_read_as_those_of_aws(admin: Key, name: str) -> None:
    ann = admin.new_user(name)
    user = f"User: arn:aws:iam::{ACCOUNT}:user/{name} is not authorized to perform:"
    code, text, _ = denial(ann, "ecs", "delete_cluster", cluster="nothing")
    why = "because no identity-based policy allows the"
    resource = f"{ECS}:cluster/nothing"
    assert code == "AccessDeniedException"
    expected = f"{user} ecs:DeleteCluster on resource: {resource} {why} ecs:DeleteCluster action"
    assert text == expected
    code, text, _ = denial(ann, "elbv2", "describe_load_balancers")
    action = "elasticloadbalancing:DescribeLoadBalancers"
    assert (code, text) == ("AccessDenied", f"{user} {action} on resource: * {why} {action} action")
    _, text, _ = denial(ann, "acm", "list_certificates")
    assert text == f"{user} acm:ListCertificates on resource: * {why} acm:ListCertificates action"
    own = f"arn:aws:iam::{ACCOUNT}:user/{name}"
    _, text, _ = denial(ann, "iam", "get_user")
    assert text == f"{user} iam:GetUser on resource: {own} {why} iam:GetUser action"
    denies = document("ecs:*", f"{ECS}:cluster/nothing", effect="Deny")
    admin.iam.put_user_policy(UserName=name, PolicyName="all", PolicyDocument=document("ecs:*"))
    admin.iam.put_user_policy(UserName=name, PolicyName="but", PolicyDocument=denies)
    _, text, _ = denial(ann, "ecs", "delete_cluster", cluster="nothing")
    deny = "with an explicit deny in an identity-based policy"
    assert text == f"{user} ecs:DeleteCluster on resource: {resource} {deny}"
    other = "arn:aws:ecs:us-east-1:123456789012:cluster/theirs"
    _, text, _ = denial(ann, "ecs", "delete_cluster", cluster=other)
    assert text.endswith("because no resource-based policy allows the ecs:DeleteCluster action")


def test_boundaries_and_sessions_say_that_it_was_they(admin: Key, name: str) -> None:
    role = f"{name}-role"
    arn = f"arn:aws:iam::{ACCOUNT}:user/{name}"
    boundary = admin.iam.create_policy(
        PolicyName=name, PolicyDocument=document(["ecs:List*", "sts:*"])
    )["Policy"]["Arn"]
    user = admin.new_user(name, document("*"))
    admin.iam.put_user_permissions_boundary(UserName=name, PermissionsBoundary=boundary)
    user.ecs.list_clusters()
    _, text, _ = denial(user, "ecs", "create_cluster", clusterName=name)
    assert text.endswith("because no permissions boundary allows the ecs:CreateCluster action")
    admin.iam.create_role(RoleName=role, AssumeRolePolicyDocument=trust({"AWS": arn}))
    admin.iam.put_role_policy(RoleName=role, PolicyName="p", PolicyDocument=document("ecs:*"))
    session = user.sts.assume_role(
        RoleArn=f"{ROLE}/{role}", RoleSessionName="one", Policy=document("ecs:List*")
    )
    limited = Key.of_session(user.server, session["Credentials"])
    limited.ecs.list_clusters()
    _, text, _ = denial(limited, "ecs", "create_cluster", clusterName=name)
    assert text.startswith(f"User: arn:aws:sts::{ACCOUNT}:assumed-role/{role}/one is not")
    assert text.endswith("because no session policy allows the ecs:CreateCluster action")


def test_why_a_call_was_denied_is_decoded_by_who_may(admin: Key, name: str) -> None:
    denies = {"Sid": "NotHere", "Effect": "Deny", "Action": "ecs:Delete*", "Resource": "*"}
    both = json.loads(statement("ecs:*"))
    both["Statement"].append(denies)
    ann = admin.new_user(name, json.dumps(both))
    with pytest.raises(ClientError) as refusal:
        ann.ecs.delete_cluster(cluster=name)
    headers = refusal.value.response["ResponseMetadata"]["HTTPHeaders"]
    message = headers["x-longshore-encoded-authorization-message"]
    assert len(message) < 4096 and "NotHere" not in message
    decode = ["sts", "decode-authorization-message", "--encoded-message"]
    said = json.loads(admin.cli(*decode, message)["DecodedMessage"])
    assert (said["allowed"], said["explicitDeny"]) == (False, True)
    [matched] = said["matchedStatements"]["items"]
    assert (matched["statementId"], matched["effect"]) == ("NotHere", "DENY")
    assert matched["actions"]["items"] == [{"value": "ecs:Delete*"}]
    assert said["context"]["action"] == "ecs:DeleteCluster"
    assert said["context"]["resource"] == f"{ECS}:cluster/{name}"
    assert said["context"]["principal"]["arn"] == f"arn:aws:iam::{ACCOUNT}:user/{name}"
    _, text, _ = denial(ann, "sts", "decode_authorization_message", EncodedMessage=message)
    assert "sts:DecodeAuthorizationMessage on resource: *" in text
    with pytest.raises(ClientError) as refusal:
        admin.sts.decode_authorization_message(EncodedMessage=message[:-1] + "!")
    assert refusal.value.response["Error"]["Code"] == "InvalidAuthorizationMessageException"


def test_roles_are_passed_only_by_who_may(admin: Key, name: str) -> None:
    passes = statement(
        "iam:PassRole",
        f"{ROLE}/{name}-*",
        Condition={"StringEquals": {"iam:PassedToService": "ecs-tasks.amazonaws.com"}},
    )
    ann = admin.new_user(name, document("ecs:*"))
    container = {"name": "main", "image": "busybox", "memory": 8}
    request = {"family": name, "containerDefinitions": [container]}
    role = f"{ROLE}/{name}-app"
    _, text, _ = denial(ann, "ecs", "register_task_definition", taskRoleArn=role, **request)
    assert f"iam:PassRole on resource: {role} because no identity-based policy allows" in text
    admin.iam.put_user_policy(UserName=name, PolicyName="pass", PolicyDocument=passes)
    for made in (f"{name}-app", f"{name}-pull"):
        tasks = trust({"Service": "ecs-tasks.amazonaws.com"})
        admin.iam.create_role(RoleName=made, AssumeRolePolicyDocument=tasks)
    ann.ecs.register_task_definition(
        taskRoleArn=role, executionRoleArn=f"{ROLE}/{name}-pull", **request
    )
    overrides = {"executionRoleArn": f"{ROLE}/other"}
    _, text, _ = denial(ann, "ecs", "run_task", taskDefinition=name, overrides=overrides)
    assert f"iam:PassRole on resource: {ROLE}/other" in text
    started = admin.new_user(f"{name}-b", document("ecs:*"))
    _, text, _ = denial(started, "ecs", "run_task", taskDefinition=name)
    assert f"iam:PassRole on resource: {role}" in text, "whoever starts a task hands it its roles"
    service = {"serviceName": name, "taskDefinition": name, "desiredCount": 0}
    _, text, _ = denial(ann, "ecs", "create_service", role=f"{name}-lb", **service)
    assert f"iam:PassRole on resource: {ROLE}/{name}-lb" in text, "it is for another service"


def test_tags_decide_and_are_asked_for(admin: Key, name: str) -> None:
    env = {"StringEquals": {"aws:RequestTag/env": "dev"}}
    own = {"StringEquals": {"aws:ResourceTag/env": "dev"}}
    create = statement("ecs:CreateCluster", Condition=env)
    tag = statement(
        "ecs:TagResource", Condition={"StringEquals": {"ecs:CreateAction": "CreateCluster"}}
    )
    user = admin.new_user(name, create, statement("ecs:DeleteCluster", Condition=own))
    dev = [{"key": "env", "value": "dev"}]
    _, text, _ = denial(user, "ecs", "create_cluster", clusterName=name, tags=dev)
    assert f"ecs:TagResource on resource: {ECS}:cluster/{name}" in text
    admin.iam.put_user_policy(UserName=name, PolicyName="tag", PolicyDocument=tag)
    denial(user, "ecs", "create_cluster", clusterName=name)
    prod = [{"key": "env", "value": "prod"}]
    denial(user, "ecs", "create_cluster", clusterName=name, tags=prod)
    arn = user.ecs.create_cluster(clusterName=name, tags=dev)["cluster"]["clusterArn"]
    denial(user, "ecs", "tag_resource", resourceArn=arn, tags=prod)
    admin.ecs.create_cluster(clusterName=f"{name}-prod", tags=prod)
    denial(user, "ecs", "delete_cluster", cluster=f"{name}-prod")
    user.ecs.delete_cluster(cluster=name)
    balancers = admin.new_user(f"{name}-elb", document("elasticloadbalancing:CreateLoadBalancer"))
    tags = [{"Key": "env", "Value": "dev"}]
    _, text, _ = denial(balancers, "elbv2", "create_load_balancer", Name="tagged", Tags=tags)
    assert "elasticloadbalancing:AddTags on resource:" in text


def test_a_policy_can_name_a_cluster(admin: Key, name: str) -> None:
    for cluster in (name, f"{name}-other"):
        admin.ecs.create_cluster(clusterName=cluster)
    within = {"ArnEquals": {"ecs:cluster": f"{ECS}:cluster/{name}"}}
    actions = ["ecs:ListTasks", "ecs:ListServices", "ecs:DescribeTasks", "ecs:RunTask"]
    user = admin.new_user(name, statement(actions, Condition=within))
    user.ecs.list_services(cluster=name)
    assert user.ecs.list_tasks(cluster=f"{ECS}:cluster/{name}")["taskArns"] == []
    task = f"{ECS}:task/{name}/{'0' * 32}"
    assert user.ecs.describe_tasks(cluster=name, tasks=[task])["failures"]
    denial(user, "ecs", "list_services", cluster=f"{name}-other")
    denial(user, "ecs", "list_tasks")
    denial(user, "ecs", "describe_tasks", cluster=f"{name}-other", tasks=["0" * 32])
    _, text, _ = denial(user, "ecs", "run_task", taskDefinition="none", cluster="absent")
    assert "ecs:RunTask on resource:" in text, "nobody learns what there is"
    address = {"NotIpAddress": {"aws:SourceIp": "127.0.0.1/32"}}
    deny = {"Effect": "Deny", "Action": "*", "Resource": "*", "Condition": address}
    local = {"Version": "2012-10-17", "Statement": [deny]}
    admin.iam.put_user_policy(UserName=name, PolicyName="ip", PolicyDocument=json.dumps(local))
    user.ecs.list_services(cluster=name)


def test_a_denial_is_explained_to_who_may_know(admin: Key, name: str) -> None:
    near = document("ecs:DeleteCluster", f"{ECS}:cluster/mine")
    user = admin.new_user(name, near)
    _, _, request = denial(user, "ecs", "delete_cluster", cluster="theirs")
    told = ctl(admin, "iam", "explain", request)
    assert f"arn:aws:iam::{ACCOUNT}:user/{name}" in told
    assert f"asks  ecs:DeleteCluster on {ECS}:cluster/theirs" in told
    assert "denied: no identity-based policy allows it" in told
    assert f"Resource is {ECS}:cluster/mine" in told
    record = ctl_json(admin, "iam", "explain", request)["record"]
    assert record["eventName"] == "DeleteCluster"
    assert record["errorCode"] == "AccessDeniedException"
    assert record["requestParameters"] == {"cluster": "theirs"}
    assert record["userIdentity"]["userName"] == name
    assert record["sourceIPAddress"] == "127.0.0.1"
    # The statement that it names is enough.
    allowed = record["additionalEventData"]["denial"]["allowedBy"]
    policy = json.dumps({"Version": "2012-10-17", "Statement": [allowed]})
    admin.iam.put_user_policy(UserName=name, PolicyName="more", PolicyDocument=policy)
    with pytest.raises(ClientError, match="Cluster not found"):
        user.ecs.delete_cluster(cluster="theirs")
    deny = json.dumps(
        {
            "Version": "2012-10-17",
            "Statement": [
                {"Sid": "Never", "Effect": "Deny", "Action": "ecs:Delete*", "Resource": "*"}
            ],
        }
    )
    admin.iam.put_user_policy(UserName=name, PolicyName="never", PolicyDocument=deny)
    _, _, request = denial(user, "ecs", "delete_cluster", cluster="theirs")
    assert "denied by statement 'Never'" in ctl(admin, "iam", "explain", request)
    refusal = ctl(user, "iam", "explain", request, fails=True)
    assert "longshore:ExplainRequest" in refusal
    assert "no such request" in ctl(admin, "iam", "explain", "nothing", fails=True)


def test_a_suggested_policy_is_what_was_used(admin: Key, name: str) -> None:
    admin.ecs.create_cluster(clusterName=name)
    user = admin.new_user(name, document("*"))
    user.ecs.list_tasks(cluster=name)
    for number in range(3):
        user.ecs.describe_tasks(cluster=name, tasks=[f"{number:032x}"])
    user.ecs.list_clusters()
    found = ctl_json(admin, "iam", "suggest", name)
    assert found["calls"] == 5 and found["reads"]
    statements = found["policy"]["Statement"]
    actions = {
        (one["Action"] if isinstance(one["Action"], str) else tuple(one["Action"])): one["Resource"]
        for one in statements
    }
    assert actions == {
        "ecs:ListClusters": "*",
        "ecs:ListTasks": f"{ECS}:container-instance/{name}/*",
        "ecs:DescribeTasks": f"{ECS}:task/{name}/*",
    }
    # It is enough for the same, and for nothing else.
    policy = json.dumps(found["policy"])
    admin.iam.put_user_policy(UserName=name, PolicyName="p0", PolicyDocument=policy)
    user.ecs.list_tasks(cluster=name)
    user.ecs.describe_tasks(cluster=name, tasks=["f" * 32])
    denial(user, "ecs", "describe_clusters", clusters=[name])
    by_arn = ctl(admin, "iam", "suggest", f"arn:aws:iam::{ACCOUNT}:user/{name}", "--since", "1h")
    assert json.loads(by_arn)["Version"] == "2012-10-17"


def test_who_can_do_something(admin: Key, name: str) -> None:
    service = f"{ECS}:service/{name}/web"
    admin.new_user(f"{name}-yes", document("ecs:UpdateService", f"{ECS}:service/{name}/*"))
    admin.new_user(f"{name}-no", document("ecs:UpdateService", f"{ECS}:service/other/*"))
    when = {"StringEquals": {"aws:ResourceTag/env": "dev"}}
    admin.new_user(f"{name}-when", statement("ecs:*", Condition=when))
    found = ctl_json(admin, "iam", "who-can", "ecs:UpdateService", service)["principals"]
    may = {one["arn"].rsplit("/", 1)[-1]: one["may"] for one in found}
    assert may["admin"] == may[f"{name}-yes"] == "always"
    assert may[f"{name}-when"] == "under conditions"
    assert f"{name}-no" not in may
    assert f"user/{name}-yes  always" in ctl(admin, "iam", "who-can", "ecs:UpdateService", service)


def test_what_was_audited_can_be_trusted(tmp_path: pathlib.Path, name: str) -> None:
    guarded = Guarded(tmp_path)
    admin = guarded.admin
    secret = "s3cret-of-a-container"
    container = {
        "name": "main",
        "image": "busybox",
        "memory": 8,
        "environment": [{"name": "PASSWORD", "value": secret}],
    }
    for number in range(3):
        admin.ecs.create_cluster(clusterName=f"{name}-{number}")
    admin.ecs.register_task_definition(family=name, containerDefinitions=[container])
    admin.ecs.list_clusters()
    made = admin.new_user(name)
    denial(made, "ecs", "list_clusters")
    assert "digest of the last line" in ctl(admin, "audit", "verify")
    folder = guarded.data_dir / "audit"
    (file,) = folder.glob("*.jsonl")
    assert file.stat().st_mode & 0o077 == 0
    lines = file.read_text().splitlines()
    records = [json.loads(line) for line in lines]
    names = [record["eventName"] for record in records]
    assert names[:4] == ["CreateCluster"] * 3 + ["RegisterTaskDefinition"]
    assert names.count("ListClusters") == 1, "of reads only the denied one is recorded"
    assert secret not in file.read_text() and made.secret not in file.read_text()
    assert records[3]["requestParameters"]["containerDefinitions"][0]["name"] == "main"
    assert records[0]["responseElements"]["cluster"]["clusterName"] == f"{name}-0"
    registered = records[3]["responseElements"]["taskDefinition"]
    assert registered["taskDefinitionArn"].endswith(f"/{name}:1")
    key = next(record for record in records if record["eventName"] == "CreateAccessKey")
    assert key["responseElements"]["accessKey"]["accessKeyId"] == made.id
    assert records[-1]["responseElements"] is None, "nothing came of it"
    assert [record["sequence"] for record in records] == list(range(1, len(records) + 1))
    guarded.server.kill()
    server = Server(tmp_path, "--store", "redb").start()
    again = Key(server, admin.id, admin.secret)
    again.ecs.create_cluster(clusterName=f"{name}-again")
    ctl(again, "audit", "verify")
    server.stop()
    offline = ["ctl", "audit", "verify", "--dir", str(folder)]
    cli.longshore(server.url, *offline)

    def tampered(change: list[str]) -> str:
        file.write_text("".join(f"{line}\n" for line in change))
        return cli.longshore(server.url, *offline, fails=True).stdout

    lines = file.read_text().splitlines()
    altered = [*lines[:1], lines[1].replace(f"{name}-1", f"{name}-9"), *lines[2:]]
    assert "line 3: the line before it was altered" in tampered(altered)
    assert "1 records before it are missing" in tampered([*lines[:1], *lines[2:]])
    assert "lines were moved" in tampered([lines[0], lines[2], lines[1], *lines[3:]])
    file.write_text("".join(f"{line}\n" for line in lines))
    cli.longshore(server.url, *offline)


def test_agents_speak_for_their_own_instances(
    tmp_path: pathlib.Path, image: str, name: str
) -> None:
    guarded = Guarded(tmp_path)
    admin, server = guarded.admin, guarded.server
    server.__dict__["ecs"] = admin.ecs
    role = {"RoleName": "instances", "AssumeRolePolicyDocument": trust({"AWS": ACCOUNT})}
    admin.iam.create_role(**role)
    policy = "arn:aws:iam::aws:policy/service-role/AmazonEC2ContainerServiceforEC2Role"
    admin.iam.attach_role_policy(RoleName="instances", PolicyArn=policy)
    cluster = f"{name}-{os.getpid()}"
    admin.ecs.create_cluster(clusterName=cluster)
    agents, keys = [], []
    try:
        for session in ("i-a", "i-b"):
            made = admin.sts.assume_role(RoleArn=f"{ROLE}/instances", RoleSessionName=session)
            key = Key.of_session(server, made["Credentials"])
            agent = Agent(server, cluster)
            agent.environment = {
                "AWS_ACCESS_KEY_ID": key.id,
                "AWS_SECRET_ACCESS_KEY": key.secret,
                "AWS_SESSION_TOKEN": str(key.token),
            }
            keys.append(key)
            agents.append(agent)
            agent.start()
        container = {"name": "main", "image": image, "memory": 32, "command": ["sleep", "600"]}
        admin.ecs.register_task_definition(family=name, containerDefinitions=[container])
        arns = [agent.arn for agent in agents]
        started = admin.ecs.start_task(
            cluster=cluster, taskDefinition=name, containerInstances=[arns[1]]
        )
        task = started["tasks"][0]["taskArn"]

        def running() -> bool:
            found = admin.ecs.describe_tasks(cluster=cluster, tasks=[task])["tasks"]
            return bool(found[0]["lastStatus"] == "RUNNING")

        until(running, "the task to run", timeout=60)
        report = {"cluster": cluster, "task": task, "status": "STOPPED"}
        _, text, _ = denial(keys[0], "ecs", "submit_task_state_change", **report)
        assert text.endswith("because another principal registered the container instance")
        other = {"cluster": cluster, "containerInstance": arns[1], "force": True}
        denial(keys[0], "ecs", "deregister_container_instance", **other)
        # It may read nothing that is not its own business.
        denial(keys[0], "ecs", "describe_tasks", cluster=cluster, tasks=[task])
        assert running()
        admin.ecs.stop_task(cluster=cluster, task=task)
    finally:
        for process in [*agents, server]:
            process.stop()
        docker.remove_cluster(cluster)
