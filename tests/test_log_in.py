"""Balancers that ask clients to log in: a provider, a target, and curl with its cookies."""

import base64
import dataclasses
import json
import pathlib
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest
from harness.aws import client, refused
from harness.balancing import world_with_node
from harness.cli import longshore
from harness.process import World
from harness.provider import Echo, Provider
from harness.wait import until


@dataclasses.dataclass
class Site:
    """An HTTPS listener in front of a target."""

    elb: Any
    listener: str
    forward: dict[str, Any]
    host: str
    trusted: pathlib.Path
    provider: Provider
    folder: pathlib.Path

    def curl(self, path: str, *options: str, jar: str = "jar") -> tuple[int, str, str]:
        """Status, body and where it is sent; a path or a URL, with cookies from and to a file."""
        url = path if "://" in path else f"https://{self.host}{path}"
        cookies = str(self.folder / jar)
        done = subprocess.run(
            [
                *("curl", "--silent", "--show-error", "--max-time", "15"),
                *("--cacert", str(self.trusted), "--cookie", cookies, "--cookie-jar", cookies),
                *("--write-out", "\n%{http_code} %{redirect_url}"),
                *(*options, url),
            ],
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        body, last = done.stdout.rsplit("\n", 1)
        status, _, location = last.partition(" ")
        return int(status), body, location

    def asks(self, **members: Any) -> None:
        """The listener asks for log-ins from now on."""
        actions = [self.provider.config(**members), {**self.forward, "Order": 2}]
        self.elb.modify_listener(ListenerArn=self.listener, DefaultActions=actions)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory, image: str) -> Iterator[World]:
    """A server and a node of balancers."""
    with world_with_node(tmp_path_factory.mktemp("oidc"), "oidc", image, zones="") as (world, _):
        yield world


@pytest.fixture
def site(world: World, name: str, tmp_path: pathlib.Path) -> Iterator[Site]:
    """A site of the test's own, that lets everybody in."""
    elb, acm = (client(world.server.url, service=which) for which in ("elbv2", "acm"))
    provider, echo = Provider(), Echo()
    short = name[-32:].strip("-")
    made = elb.create_load_balancer(Name=short)["LoadBalancers"][0]
    host = made["DNSName"]
    certificate = acm.request_certificate(DomainName=host)["CertificateArn"]
    group = elb.create_target_group(
        Name=short, Protocol="HTTP", Port=echo.port, TargetType="ip", VpcId="vpc-1"
    )["TargetGroups"][0]["TargetGroupArn"]
    elb.register_targets(TargetGroupArn=group, Targets=[{"Id": "127.0.0.1", "Port": echo.port}])
    forward = {"Type": "forward", "TargetGroupArn": group}
    listener = elb.create_listener(
        LoadBalancerArn=made["LoadBalancerArn"],
        Port=443,
        Protocol="HTTPS",
        Certificates=[{"CertificateArn": certificate}],
        DefaultActions=[forward],
    )["Listeners"][0]["ListenerArn"]
    trusted = tmp_path / "ca.pem"
    trusted.write_text(longshore(world.server.url, "ctl", "ca").stdout)
    site = Site(elb, listener, forward, host, trusted, provider, tmp_path)

    def answers() -> bool:
        try:
            return site.curl("/")[0] == 200
        except AssertionError:
            return False

    until(answers, f"{host} to answer")
    yield site
    elb.delete_load_balancer(LoadBalancerArn=made["LoadBalancerArn"])
    provider.close()
    echo.close()


def integer(number: bytes) -> bytes:
    """A positive number, DER."""
    bare = number.lstrip(b"\0")
    whole = b"\0" + bare if bare[:1] >= b"\x80" else bare
    return bytes([2, len(whole)]) + whole


def verified(site: Site, token: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Header and claims of a token that the balancer has signed."""
    head, claims, signature = token.split(".")
    header = json.loads(base64.urlsafe_b64decode(head))
    status, pem, _ = site.curl(f"/oauth2/public-keys/{header['kid']}")
    assert status == 200
    raw = base64.urlsafe_b64decode(signature)
    assert len(raw) == 64
    parts = integer(raw[:32]) + integer(raw[32:])
    key, signed = site.folder / "key.pem", site.folder / "signature"
    key.write_text(pem)
    signed.write_bytes(bytes([0x30, len(parts)]) + parts)
    subprocess.run(
        ["openssl", "dgst", "-sha256", "-verify", str(key), "-signature", str(signed)],
        input=f"{head}.{claims}".encode(),
        check=True,
        capture_output=True,
    )
    return header, json.loads(base64.urlsafe_b64decode(claims))


def test_a_client_logs_in_and_stays(site: Site) -> None:
    site.asks(
        Scope="openid email",
        AuthenticationRequestExtraParams={"prompt": "login"},
    )
    until(lambda: site.curl("/", jar="none")[0] == 302, "log-ins to be asked for")
    status, body, _ = site.curl("/a/b?c=d&e", "--location")
    assert status == 200, body
    told = json.loads(body)
    assert told["path"] == "/a/b?c=d&e"
    assert told["x-amzn-oidc-identity"] == "user-1"
    assert told["x-amzn-oidc-accesstoken"] == "token-1"
    header, claims = verified(site, told["x-amzn-oidc-data"])
    assert (header["alg"], header["client"], header["iss"]) == (
        "ES256",
        "client:1",
        site.provider.url,
    )
    assert claims["email"] == "user@example.com"
    [*_, asked] = site.provider.asked
    assert (asked["scope"], asked["response_type"], asked["prompt"]) == (
        "openid email",
        "code",
        "login",
    )
    assert asked["redirect_uri"] == f"https://{site.host}/oauth2/idpresponse"
    # Known now, by both versions of HTTP, whoever it says that it is.
    before = len(site.provider.asked)
    for version in ("--http1.1", "--http2"):
        status, body, _ = site.curl("/", version, "--header", "X-Amzn-Oidc-Identity: root")
        assert (status, json.loads(body)["x-amzn-oidc-identity"]) == (200, "user-1")
    assert len(site.provider.asked) == before
    # A cookie that was changed is none.
    jar = site.folder / "jar"
    lines = [line for line in jar.read_text().splitlines() if "AWSELBAuthSessionCookie-0" in line]
    value = lines[0].split("\t")[-1]
    middle = len(value) // 2
    changed = value[:middle] + ("A" if value[middle] != "A" else "B") + value[middle + 1 :]
    forged = f"Cookie: AWSELBAuthSessionCookie-0={changed}"
    assert site.curl("/", "--header", forged, jar="forged")[0] == 302


def test_two_pages_of_a_client_log_in(site: Site) -> None:
    site.asks()
    until(lambda: site.curl("/", jar="none")[0] == 302, "log-ins to be asked for")
    # Both have been sent to the provider before either comes back.
    providers = [site.curl(path, jar="tabs")[2] for path in ("/one", "/two")]
    for path, provider in zip(("/one", "/two"), providers, strict=True):
        _, _, back = site.curl(provider, jar="elsewhere")
        status, _, target = site.curl(back, jar="tabs")
        assert (status, target) == (302, f"https://{site.host}{path}")


def test_what_log_ins_need_stays(site: Site) -> None:
    # Under the rules of a listener, as under its default one, TLS stays.
    site.elb.create_rule(
        ListenerArn=site.listener,
        Priority=1,
        Conditions=[{"Field": "path-pattern", "Values": ["/private/*"]}],
        Actions=[site.provider.config(), {**site.forward, "Order": 2}],
    )
    with refused("InvalidLoadBalancerAction", "HTTPS listeners only"):
        site.elb.modify_listener(ListenerArn=site.listener, Protocol="HTTP")
    site.asks()
    with refused("InvalidLoadBalancerAction", "HTTPS listeners only"):
        site.elb.modify_listener(ListenerArn=site.listener, Protocol="HTTP")
    # The secret stays with the provider that it was given for.
    site.asks(ClientSecret="", UseExistingClientSecret=True)
    with refused("ValidationError", "client secret"):
        site.asks(
            ClientSecret="",
            UseExistingClientSecret=True,
            TokenEndpoint="https://elsewhere.example.com/token",
        )


def test_what_did_not_begin_here_does_not_end_here(site: Site) -> None:
    site.asks()
    until(lambda: site.curl("/", jar="none")[0] == 302, "log-ins to be asked for")
    _, _, location = site.curl("/x")
    assert location.startswith(f"{site.provider.url}/authorize?")
    state = location.split("state=")[1].split("&")[0]
    callback = "/oauth2/idpresponse"
    assert site.curl(f"{callback}?code=a&state={state}", jar="stranger")[0] == 401
    assert site.curl(f"{callback}?code=a&state={state[:-4]}AAAA")[0] == 401
    assert site.curl(f"{callback}?error=access_denied&state={state}")[0] == 401
    assert site.curl(callback)[0] == 401
    # The provider does not know the code; is broken; speaks of somebody else.
    assert site.curl(f"{callback}?code=a&state={state}")[0] == 561
    site.provider.broken = True
    assert site.curl("/", "--location", jar="broken")[0] == 561
    site.provider.broken = False
    site.provider.audience = "another"
    assert site.curl("/", "--location", jar="another")[0] == 561
    assert site.curl("/oauth2/public-keys/none")[0] == 404


def test_sessions_are_large_and_end(site: Site) -> None:
    # curl sends no more than 8 KiB of cookies.
    site.provider.claims["groups"] = [f"group-{number:04}" for number in range(250)]
    site.asks(SessionCookieName="Mine", SessionTimeout=3)
    until(lambda: site.curl("/", jar="none")[0] == 302, "log-ins to be asked for")
    status, body, _ = site.curl("/", "--location")
    assert status == 200, body
    text = (site.folder / "jar").read_text()
    assert "Mine-0" in text and "Mine-1" in text
    # The cookies outlive it where the client does not look at its clock.
    cookies = "; ".join(
        "=".join(line.split("\t")[-2:]) for line in text.splitlines() if "Mine-" in line
    )
    ask = ["--header", f"Cookie: {cookies}"]
    assert site.curl("/", *ask, jar="none")[0] == 200
    until(lambda: site.curl("/", *ask, jar="none")[0] == 302, "the session to end")
    site.provider.claims["groups"] = ["x" * 20_000]
    assert site.curl("/", "--location", jar="large")[0] == 561


def test_others_are_denied_or_let_through(site: Site) -> None:
    site.asks(OnUnauthenticatedRequest="deny")
    until(lambda: site.curl("/")[0] == 401, "others to be denied")
    site.asks(OnUnauthenticatedRequest="allow")
    until(lambda: site.curl("/")[0] == 200, "others to be let through")
    for version in ("--http1.1", "--http2"):
        forged = ["--header", "x-amzn-oidc-identity: root", "--header", "X-Amzn-Oidc-Data: a.b.c"]
        told = json.loads(site.curl("/", version, *forged)[1])
        assert not any(name.startswith("x-amzn-oidc") for name in told), told


def test_what_the_api_refuses(site: Site) -> None:
    shown = site.elb.describe_listeners(ListenerArns=[site.listener])["Listeners"][0]
    with refused("ValidationError", "client secret"):
        site.asks(ClientSecret="")
    with refused("ValidationError", "client secret"):
        site.asks(ClientSecret="", UseExistingClientSecret=True)
    with refused("ValidationError", "URL"):
        site.asks(TokenEndpoint="nowhere")
    with refused("ValidationError", "session timeout"):
        site.asks(SessionTimeout=604_801)
    with refused("ValidationError", "cookie name"):
        site.asks(SessionCookieName="a b")
    with refused("InvalidLoadBalancerAction", "HTTPS"):
        site.elb.create_listener(
            LoadBalancerArn=shown["LoadBalancerArn"],
            Port=80,
            Protocol="HTTP",
            DefaultActions=[site.provider.config(), {**site.forward, "Order": 2}],
        )
    assert site.elb.describe_listeners(ListenerArns=[site.listener])["Listeners"] == [shown]
    site.asks()
    site.asks(ClientSecret="", UseExistingClientSecret=True, Scope="openid email")
    [asks, _] = site.elb.describe_listeners(ListenerArns=[site.listener])["Listeners"][0][
        "DefaultActions"
    ]
    assert asks["AuthenticateOidcConfig"]["Scope"] == "openid email"
    assert "ClientSecret" not in asks["AuthenticateOidcConfig"]
    until(lambda: site.curl("/", jar="none")[0] == 302, "log-ins to be asked for")
    assert site.curl("/", "--location")[0] == 200, "the secret was kept"
