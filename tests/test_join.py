"""Machines that join by a token, and keys that rotate."""

import base64
import datetime
import functools
import http.server
import json
import os
import pathlib
import stat
import subprocess
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest
from harness.aws import ACCOUNT, refused
from harness.identity import TRUST_EC2, Key, document
from harness.joining import TERMINAL, Joined
from harness.process import Server, binary
from harness.tasks import Tasks
from harness.wait import until

ROLE = f"arn:aws:iam::{ACCOUNT}:role/ecsInstanceRole"


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory, image: str) -> Iterator[Joined]:
    """A world without agents."""
    world = Joined(tmp_path_factory.mktemp("join"), image)
    yield world
    world.close()


def test_a_machine_joins_runs_a_task_and_comes_back_without_its_token(
    world: Joined, name: str
) -> None:
    token = world.token()
    agent = world.agent(token).start()
    tasks = Tasks(world, name)
    arn = tasks.running({})["taskArn"]
    mode = (agent.folder / "keys.secret").stat().st_mode
    assert stat.S_IMODE(mode) == 0o600
    identity = world.key(agent).sts.get_caller_identity()["Arn"]
    role, session = identity.rsplit("/", 2)[1:]
    assert (role, session[:2], len(session)) == ("ecsInstanceRole", "i-", 19)
    first = agent.arn
    agent.kill()
    # It was used, and it may stay where it is, e.g. in a unit file.
    agent.start()
    agent.kill()
    del agent.environment["LONGSHORE_JOIN_TOKEN"]
    agent.start()
    assert agent.arn == first
    tasks.stop(arn)
    tasks.wait(arn, "STOPPED")
    said = world.refused(token)
    assert "The join token is not valid" in said
    assert "ctl join-token" in said, "what to do"


def test_whoever_is_refused_does_not_learn_why(world: Joined) -> None:
    made = json.loads(world.ctl(world.admin, "--ttl", "1s", "--output", "json").stdout)
    ends = datetime.datetime.fromisoformat(made["expiresAt"])
    other = world.token()
    used = world.token()
    agent = world.agent(used).start()
    agent.stop()
    world.agents.remove(agent)
    wrong = other[:-4] + ("AAAA" if other[-4:] != "AAAA" else "BBBB")
    until(lambda: datetime.datetime.now(datetime.UTC) > ends, "the end of a token")
    said = {world.refused(used), world.refused(made["token"])}
    assert len(said) == 1, said
    # One that is cut off or changed is no token, or has another secret.
    agent = world.agent(wrong)
    agent.spawn()
    assert agent.popen is not None
    assert agent.popen.wait(30) in (2, TERMINAL)
    world.agents.remove(agent)


def test_wrong_tokens_are_held_to_a_rate_and_right_ones_pass(world: Joined) -> None:
    token = world.token()

    def join(id: str, secret: str) -> tuple[int, str]:
        body = json.dumps({"id": id, "secret": secret}).encode()
        request = urllib.request.Request(f"{world.server.url}/_longshore/join", body)
        try:
            with urllib.request.urlopen(request) as answer:
                return answer.status, ""
        except urllib.error.HTTPError as error:
            return error.code, str(json.load(error)["__type"])

    answers = [join("0" * 32, "0" * 64) for _ in range(40)]
    assert answers[0] == (403, "AccessDenied")
    throttled = answers.count((400, "ThrottlingException"))
    assert 40 - throttled in range(8, 30), answers
    # An agent takes it as temporary.
    agent = world.agent(token).start()
    assert agent.connected()
    for number in range(20):
        made = json.loads(base64.urlsafe_b64decode(world.token()[4:] + "=="))
        right = functools.partial(join, made["id"], made["secret"])
        # The last wrong ones may be a moment ago.
        assert until(lambda right=right: right()[0] == 200, "keys", 5 if number == 0 else 1)


def test_keys_are_renewed_while_the_agent_runs(world: Joined, name: str) -> None:
    agent = world.agent(world.token(), "--renew-after", "2s").start()
    first = world.keys(agent)
    instance = agent.arn
    twice = set()

    def renewed() -> bool:
        twice.add(world.keys(agent)["access_key_id"])
        return len(twice) >= 3

    agent.wait(renewed, "two renewals", 30)
    assert first["access_key_id"] in twice
    assert agent.connected(), "without a new session"
    old = Key(
        world.server,
        first["access_key_id"],
        first["secret_access_key"],
        first["session_token"],
    )
    assert old.sts.get_caller_identity()["Arn"] == world.key(agent).sts.get_caller_identity()["Arn"]
    # What it asks and reports from now on it signs with the newest.
    tasks = Tasks(world, name)
    tasks.stop(tasks.running({})["taskArn"])
    agent.kill()
    agent.start()
    assert agent.arn == instance


def test_an_agent_speaks_for_no_other_instance(world: Joined, name: str) -> None:
    first = world.agent(world.token()).start()
    second = world.agent(world.token()).start()
    task = Tasks(world, name).running({})
    mine, other = first.arn, second.arn
    on_first = task["containerInstanceArn"] == mine
    key = world.key(second if on_first else first)
    if task["containerInstanceArn"] in (mine, other):
        with refused("AccessDeniedException"):
            key.ecs.submit_task_state_change(
                cluster=world.cluster, task=task["taskArn"], status="STOPPED", reason="lies"
            )
    with refused("AccessDeniedException"):
        world.key(first).ecs.deregister_container_instance(
            cluster=world.cluster, containerInstance=other, force=True
        )
    with refused("AccessDeniedException"):
        world.key(first).ecs.register_container_instance(
            cluster=world.cluster, containerInstanceArn=other
        )


def test_who_makes_tokens_must_be_allowed_to_hand_on_the_role(world: Joined, name: str) -> None:
    create = document("longshore:CreateJoinToken")
    user = world.admin.new_user(name[-40:], create)
    done = world.ctl(user)
    assert done.returncode == 1
    assert f"iam:PassRole on resource: {ROLE}" in done.stderr
    file = next((world.guarded.data_dir / "audit").glob("*.jsonl"))

    def records() -> list[Any]:
        lines = [json.loads(line) for line in file.read_text().splitlines()]
        mine = [line for line in lines if line["userIdentity"]["arn"].endswith(f"/{name[-40:]}")]
        return [line for line in mine if line["eventName"] == "CreateJoinToken"]

    [record] = until(records, "a record")
    assert record["errorCode"] == "AccessDenied"
    asked = [one["action"] for one in record["additionalEventData"]["asked"]]
    assert asked == ["longshore:CreateJoinToken", "iam:PassRole"]
    assert not done.stdout
    world.admin.iam.put_user_policy(
        UserName=name[-40:], PolicyName="pass", PolicyDocument=document("iam:PassRole", ROLE)
    )
    assert world.ctl(user).returncode == 0
    other = world.ctl(world.admin, "--role", "nobody")
    assert "There is no role nobody" in other.stderr
    nobody = world.ctl(world.admin.new_user(f"{name[-40:]}-2"))
    assert "longshore:CreateJoinToken" in nobody.stderr


def test_keys_that_ended_take_another_token_and_the_instance_stays(world: Joined) -> None:
    agent = world.agent(world.token(), "--renew-after", "1s").start()
    instance = agent.arn
    agent.kill()
    # As after a week away: the server does not take these keys any more.
    kept = world.keys(agent)
    (agent.folder / "keys.secret").write_text(json.dumps(kept | {"access_key_id": "ASIA"}))
    del agent.environment["LONGSHORE_JOIN_TOKEN"]
    agent.spawn()
    assert agent.popen is not None
    assert agent.popen.wait(30) == TERMINAL
    assert "LONGSHORE_JOIN_TOKEN=TOKEN longshore agent" in agent.tail()
    agent.environment["LONGSHORE_JOIN_TOKEN"] = world.token()
    agent.start()
    assert agent.arn == instance


def test_another_control_plane_hears_nothing_of_former_keys(world: Joined) -> None:
    agent = world.agent(world.token()).start()
    kept, instance = world.keys(agent), agent.arn
    agent.kill()
    heard = []

    class Other(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            heard.append(self.rfile.read(int(self.headers["Content-Length"])).decode())
            answer = b'{"__type":"AccessDenied","message":"no"}'
            self.send_response(403)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

    other = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Other)
    threading.Thread(target=other.serve_forever, daemon=True).start()
    made = {"endpoint": f"http://127.0.0.1:{other.server_port}", "id": "1", "secret": "x"}
    token = base64.urlsafe_b64encode(json.dumps(made).encode()).decode().rstrip("=")
    agent.environment["LONGSHORE_JOIN_TOKEN"] = f"lsj_{token}"
    agent.spawn()
    assert agent.popen is not None
    assert agent.popen.wait(30) == TERMINAL
    other.shutdown()
    other.server_close()
    [body] = heard
    assert json.loads(body) == {"id": "1", "secret": "x", "former": None}
    assert kept["secret_access_key"] not in body
    # The one that knows the keys takes the machine for the same.
    agent.environment["LONGSHORE_JOIN_TOKEN"] = world.token()
    agent.start()
    assert agent.arn == instance
    agent.stop()
    world.agents.remove(agent)


def test_servers_without_identities_have_no_tokens(tmp_path: pathlib.Path) -> None:
    server = Server(tmp_path, "--open").start()
    try:
        made = subprocess.run(
            [binary(), "--endpoint", server.url, "ctl", "join-token"],
            env={"PATH": os.environ["PATH"]},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert made.returncode == 1
        assert "(--identity iam), so nobody can join by a token" in made.stderr
    finally:
        server.stop()


def test_a_machine_that_is_shut_out_loses_its_open_session_and_its_task_goes_on(
    world: Joined, name: str
) -> None:
    iam, role = world.admin.iam, name[-60:]
    iam.create_role(RoleName=role, AssumeRolePolicyDocument=json.dumps(TRUST_EC2))
    policy = "arn:aws:iam::aws:policy/service-role/AmazonEC2ContainerServiceforEC2Role"
    iam.attach_role_policy(RoleName=role, PolicyArn=policy)
    shut_out, other = (world.agent(world.token("--role", role)).start() for _ in range(2))
    machine = world.key(shut_out).sts.get_caller_identity()["Arn"].rsplit("/", 1)[1]
    tasks = Tasks(world, name)
    [task] = world.admin.ecs.start_task(
        cluster=world.cluster,
        taskDefinition=tasks.define(),
        containerInstances=[shut_out.arn],
    )["tasks"]
    tasks.wait(task["taskArn"], "RUNNING")
    statement = {
        "Effect": "Deny",
        "Action": "*",
        "Resource": "*",
        "Condition": {"StringLike": {"aws:userid": f"*:{machine}"}},
    }
    denied = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    iam.put_role_policy(RoleName=role, PolicyName="shut-out", PolicyDocument=denied)
    # The next heartbeat is 25 seconds away at most, and who is gone may come back for five.
    shut_out.wait(lambda: not shut_out.connected(), "the end of its session", 45)
    assert other.connected()
    iam.delete_role_policy(RoleName=role, PolicyName="shut-out")
    shut_out.wait(shut_out.connected, "a new session", 60)
    assert tasks.describe(task["taskArn"])["lastStatus"] == "RUNNING"
    tasks.stop(task["taskArn"])
    for agent in (shut_out, other):
        agent.stop()
        world.agents.remove(agent)


def test_a_role_ends_the_sessions_of_its_machines(world: Joined, name: str) -> None:
    iam, role = world.admin.iam, name[-60:]
    iam.create_role(RoleName=role, AssumeRolePolicyDocument=json.dumps(TRUST_EC2))
    policy = "arn:aws:iam::aws:policy/service-role/AmazonEC2ContainerServiceforEC2Role"
    iam.attach_role_policy(RoleName=role, PolicyArn=policy)
    agent = world.agent(world.token("--role", role), "--renew-after", "1s").start()
    world.key(agent).ecs.discover_poll_endpoint()
    soon = datetime.datetime.now(datetime.UTC) + datetime.timedelta(seconds=1)
    statement = {
        "Effect": "Deny",
        "Action": "*",
        "Resource": "*",
        "Condition": {"DateLessThan": {"aws:TokenIssueTime": soon.strftime("%Y-%m-%dT%H:%M:%SZ")}},
    }
    revoked = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    iam.put_role_policy(RoleName=role, PolicyName="revoked", PolicyDocument=revoked)
    with refused("AccessDeniedException"):
        world.key(agent).ecs.discover_poll_endpoint()

    def later() -> bool:
        written = (agent.folder / "keys.secret").stat().st_mtime
        return bool(written > soon.timestamp() + 1)

    agent.wait(later, "keys that are newer than that")
    with refused("AccessDeniedException"):
        world.key(agent).ecs.discover_poll_endpoint()
    iam.delete_role_policy(RoleName=role, PolicyName="revoked")
    iam.detach_role_policy(RoleName=role, PolicyArn=policy)
    iam.delete_role(RoleName=role)
    assert agent.popen is not None
    assert agent.popen.wait(30) == TERMINAL, "whose keys have ended"
    assert "have ended" in agent.tail()
    world.agents.remove(agent)
