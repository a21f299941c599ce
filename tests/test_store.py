"""The store: on redb and on etcd, backed up, moved, and refused with a reason."""

import contextlib
import hashlib
import itertools
import json
import os
import pathlib
import signal
import subprocess
from collections.abc import Callable
from typing import Any

import botocore.exceptions
import pytest
from harness.cli import as_json, longshore
from harness.process import Server, binary
from harness.wait import until

TASK = {
    "family": "kept",
    "containerDefinitions": [{"name": "app", "image": "busybox", "memory": 8}],
}
NOWHERE = "http://127.0.0.1:9"
NAMESPACES = itertools.count(1)


@pytest.fixture
def address(etcd: str) -> str:
    """A store of the test's own in etcd."""
    return f"etcd://{etcd}/e2e-{next(NAMESPACES)}"


@pytest.fixture
def serve(tmp_path: pathlib.Path) -> Any:
    """Starts servers on a store."""
    servers: list[Server] = []

    def start(*options: str, folder: str = "one") -> Server:
        where = () if "--store" in options else ("--store", "redb")
        server = Server(tmp_path / folder, "--open", *options, *where)
        servers.append(server)
        return server.start()

    yield start
    for server in servers:
        server.stop()


def fill(server: Server) -> None:
    """Records of several kinds, and a journal."""
    ecs = server.ecs
    for name in ("web", "batch"):
        ecs.create_cluster(clusterName=name)
    ecs.register_task_definition(**TASK)
    for name in ("front", "back"):
        ecs.create_service(cluster="web", serviceName=name, taskDefinition="kept", desiredCount=2)

    def told() -> bool:
        found = ecs.describe_services(cluster="web", services=["front", "back"])["services"]
        return all(service["events"] for service in found)

    # Nothing can place their tasks, which is an event of each.
    until(told, "events of both services")


def content(server: Server) -> Any:
    """What clients see."""
    ecs = server.ecs
    services = ecs.describe_services(cluster="web", services=["front", "back"])["services"]
    return {
        "clusters": sorted(ecs.list_clusters()["clusterArns"]),
        "definitions": ecs.list_task_definitions()["taskDefinitionArns"],
        "services": [(each["serviceArn"], str(each["createdAt"])) for each in services],
    }


def events(server: Server) -> list[Any]:
    """The journal, without what is the store's own."""
    shown = longshore(server.url, "--output", "json", "ctl", "events", "--cluster", "web")
    return [json.loads(line)["event"]["detail"] for line in shown.stdout.splitlines()]


def store(*arguments: str, fails: bool = False) -> Any:
    """`ctl store`, which needs no server."""
    return longshore(NOWHERE, "--output", "json", "ctl", "store", *arguments, fails=fails)


def digest(*arguments: str) -> str:
    return str(json.loads(store(*arguments).stdout)["digest"])


def redb(server: Server) -> str:
    return f"redb:{server.folder}/server/longshore.redb"


def test_two_servers_share_one_etcd(serve: Callable[..., Server], address: str) -> None:
    one, two = serve("--store", address), serve("--store", address, folder="two")
    fill(one)
    until(lambda: content(two) == content(one), "the other server to show the same")
    two.ecs.create_cluster(clusterName="by-two")
    one.kill()
    assert "by-two" in str(two.ecs.list_clusters()["clusterArns"])
    one.start()
    assert content(one) == content(two)


def test_a_running_server_is_backed_up(
    serve: Callable[..., Server], tmp_path: pathlib.Path
) -> None:
    server = serve()
    fill(server)
    file = str(tmp_path / "backup")
    taken = as_json(server.url, "ctl", "store", "backup", file)
    assert taken["digest"] == digest("verify", file)
    assert taken["entries"] > 0 and taken["keys"] > 5
    assert pathlib.Path(file).stat().st_mode & 0o777 == 0o600
    before, told = content(server), events(server)
    # What happens afterwards is not in it, and the server did not notice.
    server.ecs.create_cluster(clusterName="later")
    longshore(server.url, "ctl", "store", "backup", file, fails=True)
    restored = str(tmp_path / "restored.redb")
    assert digest("import", file, "--store", f"redb:{restored}") == taken["digest"]
    assert digest("verify", "--store", f"redb:{restored}") == taken["digest"]
    again = serve("--store", f"redb:{restored}", folder="again")
    assert content(again) == before
    assert events(again)[: len(told)] == told


def test_a_store_moves_to_etcd_and_back(
    serve: Callable[..., Server], address: str, tmp_path: pathlib.Path
) -> None:
    server = serve()
    fill(server)
    running = store("migrate", redb(server), address, fails=True)
    assert "in use by another process" in running.stderr
    server.stop()
    server.popen = None
    there = digest("migrate", redb(server), address)
    assert (
        there == digest("verify", "--store", redb(server)) == digest("verify", "--store", address)
    )
    on_etcd = serve("--store", address, folder="etcd")
    server.start()
    assert content(on_etcd) == content(server)
    assert events(on_etcd)[:3] == events(server)[:3]
    server.stop()
    on_etcd.stop()
    back = f"redb:{tmp_path}/back.redb"
    returned = digest("migrate", address, back)
    assert returned == digest("verify", "--store", back)
    full = store("migrate", address, back, fails=True)
    assert "the store is not empty" in full.stderr
    assert content(serve("--store", back, folder="back")) == content(server.start())


def archive(path: pathlib.Path, entries: int) -> str:
    """Writes an archive by its documentation alone; gives its digest."""
    sum = hashlib.sha256()

    def take(*pieces: bytes) -> None:
        for piece in pieces:
            sum.update(len(piece).to_bytes(8, "big") + piece)

    key, log, value = "/longshore/a", "/longshore/e2e", "x" * 100
    lines: list[Any] = [
        {"archive": {"format": 1, "longshore": "0", "store": "0", "revision": 9}},
        {"key": {"key": key, "value": value, "created": 1}},
    ]
    take(b"key", key.encode(), value.encode())
    for number in range(entries):
        lines.append({"entry": {"log": log, "value": f"{number}", "created": number + 2}})
        take(b"entry", log.encode(), f"{number}".encode())
    end = {"keys": 1, "entries": entries, "places": 0, "leased": 0}
    lines.append({"end": {**end, "digest": f"sha256:{sum.hexdigest()}"}})
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return f"sha256:{sum.hexdigest()}"


def test_a_killed_import_goes_on(
    serve: Callable[..., Server], address: str, tmp_path: pathlib.Path
) -> None:
    file = tmp_path / "archive"
    wanted = archive(file, 5000)
    command = ["ctl", "store", "import", str(file), "--store", address]
    # Long enough to have begun, and far from enough to be done.
    with pytest.raises(subprocess.TimeoutExpired):
        subprocess.run([binary(), *command], timeout=1.0, check=False)
    unfinished = Server(tmp_path / "refused", "--open", "--store", address)
    unfinished.spawn()
    assert unfinished.popen is not None and unfinished.popen.wait(30) != 0
    assert "an import into this store was interrupted" in unfinished.tail()
    other = tmp_path / "other"
    archive(other, 5)
    refused = store("import", str(other), "--store", address, fails=True)
    assert "another archive" in refused.stderr
    assert digest("import", str(file), "--store", address) == wanted
    assert digest("verify", "--store", address) == wanted
    copy = str(tmp_path / "copy")
    assert digest("export", copy, "--store", address) == wanted
    assert json.loads(store("verify", copy).stdout)["entries"] == 5000
    assert serve("--store", address).ecs.list_clusters()["clusterArns"] == []


def test_without_etcd_reads_go_on_and_changes_say_what_is_known(
    serve: Callable[..., Server], own_etcd: tuple[str, list[int]]
) -> None:
    endpoints, members = own_etcd
    server = serve("--store", f"etcd://{endpoints}?request-timeout=1s")
    fill(server)
    before = content(server)

    def change(name: str) -> str:
        with pytest.raises(botocore.exceptions.ClientError) as caught:
            server.ecs.create_cluster(clusterName=name)
        answer = caught.value.response
        assert answer["ResponseMetadata"]["HTTPStatusCode"] == 500
        assert answer["Error"]["Code"] == "ServerException"
        return str(answer["Error"]["Message"])

    for member in members:
        os.kill(member, signal.SIGSTOP)
    # It was sent, and nobody answers.
    assert "did not learn whether its store has made the change" in change("perhaps")
    assert content(server) == before
    # As soon as the connection is given up, nobody is there to send it to.
    names = (f"unsent-{number}" for number in itertools.count())
    unsent = until(
        lambda: name if "nothing was changed" in change(name := next(names)) else None,
        "a change that was not sent",
    )
    for member in members:
        os.kill(member, signal.SIGCONT)

    def works() -> bool:
        with contextlib.suppress(botocore.exceptions.ClientError):
            server.ecs.create_cluster(clusterName="afterwards")
            return True
        return False

    until(works, "changes to be possible again")
    clusters = str(server.ecs.list_clusters()["clusterArns"])
    assert "afterwards" in clusters and unsent not in clusters


def test_what_cannot_be_opened_says_what_to_do(
    serve: Callable[..., Server], etcd: str, tmp_path: pathlib.Path
) -> None:
    server = serve()
    fill(server)
    data = str(server.folder / "server")
    copy = str(tmp_path / "copy")

    def refusal(*arguments: str) -> str:
        done = subprocess.run(
            [binary(), *arguments], capture_output=True, text=True, timeout=60, check=False
        )
        assert done.returncode == 1, done
        return done.stderr

    second = ["server", "--open", "--listen", "127.0.0.1:0", "--data-dir", data]
    assert "stop the other longshore server" in refusal(*second)
    assert "in use by another process" in refusal(
        "ctl", "store", "export", copy, "--data-dir", data
    )
    server.signal(signal.SIGTERM)
    file = server.folder / "server" / "longshore.redb"
    whole = file.read_bytes()
    file.write_bytes(whole[: len(whole) // 2])
    assert "restore it from a backup" in refusal(*second)
    file.write_bytes(whole)
    away = ["--store", f"etcd://{etcd}/never-made"]
    assert "nothing is stored there" in refusal("ctl", "store", "verify", *away)
    nobody = ["--store", "etcd://127.0.0.1:9?request-timeout=200ms"]
    assert "check that its members run" in refusal(*second, *nobody)
    nowhere = ["--store", f"redb:{tmp_path}/nowhere.redb"]
    assert "there is no file" in refusal("ctl", "store", "export", copy, *nowhere)
    assert not pathlib.Path(copy).exists()
    garbage = tmp_path / "garbage"
    garbage.write_text("{}\n")
    assert "take another backup" in refusal("ctl", "store", "verify", str(garbage))
    server.start()


def test_a_backup_is_for_the_owner_of_all(
    serve: Callable[..., Server], tmp_path: pathlib.Path
) -> None:
    root = {"accessKeyId": "ROOT", "secretAccessKey": "s", "account": "000000000000"}
    user = {**root, "accessKeyId": "USER", "user": "ada"}
    other = {**root, "accessKeyId": "OTHER", "account": "111111111111"}
    keys = tmp_path / "keys.json"

    def backup(server: Server, key: str, file: str, fails: bool) -> str:
        environment = {"AWS_ACCESS_KEY_ID": key, "AWS_SECRET_ACCESS_KEY": "s"}
        command = ["ctl", "store", "backup", str(tmp_path / file)]
        return longshore(server.url, *command, fails=fails, **environment).stderr

    keys.write_text(json.dumps([root, user]))
    server = Server(tmp_path / "keys", "--keys", str(keys), "--store", "redb")
    server.spawn()
    try:
        server.wait(lambda: "listens on" in server.tail(), "it to listen")
        assert "for the root of the only account" in backup(server, "USER", "user", fails=True)
        backup(server, "ROOT", "root", fails=False)
        server.stop()
        keys.write_text(json.dumps([root, other]))
        server.spawn()
        server.wait(lambda: server.tail().count("listens on") == 2, "it to listen again")
        assert "for the root of the only account" in backup(server, "ROOT", "both", fails=True)
    finally:
        server.stop()


@pytest.fixture
def newer() -> str:
    """A binary that writes records as a newer patch release might."""
    path = os.environ.get("LONGSHORE_NEWER_BIN", f"{binary()}-newer")
    if not pathlib.Path(path).exists():
        missing = f"there is no {path}; make e2e builds it"
        pytest.fail(missing) if os.environ.get("CI") else pytest.skip(missing)
    return path


def stored(address: str, path: pathlib.Path) -> dict[str, Any]:
    """The records in a store, by their keys."""
    path.unlink(missing_ok=True)
    store("export", str(path), "--store", address)
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    keys = [line["key"] for line in lines if "key" in line]
    return {each["key"]: json.loads(each["value"]) for each in keys if "/ecs/" in each["key"]}


def test_servers_are_upgraded_one_by_one(
    serve: Callable[..., Server],
    newer: str,
    address: str,
    tmp_path: pathlib.Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    old = serve("--store", address)
    fill(old)
    monkeypatch.setenv("LONGSHORE_BIN", newer)
    new = serve("--store", address, folder="new")
    monkeypatch.undo()
    assert content(new) == content(old), "records of an older version are read"
    # The newer one writes, the older one reads, and writes the same records.
    new.ecs.create_cluster(clusterName="newer")
    new.ecs.create_service(
        cluster="newer", serviceName="mixed", taskDefinition="kept", desiredCount=1
    )

    def seen() -> Any:
        return old.ecs.describe_services(cluster="newer", services=["mixed"])["services"]

    until(seen, "the older server to show what the newer one wrote")
    old.ecs.update_service(cluster="newer", service="mixed", desiredCount=3)
    old.ecs.tag_resource(
        resourceArn=old.ecs.describe_clusters(clusters=["newer"])["clusters"][0]["clusterArn"],
        tags=[{"key": "by", "value": "older"}],
    )
    until(
        lambda: (
            new.ecs.describe_services(cluster="newer", services=["mixed"])["services"][0][
                "desiredCount"
            ]
            == 3
        ),
        "the newer server to show what the older one wrote",
    )
    records = stored(address, tmp_path / "mixed")
    [service] = [value for key, value in records.items() if "/service/newer/" in key]
    [cluster] = [value for key, value in records.items() if key.endswith("/cluster/newer")]
    assert service["r"]["desired_count"] == 3
    for record in (service, cluster):
        assert record["v"] == 1
        assert record["r"]["addedLater"] == {"by": "a newer longshore"}
    # The last older one goes; what it wrote alone is read by what is left.
    old.stop()
    assert "newer" in str(new.ecs.list_clusters()["clusterArns"])
    assert content(new)["services"], "the older one's services are there"
