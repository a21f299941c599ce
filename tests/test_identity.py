"""A server with keys: who is refused, and that accounts do not see each other."""

import datetime
import json
import pathlib
import urllib.error
import urllib.request
from collections.abc import Callable
from typing import Any

import botocore.auth
import botocore.awsrequest
import botocore.credentials
import pytest
from harness.aws import REGION, TARGET, Answer, Raw, client, refused
from harness.balancing import Node, addresses
from harness.process import Server
from harness.wait import until

KEYS = [
    {"accessKeyId": "AKIDONE", "secretAccessKey": "secret-one", "account": "111111111111"},
    {"accessKeyId": "AKIDTWO", "secretAccessKey": "secret-two", "account": "222222222222"},
]


@pytest.fixture
def guarded(new_server: Callable[..., Server], tmp_path: pathlib.Path) -> Server:
    """A server that knows two keys."""
    file = tmp_path / "keys.json"
    file.write_text(json.dumps(KEYS))
    return new_server("--keys", str(file))


def one(server: Server) -> Any:
    return client(server.url, "AKIDONE", "secret-one")


def two(server: Server) -> Any:
    return client(server.url, "AKIDTWO", "secret-two")


def sign(server: Server, secret: str, age_s: int = 0, presign_s: int | None = None) -> Answer:
    """Sends ListClusters, signed `age_s` seconds ago."""
    headers = {
        "X-Amz-Target": f"{TARGET}.ListClusters",
        "Content-Type": "application/x-amz-json-1.1",
    }
    request = botocore.awsrequest.AWSRequest("POST", server.url + "/", headers, b"{}")
    credentials = botocore.credentials.Credentials("AKIDONE", secret)
    then = datetime.datetime.now(datetime.UTC) - datetime.timedelta(seconds=age_s)
    stamp = then.strftime("%Y%m%dT%H%M%SZ")

    class Clocked:
        """Signs at a time of our own choice."""

    kind = botocore.auth.SigV4Auth if presign_s is None else botocore.auth.SigV4QueryAuth
    options = {} if presign_s is None else {"expires": presign_s}
    signer = kind(credentials, "ecs", REGION, **options)
    original = botocore.auth.get_current_datetime
    botocore.auth.get_current_datetime = lambda *_a, **_k: then.replace(tzinfo=None)
    try:
        signer.add_auth(request)
    finally:
        botocore.auth.get_current_datetime = original
    prepared = request.prepare()
    sent = f"{prepared.url} {dict(prepared.headers)}"
    assert stamp in sent, "the signature must carry the chosen time"
    path = prepared.url.removeprefix(server.url)
    with Raw(server.url) as raw:
        return raw.send("POST", path, b"{}", {k: str(v) for k, v in prepared.headers.items()})


def test_the_right_key_is_let_in(guarded: Server) -> None:
    made = one(guarded).create_cluster(clusterName="mine")["cluster"]
    assert ":111111111111:" in made["clusterArn"]
    assert sign(guarded, "secret-one").status == 200


def test_accounts_do_not_see_each_other(guarded: Server) -> None:
    arn = one(guarded).create_cluster(clusterName="mine")["cluster"]["clusterArn"]
    other = two(guarded)
    assert other.list_clusters()["clusterArns"] == []
    assert other.describe_clusters(clusters=["mine"])["clusters"] == []
    codes = ("ClusterNotFoundException", "InvalidParameterException", "AccessDeniedException")
    with refused(codes):
        other.delete_cluster(cluster=arn)
    with refused(codes):
        other.list_tasks(cluster=arn)
    assert one(guarded).list_clusters()["clusterArns"] == [arn]


def test_unknown_and_wrong_keys_are_refused(guarded: Server) -> None:
    with refused("UnrecognizedClientException"):
        client(guarded.url, "AKIDNOBODY", "secret").list_clusters()
    with refused(("InvalidSignatureException", "SignatureDoesNotMatch")):
        client(guarded.url, "AKIDONE", "secret-two").list_clusters()


def test_a_request_without_signature_is_refused(guarded: Server) -> None:
    with Raw(guarded.url) as raw:
        for headers in (
            {},
            {"Authorization": "Basic Zm9v"},
            {"Authorization": "AWS4-HMAC-SHA256 garbage"},
            {"Authorization": "AWS4-HMAC-SHA256 Credential=AKIDONE/20260101/us-east-1/ecs/x"},
            {"Authorization": "AWS4-HMAC-SHA256 " + "," * 10_000},
        ):
            answer = raw.call("ListClusters", b"{}", **headers)
            answer.expect_client_error()
        assert raw.send("POST", "/_longshore/reset", b"", {}).status in (401, 403, 400)


def test_a_changed_body_is_refused(guarded: Server) -> None:
    seen: list[Any] = []
    ecs = one(guarded)
    ecs.meta.events.register("before-send.ecs", lambda request, **_: seen.append(request))
    ecs.list_clusters()
    headers = {
        k: v.decode() if isinstance(v, bytes) else str(v)
        for k, v in seen[0].headers.items()
        if k.lower() != "content-length"
    }
    with Raw(guarded.url) as raw:
        assert raw.send("POST", "/", seen[0].body, headers).status == 200
        raw.send("POST", "/", b'{"maxResults": 1}', headers).expect_client_error()


@pytest.mark.parametrize("age_s", [3600, -3600, 400_000])
def test_old_and_future_signatures_are_refused(guarded: Server, age_s: int) -> None:
    answer = sign(guarded, "secret-one", age_s=age_s)
    answer.expect_client_error()
    assert answer.code in ("InvalidSignatureException", "SignatureDoesNotMatch")


def test_presigned_requests_expire(guarded: Server) -> None:
    late = sign(guarded, "secret-one", age_s=120, presign_s=60)
    late.expect_client_error()
    wrong = sign(guarded, "secret-two", presign_s=60)
    wrong.expect_client_error()


def test_a_balancer_needs_a_key_too(
    new_server: Callable[..., Server], tmp_path: pathlib.Path
) -> None:
    file = tmp_path / "keys.json"
    file.write_text(json.dumps(KEYS))
    server = new_server("--keys", str(file), "--balancer-addresses", addresses())
    elb = client(server.url, "AKIDONE", "secret-one", service="elbv2")
    made = elb.create_load_balancer(Name="guarded")["LoadBalancers"][0]

    def state() -> str:
        arns = [made["LoadBalancerArn"]]
        return str(elb.describe_load_balancers(LoadBalancerArns=arns)["LoadBalancers"][0]["State"])

    stranger, known = Node(server), Node(server)
    known.environment = {"AWS_ACCESS_KEY_ID": "AKIDONE", "AWS_SECRET_ACCESS_KEY": "secret-one"}
    try:
        stranger.spawn()
        known.spawn()
        until(lambda: "active" in state(), "the balancer to be active")
        known.stop()
        with pytest.raises(urllib.error.HTTPError, match=r"40[03]"):
            urllib.request.urlopen(f"{server.url}/_longshore/balancers/routing?after=0", timeout=10)
        report = urllib.request.Request(
            f"{server.url}/_longshore/balancers/report", data=b"{}", method="POST"
        )
        with pytest.raises(urllib.error.HTTPError, match=r"40[03]"):
            urllib.request.urlopen(report, timeout=10)
    finally:
        stranger.stop()
        known.stop()


def routing(server: Server, key: str, secret: str) -> dict[str, Any]:
    """What a node of balancers with this key is told."""
    url = f"{server.url}/_longshore/balancers/routing?after=0"
    request = botocore.awsrequest.AWSRequest("GET", url)
    credentials = botocore.credentials.Credentials(key, secret)
    botocore.auth.SigV4Auth(credentials, "ecs", REGION).add_auth(request)
    signed = urllib.request.Request(url, headers=dict(request.headers.items()))
    with urllib.request.urlopen(signed, timeout=10) as answer:
        return dict(json.load(answer))


def test_private_keys_are_for_the_owner_of_all(
    new_server: Callable[..., Server], tmp_path: pathlib.Path
) -> None:
    for count, withheld in ((1, False), (2, True)):
        file = tmp_path / f"keys-{count}.json"
        file.write_text(json.dumps(KEYS[:count]))
        server = new_server("--keys", str(file))
        key = ("AKIDONE", "secret-one")
        elb, acm = (client(server.url, *key, service=which) for which in ("elbv2", "acm"))
        balancer = elb.create_load_balancer(Name="web")["LoadBalancers"][0]["LoadBalancerArn"]
        certificate = acm.request_certificate(DomainName="a.example.com")["CertificateArn"]
        config = dict.fromkeys(
            ("Issuer", "AuthorizationEndpoint", "TokenEndpoint", "UserInfoEndpoint"),
            "https://idp.example.com/",
        )
        config |= {"ClientId": "a", "ClientSecret": "hidden-secret"}
        log_in = {"Type": "authenticate-oidc", "Order": 1, "AuthenticateOidcConfig": config}
        fixed = {
            "Type": "fixed-response",
            "Order": 2,
            "FixedResponseConfig": {"StatusCode": "200"},
        }
        elb.create_listener(
            LoadBalancerArn=balancer,
            Port=443,
            Protocol="HTTPS",
            Certificates=[{"CertificateArn": certificate}],
            DefaultActions=[log_in, fixed],
        )
        told = routing(server, *key)
        assert told["balancers"][0]["listeners"][0]["certificates"] == [certificate]
        for secret in ("PRIVATE", "hidden-secret"):
            assert (secret not in json.dumps(told)) == withheld
        if withheld:
            other = client(server.url, "AKIDTWO", "secret-two", service="acm")
            assert other.list_certificates()["CertificateSummaryList"] == []
            with refused("ResourceNotFoundException"):
                other.describe_certificate(CertificateArn=certificate)
