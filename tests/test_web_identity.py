"""Sessions for tokens of a provider of OpenID Connect, whose keys the server fetches over TLS."""

import base64
import http.server
import json
import pathlib
import ssl
import subprocess
import time
from collections.abc import Callable, Iterator
from typing import Any

import boto3
import botocore
import botocore.config
import pytest
from harness.aws import ACCOUNT, REGION, refused
from harness.identity import Guarded, Key, document, trust
from harness.provider import Web

AUDIENCE = "sts.amazonaws.com"
ACTION = "sts:AssumeRoleWithWebIdentity"


def encoded(data: bytes) -> str:
    """Base 64 for URLs."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def openssl(*arguments: str, data: bytes = b"") -> bytes:
    """What openssl prints."""
    return subprocess.run(
        ["openssl", *arguments], input=data, capture_output=True, timeout=60, check=True
    ).stdout


class Provider(Web):
    """Publishes one RSA key, and signs tokens with it."""

    def __init__(self, folder: pathlib.Path) -> None:
        super().__init__()
        self.asked: list[str] = []
        self.folder = folder
        certificate, key = folder / "tls.pem", folder / "tls.key"
        openssl(
            *("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"),
            *("-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"),
            *("-addext", "basicConstraints=critical,CA:FALSE"),
            *("-keyout", str(key), "-out", str(certificate)),
        )
        self.certificate = certificate
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key)
        self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        self.issuer = f"https://localhost:{self.port}"
        self.signing = folder / "signing.key"
        openssl("genrsa", "-out", str(self.signing), "2048")

    def answer(
        self, request: http.server.BaseHTTPRequestHandler, body: str
    ) -> tuple[int, dict[str, str], bytes]:
        self.asked.append(request.path)
        if request.path == "/.well-known/openid-configuration":
            told: Any = {"issuer": self.issuer, "jwks_uri": f"{self.issuer}/keys"}
        else:
            text = openssl("rsa", "-in", str(self.signing), "-noout", "-modulus")
            modulus = bytes.fromhex(text.decode().strip().split("=")[1])
            key = {"kty": "RSA", "kid": "one", "use": "sig", "alg": "RS256"}
            told = {"keys": [{**key, "n": encoded(modulus), "e": "AQAB"}]}
        return 200, {"Content-Type": "application/json"}, json.dumps(told).encode()

    def token(self, signing: pathlib.Path | None = None, **changed: Any) -> str:
        """A token."""
        now = time.time()
        claims = {"iss": self.issuer, "sub": "repo:harbour/crane", "aud": AUDIENCE}
        claims |= {"iat": int(now), "exp": int(now) + 300, **changed}
        header = {"alg": "RS256", "kid": "one", "typ": "JWT"}
        signed = f"{encoded(json.dumps(header).encode())}.{encoded(json.dumps(claims).encode())}"
        key = str(signing or self.signing)
        signature = openssl("dgst", "-sha256", "-sign", key, data=signed.encode())
        return f"{signed}.{encoded(signature)}"


Assume = Callable[..., dict[str, Any]]


@pytest.fixture
def provider(tmp_path: pathlib.Path) -> Iterator[Provider]:
    """A provider."""
    provider = Provider(tmp_path)
    yield provider
    provider.close()


@pytest.fixture
def guarded(tmp_path: pathlib.Path, provider: Provider) -> Iterator[Guarded]:
    """A server that knows the provider and has a role that trusts it."""
    guarded = Guarded(tmp_path / "iam", SSL_CERT_FILE=str(provider.certificate))
    iam = guarded.admin.iam
    made = iam.create_open_id_connect_provider(Url=provider.issuer, ClientIDList=[AUDIENCE])
    arn = made["OpenIDConnectProviderArn"]
    name = provider.issuer.removeprefix("https://")
    assert arn == f"arn:aws:iam::{ACCOUNT}:oidc-provider/{name}"
    condition = {"StringLike": {f"{name}:sub": "repo:harbour/*"}}
    document_of_trust = trust({"Federated": arn}, Action=ACTION, Condition=condition)
    iam.create_role(RoleName="pipeline", AssumeRolePolicyDocument=document_of_trust)
    iam.put_role_policy(RoleName="pipeline", PolicyName="all", PolicyDocument=document("ecs:*"))
    yield guarded
    assert guarded.server.alive, guarded.server.tail()
    guarded.server.stop()


@pytest.fixture
def assume(guarded: Guarded) -> Assume:
    """Becomes the role, without any credentials."""
    config = botocore.config.Config(
        signature_version=botocore.UNSIGNED, retries={"total_max_attempts": 1}
    )
    sts = boto3.client("sts", endpoint_url=guarded.server.url, region_name=REGION, config=config)

    def assume(token: str, role: str = "pipeline", **more: Any) -> dict[str, Any]:
        arn = f"arn:aws:iam::{ACCOUNT}:role/{role}"
        return dict(
            sts.assume_role_with_web_identity(
                RoleArn=arn, RoleSessionName="build-7", WebIdentityToken=token, **more
            )
        )

    return assume


def test_a_token_becomes_a_session(guarded: Guarded, provider: Provider, assume: Assume) -> None:
    answer = assume(provider.token())
    assert answer["SubjectFromWebIdentityToken"] == "repo:harbour/crane"
    assert answer["Audience"] == AUDIENCE
    session = Key.of_session(guarded.server, answer["Credentials"])
    me = session.sts.get_caller_identity()
    assert me["Arn"] == f"arn:aws:sts::{ACCOUNT}:assumed-role/pipeline/build-7"
    session.ecs.create_cluster(clusterName="of-a-pipeline")
    assume(provider.token())
    assert provider.asked == ["/.well-known/openid-configuration", "/keys"], "keys are kept"


def test_a_trust_policy_sees_where_it_is_asked(
    guarded: Guarded, provider: Provider, assume: Assume
) -> None:
    iam = guarded.admin.iam
    [arn] = [
        one["Arn"] for one in iam.list_open_id_connect_providers()["OpenIDConnectProviderList"]
    ]
    for network, trusted in (("192.0.2.0/24", False), ("127.0.0.0/8", True)):
        condition = {"IpAddress": {"aws:SourceIp": network}}
        iam.update_assume_role_policy(
            RoleName="pipeline",
            PolicyDocument=trust({"Federated": arn}, Action=ACTION, Condition=condition),
        )
        if trusted:
            assume(provider.token())
        else:
            with refused("AccessDenied"):
                assume(provider.token())


def test_what_is_wrong_with_a_token(
    provider: Provider, assume: Assume, tmp_path: pathlib.Path
) -> None:
    now = int(time.time())
    with refused("ExpiredTokenException", "Token expired"):
        assume(provider.token(exp=now - 1))
    with refused("InvalidIdentityToken", "Incorrect token audience"):
        assume(provider.token(aud="somebody"))
    with refused("InvalidIdentityToken", "No OpenIDConnect provider found in your account for"):
        assume(provider.token(iss="https://other.example.com"))
    with refused("AccessDenied", "Not authorized to perform sts:AssumeRoleWithWebIdentity"):
        assume(provider.token(sub="repo:stranger/crane"))
    with refused("AccessDenied"):
        assume(provider.token(), role="nothing")
    with refused("InvalidIdentityToken", "not a valid JWT"):
        assume("a.b.c")
    header, claims, signature = provider.token().split(".")
    _, other, _ = provider.token(sub="repo:harbour/admin").split(".")
    none = encoded(b'{"alg":"none"}')
    for forged in (f"{header}.{other}.{signature}", f"{none}.{claims}."):
        with refused("InvalidIdentityToken"):
            assume(forged)
    stranger = tmp_path / "stranger.key"
    openssl("genrsa", "-out", str(stranger), "2048")
    with refused("InvalidIdentityToken", "not signed by a key of its provider"):
        assume(provider.token(signing=stranger))


def test_a_provider_that_is_away(provider: Provider, assume: Assume) -> None:
    token = provider.token()
    provider.close()
    with refused("IDPCommunicationError"):
        assume(token)
