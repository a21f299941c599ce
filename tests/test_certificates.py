"""Certificates: imported and issued ones, and balancers that show them to clients."""

import pathlib
import socket
import ssl
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest
from harness.aws import ACCOUNT, REGION, cli, client, refused
from harness.balancing import Node, world_with_node
from harness.cli import longshore
from harness.process import Server, World
from harness.wait import until

PREFIX = f"arn:aws:acm:{REGION}:{ACCOUNT}:certificate/"


def fixed(text: str) -> dict[str, Any]:
    """An action that answers by itself."""
    config = {"StatusCode": "200", "ContentType": "text/plain", "MessageBody": text}
    return {"Type": "fixed-response", "FixedResponseConfig": config}


def self_signed(folder: pathlib.Path, name: str, *options: str) -> dict[str, bytes]:
    """A certificate that vouches for itself, as ImportCertificate takes it."""
    key, certificate = folder / "key.pem", folder / "certificate.pem"
    kind = options or ("-newkey", "rsa:2048")
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-nodes", *kind, "-days", "30"),
            *("-keyout", str(key), "-out", str(certificate)),
            *("-subj", f"/C=DE/O=Test/CN={name}", "-addext", f"subjectAltName=DNS:{name}"),
        ],
        check=True,
        capture_output=True,
    )
    return {"Certificate": certificate.read_bytes(), "PrivateKey": key.read_bytes()}


def of_curve(folder: pathlib.Path, name: str) -> dict[str, bytes]:
    """The same for a key in the older form, with its parameters before it."""
    key, certificate = folder / "key.pem", folder / "certificate.pem"
    made = ["openssl", "ecparam", "-genkey", "-name", "prime256v1", "-out", str(key)]
    subprocess.run(made, check=True, capture_output=True)
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-key", str(key), "-days", "30"),
            *("-out", str(certificate), "-subj", f"/CN={name}"),
            *("-addext", f"subjectAltName=DNS:{name}"),
        ],
        check=True,
        capture_output=True,
    )
    assert b"EC PARAMETERS" in key.read_bytes()
    return {"Certificate": certificate.read_bytes(), "PrivateKey": key.read_bytes()}


def curl(*arguments: str) -> str:
    """What curl prints; it must succeed."""
    done = subprocess.run(
        ["curl", "--silent", "--show-error", "--fail", "--max-time", "10", *arguments],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def shown_to(host: str, port: int, name: str | None) -> bytes:
    """The certificate, DER, that a client is shown which asks for a name."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    with (
        socket.create_connection((host, port), timeout=5) as connection,
        context.wrap_socket(connection, server_hostname=name) as tls,
    ):
        found = tls.getpeercert(binary_form=True)
        assert found is not None
        return found


def der(pem: bytes | str) -> bytes:
    """A certificate as it is sent."""
    return ssl.PEM_cert_to_DER_cert(pem.decode() if isinstance(pem, bytes) else pem)


@pytest.fixture
def acm(server: Server) -> Any:
    """A boto3 client of the shared server."""
    return client(server.url, service="acm")


@pytest.fixture(scope="module")
def serving(
    tmp_path_factory: pytest.TempPathFactory, image: str
) -> Iterator[tuple[World, Node, pathlib.Path]]:
    """A server and a node of balancers, and a file with the certificate of the local authority."""
    trusted = tmp_path_factory.mktemp("trust") / "ca.pem"
    with world_with_node(tmp_path_factory.mktemp("tls"), "tls", image, zones="") as (world, node):
        trusted.write_text(longshore(world.server.url, "ctl", "ca").stdout)
        yield world, node, trusted
        assert "PRIVATE" not in node.tail() + world.server.tail()


@pytest.fixture
def balancer(
    serving: tuple[World, Node, pathlib.Path], name: str
) -> Iterator[tuple[Any, str, str]]:
    """A client of ELBv2, and ARN and host of a balancer without listeners."""
    elb = client(serving[0].server.url, service="elbv2")
    made = elb.create_load_balancer(Name=name[-32:].strip("-"))["LoadBalancers"][0]
    yield elb, made["LoadBalancerArn"], made["DNSName"]
    elb.delete_load_balancer(LoadBalancerArn=made["LoadBalancerArn"])


def test_an_imported_certificate_lives(acm: Any, server: Server, tmp_path: pathlib.Path) -> None:
    given = self_signed(tmp_path, "www.example.com")
    tags = [{"Key": "team", "Value": "a"}]
    arn = acm.import_certificate(**given, Tags=tags)["CertificateArn"]
    assert arn.startswith(PREFIX)
    shown = acm.describe_certificate(CertificateArn=arn)["Certificate"]
    assert (shown["Type"], shown["Status"]) == ("IMPORTED", "ISSUED")
    assert (shown["DomainName"], shown["KeyAlgorithm"]) == ("www.example.com", "RSA_2048")
    assert (shown["Subject"], shown["Issuer"]) == ("C=DE,O=Test,CN=www.example.com", "Test")
    assert shown["SignatureAlgorithm"] == "SHA256WITHRSA"
    assert shown["InUseBy"] == []
    assert 29 <= (shown["NotAfter"] - shown["CreatedAt"]).days <= 30
    got = acm.get_certificate(CertificateArn=arn)
    assert got["Certificate"].encode() == given["Certificate"]
    assert "CertificateChain" not in got
    assert "PRIVATE" not in str(got) + str(shown)
    listed = cli(server.url, "acm", "list-certificates", "--includes", "keyTypes=RSA_2048")
    summaries = {one["CertificateArn"]: one for one in listed["CertificateSummaryList"]}
    assert summaries[arn]["DomainName"] == "www.example.com"
    acm.add_tags_to_certificate(CertificateArn=arn, Tags=[{"Key": "stage", "Value": "b"}])
    acm.remove_tags_from_certificate(CertificateArn=arn, Tags=[{"Key": "team", "Value": "other"}])
    found = acm.list_tags_for_certificate(CertificateArn=arn)["Tags"]
    assert {tag["Key"]: tag["Value"] for tag in found} == {"team": "a", "stage": "b"}
    acm.remove_tags_from_certificate(CertificateArn=arn, Tags=[{"Key": "team"}])
    with refused("InvalidTagException"):
        acm.add_tags_to_certificate(CertificateArn=arn, Tags=[{"Key": "aws:x", "Value": ""}])
    again = self_signed(tmp_path, "api.example.com")
    assert acm.import_certificate(CertificateArn=arn, **again)["CertificateArn"] == arn
    assert acm.describe_certificate(CertificateArn=arn)["Certificate"]["DomainName"] == (
        "api.example.com"
    )
    acm.delete_certificate(CertificateArn=arn)
    with refused("ResourceNotFoundException", arn):
        acm.describe_certificate(CertificateArn=arn)


def test_bad_certificates_are_refused(acm: Any, tmp_path: pathlib.Path) -> None:
    given = self_signed(tmp_path, "www.example.com")
    other = self_signed(tmp_path, "www.example.com")
    with refused("ValidationException", "does not match"):
        acm.import_certificate(**{**given, "PrivateKey": other["PrivateKey"]})
    with refused("ValidationException", "Unable to parse"):
        acm.import_certificate(**{**given, "Certificate": b"none"})
    weak = self_signed(tmp_path, "www.example.com", "-newkey", "rsa:1024")
    with refused("ValidationException", "The private key length 1024 is not supported"):
        acm.import_certificate(**weak)
    curve = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:secp521r1")
    with refused("ValidationException", "not supported"):
        acm.import_certificate(**self_signed(tmp_path, "www.example.com", *curve))
    for size in ("3072", "4096"):
        strong = self_signed(tmp_path, "www.example.com", "-newkey", f"rsa:{size}")
        arn = acm.import_certificate(**strong)["CertificateArn"]
        shown = acm.describe_certificate(CertificateArn=arn)["Certificate"]
        assert shown["KeyAlgorithm"] == f"RSA_{size}"
        acm.delete_certificate(CertificateArn=arn)
    with refused("ValidationException", "regular expression"):
        acm.request_certificate(DomainName="*.*.example.com")


def test_a_requested_certificate_is_issued(
    acm: Any, server: Server, tmp_path: pathlib.Path
) -> None:
    arn = cli(
        server.url,
        *("acm", "request-certificate", "--domain-name", "shop.example.com"),
        *("--subject-alternative-names", "*.shop.example.com", "--validation-method", "DNS"),
    )["CertificateArn"]
    cli(server.url, "acm", "wait", "certificate-validated", "--certificate-arn", arn)
    shown = acm.describe_certificate(CertificateArn=arn)["Certificate"]
    assert (shown["Type"], shown["Status"]) == ("AMAZON_ISSUED", "ISSUED")
    assert shown["SubjectAlternativeNames"] == ["shop.example.com", "*.shop.example.com"]
    proofs = shown["DomainValidationOptions"]
    assert [proof["ValidationStatus"] for proof in proofs] == ["SUCCESS"] * 2
    assert proofs[0]["ResourceRecord"]["Type"] == "CNAME"
    got = acm.get_certificate(CertificateArn=arn)
    (tmp_path / "ca.pem").write_text(longshore(server.url, "ctl", "ca").stdout)
    (tmp_path / "leaf.pem").write_text(got["Certificate"])
    verified = subprocess.run(
        [
            *("openssl", "verify", "-x509_strict", "-purpose", "sslserver"),
            *("-verify_hostname", "a.shop.example.com"),
            *("-CAfile", str(tmp_path / "ca.pem"), str(tmp_path / "leaf.pem")),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert verified.returncode == 0, verified.stdout + verified.stderr
    pages = acm.get_paginator("list_certificates").paginate(PaginationConfig={"PageSize": 1})
    arns = [one["CertificateArn"] for page in pages for one in page["CertificateSummaryList"]]
    assert arn in arns
    assert len(arns) == len(set(arns))
    acm.delete_certificate(CertificateArn=arn)


def test_https_by_certificates_chosen_by_name_and_changed_under_way(
    serving: tuple[World, Node, pathlib.Path],
    balancer: tuple[Any, str, str],
    tmp_path: pathlib.Path,
) -> None:
    world, _, trusted = serving
    elb, arn, host = balancer
    acm = client(world.server.url, service="acm")
    own = acm.request_certificate(DomainName=host)["CertificateArn"]
    shop = acm.request_certificate(
        DomainName="shop.example.com", SubjectAlternativeNames=["*.shop.example.com"]
    )["CertificateArn"]
    made = elb.create_listener(
        LoadBalancerArn=arn,
        Port=443,
        Protocol="HTTPS",
        Certificates=[{"CertificateArn": own}],
        DefaultActions=[fixed("safe")],
    )["Listeners"][0]
    listener = made["ListenerArn"]
    assert made["SslPolicy"].startswith("ELBSecurityPolicy-TLS13")
    assert made["Certificates"] == [{"CertificateArn": own}]
    elb.get_waiter("load_balancer_available").wait(LoadBalancerArns=[arn])
    until(lambda: connects(host, 443), f"{host} to listen")
    # The balancer's name as it stands.
    assert curl("--cacert", str(trusted), f"https://{host}/") == "safe"
    assert curl("--http1.1", "--cacert", str(trusted), f"https://{host}/") == "safe"
    # Names of its list.
    elb.add_listener_certificates(ListenerArn=listener, Certificates=[{"CertificateArn": shop}])
    resolve = ["--resolve", f"a.shop.example.com:443:{host}", "--cacert", str(trusted)]
    wanted = der(acm.get_certificate(CertificateArn=shop)["Certificate"])
    until(lambda: shown_to(host, 443, "a.shop.example.com") == wanted, "the certificate by name")
    assert curl(*resolve, "https://a.shop.example.com/") == "safe"
    shown = elb.describe_listener_certificates(ListenerArn=listener)["Certificates"]
    assert [(one["CertificateArn"], one["IsDefault"]) for one in shown] == [
        (own, True),
        (shop, False),
    ]
    assert acm.describe_certificate(CertificateArn=shop)["Certificate"]["InUseBy"] == [arn]
    for used in (own, shop):
        with refused("ResourceInUseException", "is in use"):
            acm.delete_certificate(CertificateArn=used)
    with refused("OperationNotPermitted"):
        elb.remove_listener_certificates(
            ListenerArn=listener, Certificates=[{"CertificateArn": own}]
        )
    # An imported one in place of the default one, and another one under the same ARN.
    first, second = (of_curve(tmp_path, "imported.example.com") for _ in range(2))
    imported = acm.import_certificate(**first)["CertificateArn"]
    elb.modify_listener(ListenerArn=listener, Certificates=[{"CertificateArn": imported}])
    until(lambda: shown_to(host, 443, None) == der(first["Certificate"]), "the imported one")
    with socket.create_connection((host, 443), timeout=5) as plain:
        context = ssl.create_default_context(cadata=first["Certificate"].decode())
        with context.wrap_socket(plain, server_hostname="imported.example.com") as tls:
            acm.import_certificate(CertificateArn=imported, **second)
            until(lambda: shown_to(host, 443, None) == der(second["Certificate"]), "the second one")
            # What was open goes on.
            tls.sendall(
                b"GET / HTTP/1.1\r\nHost: imported.example.com\r\nConnection: close\r\n\r\n"
            )
            answer = b"".join(iter(lambda: tls.recv(4096), b""))
            assert answer.startswith(b"HTTP/1.1 200") and answer.endswith(b"safe")
    elb.remove_listener_certificates(ListenerArn=listener, Certificates=[{"CertificateArn": shop}])
    until(
        lambda: shown_to(host, 443, "a.shop.example.com") == der(second["Certificate"]),
        "the default one where none has the name",
    )
    elb.delete_listener(ListenerArn=listener)
    for unused in (own, shop, imported):
        acm.delete_certificate(CertificateArn=unused)


def connects(host: str, port: int) -> bool:
    """Whether somebody listens."""
    try:
        socket.create_connection((host, port), timeout=5).close()
    except OSError:
        return False
    return True


def test_what_listeners_refuse(
    serving: tuple[World, Node, pathlib.Path], balancer: tuple[Any, str, str]
) -> None:
    world, _, _ = serving
    elb, arn, _ = balancer
    acm = client(world.server.url, service="acm")
    certificate = acm.request_certificate(DomainName="a.example.com")["CertificateArn"]
    own = [{"CertificateArn": certificate}]
    gone = [{"CertificateArn": f"{PREFIX}00000000-0000-0000-0000-000000000000"}]

    def make(port: int = 443, protocol: str = "HTTPS", **members: Any) -> str:
        given = {"LoadBalancerArn": arn, "Port": port, "Protocol": protocol}
        made = elb.create_listener(**given, DefaultActions=[fixed("a")], **members)
        return str(made["Listeners"][0]["ListenerArn"])

    with refused("CertificateNotFound", "must be specified"):
        make()
    with refused("CertificateNotFound", "not found"):
        make(Certificates=gone)
    with refused("ValidationError"):
        make(Certificates=[{"CertificateArn": "none"}])
    with refused("TooManyCertificates"):
        make(Certificates=[*own, *gone])
    with refused("SSLPolicyNotFound"):
        make(Certificates=own, SslPolicy="none")
    with refused("ValidationError"):
        make(80, "HTTP", Certificates=own)
    with refused("OperationNotPermitted", "Mutual authentication"):
        make(Certificates=own, MutualAuthentication={"Mode": "passthrough"})
    with refused("ValidationError"):
        make(Certificates=own, AlpnPolicy=["HTTP2Only"])
    plain, secure = make(80, "HTTP"), make(Certificates=own)
    with refused("ValidationError"):
        elb.add_listener_certificates(ListenerArn=plain, Certificates=own)
    with refused("CertificateNotFound"):
        elb.add_listener_certificates(ListenerArn=secure, Certificates=gone)
    with refused("CertificateNotFound"):
        elb.remove_listener_certificates(ListenerArn=secure, Certificates=gone)
    many = [
        acm.request_certificate(DomainName=f"n{number}.example.com")["CertificateArn"]
        for number in range(26)
    ]
    with refused("TooManyCertificates", "25"):
        elb.add_listener_certificates(
            ListenerArn=secure, Certificates=[{"CertificateArn": one} for one in many]
        )
    pages = elb.get_paginator("describe_listener_certificates")
    elb.add_listener_certificates(
        ListenerArn=secure,
        Certificates=[{"CertificateArn": one} for one in [certificate, *many[:3]]],
    )
    found = [
        (one["CertificateArn"], one["IsDefault"])
        for page in pages.paginate(ListenerArn=secure, PaginationConfig={"PageSize": 2})
        for one in page["Certificates"]
    ]
    # The default one is in the list as well, as in AWS.
    assert found[0] == (certificate, True)
    assert sorted(found[1:]) == sorted((one, False) for one in [certificate, *many[:3]])
    # Without TLS there are no certificates.
    changed = elb.modify_listener(ListenerArn=secure, Port=81, Protocol="HTTP")["Listeners"][0]
    assert "Certificates" not in changed and "SslPolicy" not in changed
    acm.delete_certificate(CertificateArn=certificate)
    with refused("CertificateNotFound"):
        elb.modify_listener(ListenerArn=secure, Protocol="HTTPS", Certificates=own)


def headers(*arguments: str) -> dict[str, str]:
    """Headers of an answer, by lower-case name."""
    lines = curl("--dump-header", "-", "--output", "/dev/null", *arguments).splitlines()
    pairs = (line.split(": ", 1) for line in lines if ": " in line)
    return {name.lower(): value for name, value in pairs}


def test_attributes_of_listeners(
    serving: tuple[World, Node, pathlib.Path], balancer: tuple[Any, str, str]
) -> None:
    world, _, trusted = serving
    elb, arn, host = balancer
    acm = client(world.server.url, service="acm")
    certificate = acm.request_certificate(DomainName=host)["CertificateArn"]
    listener = elb.create_listener(
        LoadBalancerArn=arn,
        Port=443,
        Protocol="HTTPS",
        Certificates=[{"CertificateArn": certificate}],
        DefaultActions=[fixed("a")],
    )["Listeners"][0]["ListenerArn"]
    shown = elb.describe_listener_attributes(ListenerArn=listener)["Attributes"]
    defaults = {one["Key"]: one["Value"] for one in shown}
    assert defaults["routing.http.response.server.enabled"] == "true"
    assert defaults["routing.http.response.x_frame_options.header_value"] == ""
    assert len(defaults) == 19

    def change(**values: str) -> None:
        given = [
            {"Key": f"routing.http.{key.replace('__', '.')}", "Value": value}
            for key, value in values.items()
        ]
        elb.modify_listener_attributes(ListenerArn=listener, Attributes=given)

    for bad in (
        {"response__x_frame_options__header_value": "MAYBE"},
        {"response__content_security_policy__header_value": "a\r\nb: c"},
        {"response__server__enabled": "perhaps"},
        {"response__nothing__header_value": "x"},
        {"request__x_amzn_tls_version__header_name": "Host"},
        {"request__x_amzn_tls_version__header_name": "x-amzn-tls-cipher-suite"},
    ):
        with refused("ValidationError"):
            change(**bad)
    change(
        response__strict_transport_security__header_value="max-age=63072000",
        response__x_frame_options__header_value="DENY",
        response__server__enabled="false",
    )
    until(lambda: connects(host, 443), f"{host} to listen")
    for version in ("--http1.1", "--http2"):
        ask = [version, "--cacert", str(trusted), f"https://{host}/"]
        until(lambda ask=ask: "server" not in headers(*ask), "the attributes")
        found = headers(*ask)
        assert found["strict-transport-security"] == "max-age=63072000"
        assert found["x-frame-options"] == "DENY"
    assert elb.set_ip_address_type(LoadBalancerArn=arn, IpAddressType="ipv4")["IpAddressType"] == (
        "ipv4"
    )
    with refused("InvalidConfigurationRequest", "IPv6"):
        elb.set_ip_address_type(LoadBalancerArn=arn, IpAddressType="dualstack")
    elb.delete_listener(ListenerArn=listener)
    acm.delete_certificate(CertificateArn=certificate)


def test_tls_ends_at_a_network_balancer(
    serving: tuple[World, Node, pathlib.Path], name: str
) -> None:
    world, _, trusted = serving
    elb, acm = (client(world.server.url, service=which) for which in ("elbv2", "acm"))
    short = name[-32:].strip("-")
    made = elb.create_load_balancer(Name=short, Type="network")["LoadBalancers"][0]
    host = made["DNSName"]
    certificate = acm.request_certificate(DomainName=host)["CertificateArn"]
    with socket.create_server((host.rsplit(".", 1)[0] + ".254", 0)) as target:
        address, port = target.getsockname()
        group = elb.create_target_group(
            Name=short, Protocol="TCP", Port=port, TargetType="ip", VpcId="vpc-1"
        )["TargetGroups"][0]["TargetGroupArn"]
        elb.register_targets(TargetGroupArn=group, Targets=[{"Id": address, "Port": port}])
        listener = elb.create_listener(
            LoadBalancerArn=made["LoadBalancerArn"],
            Port=4433,
            Protocol="TLS",
            Certificates=[{"CertificateArn": certificate}],
            AlpnPolicy=["HTTP2Preferred"],
            DefaultActions=[{"Type": "forward", "TargetGroupArn": group}],
        )["Listeners"][0]
        assert listener["AlpnPolicy"] == ["HTTP2Preferred"]
        until(lambda: connects(host, 4433), f"{host} to listen")
        context = ssl.create_default_context(cafile=str(trusted))
        context.set_alpn_protocols(["h2"])
        with (
            socket.create_connection((host, 4433), timeout=10) as plain,
            context.wrap_socket(plain, server_hostname=host) as tls,
        ):
            assert tls.selected_alpn_protocol() == "h2"
            tls.sendall(b"hello")
            target.settimeout(20)
            # Probes connect too, and say nothing.
            while True:
                connection, _ = target.accept()
                with connection:
                    said = connection.recv(5)
                    if said:
                        connection.sendall(said[::-1])
                        break
            assert said == b"hello"
            assert tls.recv(5) == b"olleh"
        key = "tcp.idle_timeout.seconds"
        arn = listener["ListenerArn"]
        shown = elb.describe_listener_attributes(ListenerArn=arn)["Attributes"]
        assert shown == [{"Key": key, "Value": "350"}]
        with refused("ValidationError"):
            elb.modify_listener_attributes(
                ListenerArn=arn, Attributes=[{"Key": key, "Value": "59"}]
            )
        changed = elb.modify_listener_attributes(
            ListenerArn=arn, Attributes=[{"Key": key, "Value": "60"}]
        )
        assert changed["Attributes"] == [{"Key": key, "Value": "60"}]
    elb.delete_load_balancer(LoadBalancerArn=made["LoadBalancerArn"])
