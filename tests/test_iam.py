"""Users, roles and sessions, from `longshore server init` on, by unmodified clients."""

import json
import pathlib
import re
import stat
import time
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest
from harness.aws import ACCOUNT, REGION, refused
from harness.identity import TRUST_EC2, Guarded, Key, document, init, init_json, trust
from harness.process import Process, free_port
from harness.wait import until

NOT_FOUND = "NoSuchEntity"
UNKNOWN = ("UnrecognizedClientException", "InvalidClientTokenId")


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    """A server with identities, shared by the tests of this file."""
    guarded = Guarded(tmp_path_factory.mktemp("iam"))
    yield guarded
    assert guarded.server.alive, guarded.server.tail()
    guarded.server.stop()


@pytest.fixture
def admin(guarded: Guarded) -> Key:
    """The first administrator."""
    return guarded.admin


def test_the_first_identities(guarded: Guarded) -> None:
    me = guarded.admin.sts.get_caller_identity()
    assert me["Arn"] == f"arn:aws:iam::{ACCOUNT}:user/admin"
    assert me["Account"] == ACCOUNT
    assert re.fullmatch("AIDA[A-Z2-7]{17}", me["UserId"])
    root = guarded.root.sts.get_caller_identity()
    assert (root["Arn"], root["UserId"]) == (f"arn:aws:iam::{ACCOUNT}:root", ACCOUNT)
    attached = guarded.admin.iam.list_attached_user_policies(UserName="admin")["AttachedPolicies"]
    assert [one["PolicyName"] for one in attached] == ["AdministratorAccess"]
    key = guarded.data_dir / "identity.key"
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    secrets = [guarded.admin.secret.encode(), guarded.root.secret.encode()]
    stored = (guarded.data_dir / "longshore.redb").read_bytes()
    log = guarded.server.log.read_bytes()
    assert not any(secret in stored or secret in log for secret in secrets)


def test_a_second_init_refuses_and_says_what_to_do(tmp_path: pathlib.Path) -> None:
    first = init(tmp_path, "--output", "table").stdout
    exports = [line for line in first.splitlines() if not line.startswith("#")]
    assert len(exports) == 1 and exports[0].startswith("export AWS_ACCESS_KEY_ID=AKIA")
    again = init(tmp_path, "--output", "table", fails=True)
    assert "initialized before" in again.stderr and "--reset-root" in again.stderr
    renewed = init_json(tmp_path, "--reset-root")
    assert renewed["administrator"] is None and renewed["root"]["accessKeyId"] not in first
    (tmp_path / "identity.key").unlink()
    lost = init(tmp_path, "--output", "table", "--reset-root", fails=True)
    assert "cannot find the identity key" in lost.stderr and "--forget-keys" in lost.stderr
    other = tmp_path / "other.key"
    other.write_text("A" * 43 + "=\n")
    wrong = ["--output", "table", "--reset-root", "--identity-key-file", str(other)]
    assert "another identity key" in init(tmp_path, *wrong, fails=True).stderr
    assert "export" in init(tmp_path, *wrong, "--forget-keys").stdout


def test_a_server_without_identities_does_not_start(tmp_path: pathlib.Path) -> None:
    process = Process(tmp_path / "log", ["server", "--data-dir", str(tmp_path / "data")])
    process.arguments += ["--listen", f"127.0.0.1:{free_port()}"]
    process.spawn()
    assert process.popen is not None and process.popen.wait(30) == 2
    assert "longshore server init" in process.tail()


def test_the_wrong_identity_key_is_found_out(tmp_path: pathlib.Path) -> None:
    data = tmp_path / "data"
    init(data, "--output", "table")
    wrong = "echo " + "A" * 43 + "="
    process = Process(tmp_path / "log", ["server", "--data-dir", str(data)])
    process.arguments += ["--identity-key-command", wrong, "--listen", f"127.0.0.1:{free_port()}"]
    process.spawn()
    assert process.popen is not None and process.popen.wait(30) == 1
    assert "another identity key" in process.tail()


def test_keys_are_rotated_disabled_and_deleted(admin: Key) -> None:
    ann = admin.new_user("ann", document("ecs:*"))
    assert ann.ecs.list_clusters()["clusterArns"] == []
    second = admin.iam.create_access_key(UserName="ann")["AccessKey"]
    with refused("LimitExceeded", "AccessKeysPerUser: 2"):
        admin.iam.create_access_key(UserName="ann")
    new = Key(admin.server, second["AccessKeyId"], second["SecretAccessKey"])
    new.ecs.list_clusters()
    used = admin.iam.get_access_key_last_used(AccessKeyId=new.id)
    assert used["UserName"] == "ann"
    assert used["AccessKeyLastUsed"]["ServiceName"] == "ecs"
    assert used["AccessKeyLastUsed"]["Region"] == REGION
    admin.iam.update_access_key(UserName="ann", AccessKeyId=ann.id, Status="Inactive")
    with refused(UNKNOWN, "security token included in the request is invalid"):
        ann.ecs.list_clusters()
    with refused(UNKNOWN):
        ann.sts.get_caller_identity()
    admin.iam.update_access_key(UserName="ann", AccessKeyId=ann.id, Status="Active")
    ann.ecs.list_clusters()
    admin.iam.delete_access_key(UserName="ann", AccessKeyId=ann.id)
    with refused(UNKNOWN):
        ann.ecs.list_clusters()
    with refused("DeleteConflict", "must delete policies first"):
        admin.iam.delete_user(UserName="ann")
    admin.iam.delete_user_policy(UserName="ann", PolicyName="p0")
    with refused("DeleteConflict", "must delete access keys first"):
        admin.iam.delete_user(UserName="ann")
    admin.iam.delete_access_key(UserName="ann", AccessKeyId=new.id)
    admin.iam.delete_user(UserName="ann")
    with refused(NOT_FOUND, "The user with name ann cannot be found."):
        admin.iam.get_user(UserName="ann")


def test_wrong_secrets_are_refused(admin: Key) -> None:
    for secret in ("", "x", admin.secret[:-1], admin.secret.lower()):
        wrong = Key(admin.server, admin.id, secret or "y")
        with refused("InvalidSignatureException"):
            wrong.ecs.list_clusters()
        with refused("SignatureDoesNotMatch"):
            wrong.iam.list_users()
    with refused(UNKNOWN):
        Key(admin.server, "AKIA" + "A" * 16, admin.secret).iam.list_users()
    with refused(UNKNOWN):
        Key(admin.server, admin.id, admin.secret, "a-token").iam.list_users()


def become(key: Key, role: str, **more: Any) -> Key:
    """The session of a role."""
    arn = f"arn:aws:iam::{ACCOUNT}:role/{role}"
    answer = key.sts.assume_role(RoleArn=arn, RoleSessionName="one", **more)
    session = Key.of_session(key.server, answer["Credentials"])
    assert answer["AssumedRoleUser"]["Arn"] == session.sts.get_caller_identity()["Arn"]
    return session


def test_a_role_is_assumed_and_used(admin: Key) -> None:
    own = {"AWS": f"arn:aws:iam::{ACCOUNT}:root"}
    admin.iam.create_role(RoleName="deployer", AssumeRolePolicyDocument=trust(own))
    admin.iam.put_role_policy(
        RoleName="deployer", PolicyName="all", PolicyDocument=document("ecs:*")
    )
    session = become(admin, "deployer")
    assert session.id.startswith("ASIA")
    me = session.sts.get_caller_identity()
    assert me["Arn"] == f"arn:aws:sts::{ACCOUNT}:assumed-role/deployer/one"
    assert re.fullmatch("AROA[A-Z2-7]{17}:one", me["UserId"])
    session.ecs.create_cluster(clusterName="of-a-session")
    used = admin.iam.get_role(RoleName="deployer")["Role"]["RoleLastUsed"]
    assert used["Region"] == REGION
    cut = Key(session.server, session.id, session.secret, str(session.token)[:-4] + "AAAA")
    with refused(UNKNOWN):
        cut.ecs.list_clusters()
    with refused(UNKNOWN):
        Key(session.server, session.id, session.secret).ecs.list_clusters()
    admin.iam.delete_role_policy(RoleName="deployer", PolicyName="all")
    admin.iam.delete_role(RoleName="deployer")
    with refused(UNKNOWN):
        session.ecs.list_clusters()


def test_trust_decides_who_becomes_a_role(guarded: Guarded, admin: Key) -> None:
    bob = admin.new_user("bob", document("sts:AssumeRole"))
    condition = {"StringEquals": {"sts:ExternalId": "deputy-7"}}
    who = {"AWS": f"arn:aws:iam::{ACCOUNT}:user/bob"}
    admin.iam.create_role(
        RoleName="partner", AssumeRolePolicyDocument=trust(who, Condition=condition)
    )
    with refused("AccessDenied", "is not authorized to perform: sts:AssumeRole on resource"):
        become(bob, "partner")
    with refused("AccessDenied"):
        become(bob, "partner", ExternalId="deputy-8")
    become(bob, "partner", ExternalId="deputy-7")
    with refused("AccessDenied"):
        become(admin, "partner", ExternalId="deputy-7")
    with refused("AccessDenied", "Roles may not be assumed by root accounts."):
        become(guarded.root, "partner", ExternalId="deputy-7")
    with refused("AccessDenied"):
        become(bob, "nowhere")
    with refused("MalformedPolicyDocument", "Invalid principal in policy"):
        nobody = {"AWS": f"arn:aws:iam::{ACCOUNT}:user/nobody"}
        admin.iam.create_role(RoleName="x", AssumeRolePolicyDocument=trust(nobody))


def test_sessions_end_and_are_bounded(admin: Key) -> None:
    own = {"AWS": ACCOUNT}
    admin.iam.create_role(
        RoleName="chained", AssumeRolePolicyDocument=trust(own), MaxSessionDuration=7200
    )
    admin.iam.attach_role_policy(
        RoleName="chained", PolicyArn="arn:aws:iam::aws:policy/AdministratorAccess"
    )
    with refused("ValidationError", "exceeds the MaxSessionDuration set for this role"):
        become(admin, "chained", DurationSeconds=7201)
    session = become(admin, "chained", DurationSeconds=7200)
    with refused("ValidationError", "1 hour session limit"):
        become(session, "chained", DurationSeconds=3601)
    become(session, "chained", DurationSeconds=3600)
    limited = become(admin, "chained", Policy=document("ecs:List*"))
    limited.ecs.list_clusters()
    with refused("MalformedPolicyDocument"):
        become(admin, "chained", Policy="{}")
    answer = admin.sts.get_session_token(DurationSeconds=900)["Credentials"]
    assert 890 < answer["Expiration"].timestamp() - time.time() <= 900
    own_session = Key.of_session(admin.server, answer)
    own_session.ecs.list_clusters()
    with refused("InvalidClientTokenId"):
        own_session.iam.list_users()
    with refused("AccessDenied", "Cannot call GetSessionToken with session credentials"):
        own_session.sts.get_session_token()


def test_hundreds_of_entities_come_in_pages(admin: Key) -> None:
    iam = admin.iam
    names = [f"crowd-{number:03}" for number in range(320)]
    for name in names:
        iam.create_user(UserName=name, Path="/crowd/")
    found: list[str] = []
    sizes = []
    for page in iam.get_paginator("list_users").paginate(
        PathPrefix="/crowd/", PaginationConfig={"PageSize": 70}
    ):
        sizes.append(len(page["Users"]))
        found += [user["UserName"] for user in page["Users"]]
    assert found == names
    assert sizes == [70, 70, 70, 70, 40]
    assert len(iam.list_users()["Users"]) == 100
    with refused("ValidationError"):
        iam.list_users(Marker="%%%")
    iam.create_group(GroupName="crowd")
    for name in names[:130]:
        iam.add_user_to_group(GroupName="crowd", UserName=name)
    pages = iam.get_paginator("get_group").paginate(GroupName="crowd")
    assert sum(len(page["Users"]) for page in pages) == 130
    iam.attach_group_policy(GroupName="crowd", PolicyArn="arn:aws:iam::aws:policy/ReadOnlyAccess")
    with refused("DeleteConflict", "must remove users from group first"):
        iam.delete_group(GroupName="crowd")
    pages = iam.get_paginator("get_account_authorization_details").paginate(Filter=["User"])
    assert sum(len(page["UserDetailList"]) for page in pages) >= 320
    assert iam.get_account_summary()["SummaryMap"]["Users"] >= 320


def test_what_is_attached_is_not_deleted(admin: Key) -> None:
    iam = admin.iam
    arn = iam.create_policy(PolicyName="kept", PolicyDocument=document("ecs:*"))["Policy"]["Arn"]
    iam.get_waiter("policy_exists").wait(PolicyArn=arn)
    iam.create_user(UserName="carl")
    iam.get_waiter("user_exists").wait(UserName="carl")
    iam.attach_user_policy(UserName="carl", PolicyArn=arn)
    with refused("DeleteConflict", "Cannot delete a policy attached to entities."):
        iam.delete_policy(PolicyArn=arn)
    entities = iam.list_entities_for_policy(PolicyArn=arn)
    assert [user["UserName"] for user in entities["PolicyUsers"]] == ["carl"]
    assert iam.get_policy(PolicyArn=arn)["Policy"]["AttachmentCount"] == 1
    shown = iam.get_policy_version(PolicyArn=arn, VersionId="v1")["PolicyVersion"]
    assert shown["Document"] == json.loads(document("ecs:*"))
    local = iam.list_policies(Scope="Local", OnlyAttached=True)["Policies"]
    assert "kept" in [policy["PolicyName"] for policy in local]
    with refused("EntityAlreadyExists", "Duplicate names are not allowed"):
        iam.create_policy(PolicyName="KEPT", PolicyDocument=document("ecs:*"))
    iam.detach_user_policy(UserName="carl", PolicyArn=arn)
    iam.delete_policy(PolicyArn=arn)
    with refused(NOT_FOUND):
        iam.get_policy(PolicyArn=arn)
    with refused("AccessDenied"):
        iam.delete_policy(PolicyArn="arn:aws:iam::aws:policy/AdministratorAccess")


def test_the_roles_of_the_getting_started_guide(admin: Key, tmp_path: pathlib.Path) -> None:
    """The AWS CLI alone, as the guides have it."""
    aws = admin.cli
    tasks = tmp_path / "ecs-tasks-trust-policy.json"
    tasks.write_text(trust({"Service": "ecs-tasks.amazonaws.com"}))
    ec2 = tmp_path / "ec2-trust-policy.json"
    ec2.write_text(json.dumps(TRUST_EC2))
    role = ("iam", "create-role", "--role-name")
    made = aws(*role, "ecsTaskExecutionRole", "--assume-role-policy-document", f"file://{tasks}")[
        "Role"
    ]
    assert made["Arn"] == f"arn:aws:iam::{ACCOUNT}:role/ecsTaskExecutionRole"
    assert made["AssumeRolePolicyDocument"] == json.loads(tasks.read_text())
    service = "arn:aws:iam::aws:policy/service-role"
    execution = f"{service}/AmazonECSTaskExecutionRolePolicy"
    attach = ("iam", "attach-role-policy", "--role-name")
    aws(*attach, "ecsTaskExecutionRole", "--policy-arn", execution)
    aws(*role, "ecsInstanceRoleMine", "--assume-role-policy-document", f"file://{ec2}")
    instance = f"{service}/AmazonEC2ContainerServiceforEC2Role"
    aws(*attach, "ecsInstanceRoleMine", "--policy-arn", instance)
    name = ("--instance-profile-name", "ecsInstanceRoleMine")
    aws("iam", "create-instance-profile", *name)
    aws("iam", "wait", "instance-profile-exists", *name)
    aws("iam", "add-role-to-instance-profile", *name, "--role-name", "ecsInstanceRoleMine")
    aws("iam", "wait", "role-exists", "--role-name", "ecsInstanceRoleMine")
    linked = aws("iam", "create-service-linked-role", "--aws-service-name", "ecs.amazonaws.com")
    assert linked["Role"]["RoleName"] == "AWSServiceRoleForECS"
    profile = aws("iam", "get-instance-profile", *name)["InstanceProfile"]
    assert [one["RoleName"] for one in profile["Roles"]] == ["ecsInstanceRoleMine"]
    policy = aws("iam", "get-policy-version", "--policy-arn", instance, "--version-id", "v1")
    actions = policy["PolicyVersion"]["Document"]["Statement"][0]["Action"]
    assert "ecs:RegisterContainerInstance" in actions
    decisions = aws(
        *("iam", "simulate-principal-policy", "--policy-source-arn"),
        *(f"arn:aws:iam::{ACCOUNT}:role/ecsInstanceRoleMine", "--action-names"),
        *("ecs:RegisterContainerInstance", "ecs:DeleteCluster"),
    )["EvaluationResults"]
    assert [one["EvalDecision"] for one in decisions] == ["allowed", "implicitDeny"]
    identity = aws("sts", "get-caller-identity")
    assert identity["Arn"].endswith(":user/admin")


@pytest.mark.parametrize("listen", ["127.0.0.1", "0.0.0.0"])
def test_dev_practises_identities(tmp_path: pathlib.Path, listen: str) -> None:
    """`longshore dev --identity iam` prints an administrator, and its own parts have keys. Where
    others reach it, it speaks TLS."""
    secure = listen != "127.0.0.1"
    port = free_port()
    arguments = ["dev", "--identity", "iam", "--data-dir", str(tmp_path / "dev")]
    arguments += ["--listen", f"{listen}:{port}", "--instances", "1"]
    arguments += ["--balancer-addresses", "127.0.88.0/28"]
    process = Process(tmp_path / "log", arguments)
    process.spawn()
    try:
        pattern = r"export AWS_ACCESS_KEY_ID=(\S+) AWS_SECRET_ACCESS_KEY=(\S+)"

        def printed() -> Any:
            return re.search(pattern, process.log.read_text(errors="replace"))

        found = process.wait(printed, "the keys of the administrator")

        class At:
            url = f"{'https' if secure else 'http'}://127.0.0.1:{port}"
            ca = tmp_path / "dev" / "ca.pem" if secure else None

        admin = Key(At(), found[1], found[2])  # type: ignore[arg-type]
        assert admin.sts.get_caller_identity()["Arn"].endswith(":user/admin")
        with refused(UNKNOWN):
            Key(At(), "longshore", "longshore").ecs.list_clusters()  # type: ignore[arg-type]

        def connected() -> bool:
            arns = admin.ecs.list_container_instances()["containerInstanceArns"]
            if not arns:
                return False
            found = admin.ecs.describe_container_instances(containerInstances=arns)
            return all(one["agentConnected"] for one in found["containerInstances"])

        until(connected, "the instance of dev to be connected", timeout=60)
        # Its balancer may what it needs, too.
        elb = admin.client("elbv2")
        made = elb.create_load_balancer(Name="practice")["LoadBalancers"][0]
        answer = {"StatusCode": "200", "ContentType": "text/plain", "MessageBody": "practised"}
        elb.create_listener(
            LoadBalancerArn=made["LoadBalancerArn"],
            Protocol="HTTP",
            Port=80,
            DefaultActions=[{"Type": "fixed-response", "FixedResponseConfig": answer}],
        )

        def served() -> str:
            try:
                with urllib.request.urlopen(f"http://{made['DNSName']}", timeout=5) as said:
                    return str(said.read().decode())
            except OSError:
                return ""

        assert until(served, "the balancer of dev to serve") == "practised"
        process.stop()
        process.spawn()

        def again() -> Any:
            found = re.findall(pattern, process.log.read_text(errors="replace"))
            return found if len(found) > 1 else None

        both = process.wait(again, "the keys to be printed again")
        assert both[0] == both[1]
        assert admin.sts.get_caller_identity()["Arn"].endswith(":user/admin")
    finally:
        process.stop()
