"""Whatever unmodified botocore signs verifies, and nothing of it once a byte has changed.

Requests are random: methods, paths, queries and headers of all scripts, bodies, session tokens, in
headers and as URLs, for several services; some are calls of real clients. `SIGNING_SEED` repeats a
run, which prints its seed when it fails.
"""

import contextlib
import json
import os
import random
import re
import string
import subprocess
import time
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import quote, urlsplit

import botocore.auth
import botocore.config
import botocore.session
import pytest
from botocore.awsrequest import AWSPreparedRequest, AWSRequest, AWSResponse
from botocore.credentials import Credentials
from botocore.exceptions import BotoCoreError, ClientError
from botocore.parsers import ResponseParserError
from harness.process import ROOT

SEED = int(os.environ.get("SIGNING_SEED", "20260601"))
RANDOM = 4000
CALLS = 600
CHANGES = 2

ALPHABET = string.ascii_letters + string.digits + "-_.~ !$&'()*+,;=:@%/?#[]\"<>\\^`{|}éßπЖ漢😀\t"
SERVICES = ["ecs", "elasticloadbalancing", "ec2", "autoscaling", "iam", "sts", "logs", "s3"]
REGIONS = ["us-east-1", "eu-central-1", "local"]

Line = dict[str, Any]


@pytest.fixture(scope="module")
def verifier() -> list[str]:
    """The command that verifies lines."""
    command = ["cargo", "build", "-p", "longshore-auth", "--example", "verify"]
    built = subprocess.run(
        [*command, "--message-format=json"], cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True
    )
    messages = [json.loads(line) for line in built.stdout.splitlines()]
    return [m["executable"] for m in messages if m.get("executable")][-1:]


def verify(verifier: list[str], lines: list[Line]) -> list[str]:
    """What the verifier says of each line."""
    text = "".join(json.dumps(line) + "\n" for line in lines)
    done = subprocess.run(verifier, input=text, stdout=subprocess.PIPE, text=True, check=True)
    answers = done.stdout.splitlines()
    assert len(answers) == len(lines)
    return answers


def word(rng: random.Random, most: int = 12) -> str:
    return "".join(rng.choices(ALPHABET, k=rng.randint(0, most)))


def credentials(rng: random.Random) -> Credentials:
    key = "AKIA" + "".join(rng.choices(string.ascii_uppercase + string.digits, k=16))
    secret = "".join(rng.choices(string.ascii_letters + string.digits + "/+", k=40))
    letters = string.ascii_letters + string.digits + "/+="
    token = "".join(rng.choices(letters, k=rng.randint(1, 400)))
    return Credentials(key, secret, token if rng.random() < 0.4 else None)


def line(request: AWSPreparedRequest, creds: Credentials, service: str, region: str) -> Line:
    """A request as it would go over the wire."""
    url = urlsplit(request.url)
    body = request.body or b""
    if hasattr(body, "read"):
        body = body.read()
    text = [(n, v.decode() if isinstance(v, bytes) else str(v)) for n, v in request.headers.items()]
    headers = dict(text)
    if not any(name.lower() == "host" for name in headers):
        headers["Host"] = url.netloc
    return {
        "method": request.method,
        "path": url.path,
        "query": url.query,
        "headers": [list(pair) for pair in headers.items()],
        "body": (body.encode() if isinstance(body, str) else body).hex(),
        "service": service,
        "region": region,
        "now_s": int(time.time()),
        "access_key": creds.access_key,
        "secret_key": creds.secret_key,
        "token": creds.token,
    }


def random_request(rng: random.Random) -> Line:
    """A request of no particular API, signed by one of botocore's signers."""
    service, region, creds = rng.choice(SERVICES), rng.choice(REGIONS), credentials(rng)
    path = "".join(
        "/" + quote(word(rng), safe=rng.choice(["", "-_.~", "!$&'()*+,;=:@"]))
        for _ in range(rng.randint(0, 4))
    )
    if rng.random() < 0.1 and service != "s3":
        path += rng.choice(["//", "/./x", "/a/../b", "/.."])
    pairs = [(word(rng) or "k", word(rng)) for _ in range(rng.randint(0, 5))]
    url = f"http://{rng.choice(['127.0.0.1:4566', 'ecs.us-east-1.amazonaws.com'])}{path or '/'}"
    params: dict[str, str] = {}
    if rng.random() < 0.5:
        params = dict(pairs)
    elif pairs:
        url += "?" + "&".join(f"{quote(k, safe='-_.~')}={quote(v, safe='-_.~')}" for k, v in pairs)
    headers = {
        f"x-{''.join(rng.choices(string.ascii_letters, k=6))}": header_value(rng)
        for _ in range(rng.randint(0, 3))
    }
    if rng.random() < 0.5:
        headers["Content-Type"] = rng.choice(["application/x-amz-json-1.1", "text/plain;  a=b"])
    presigned = rng.random() < 0.35
    body = b"" if presigned else rng.randbytes(rng.choice([0, 1, 20, 3000]))
    method = rng.choice(["GET", "POST", "PUT", "DELETE", "HEAD"])
    request = AWSRequest(method=method, url=url, headers=headers, data=body, params=params)
    request.context["client_config"] = botocore.config.Config()
    s3 = service == "s3"
    if presigned:
        signer = botocore.auth.S3SigV4QueryAuth if s3 else botocore.auth.SigV4QueryAuth
        signer(creds, service, region, expires=rng.randint(60, 604800)).add_auth(request)
    else:
        signer = botocore.auth.S3SigV4Auth if s3 else botocore.auth.SigV4Auth
        signer(creds, service, region).add_auth(request)
    return line(request.prepare(), creds, service, region)


def header_value(rng: random.Random) -> str:
    """Words with white space of all sorts around and between."""
    gaps = ["", " ", "  ", "\t", " \t "]
    words = [
        "".join(rng.choices(string.ascii_letters + '=;,"', k=rng.randint(1, 6))) for _ in range(3)
    ]
    return "".join(rng.choice(gaps) + w for w in words) + rng.choice(gaps)


class Nothing:
    """An empty answer."""

    def stream(self, **_: Any) -> Iterator[bytes]:
        yield b"{}"


def calls(rng: random.Random) -> Iterator[Line]:
    """Calls of real clients, caught before they are sent."""
    session = botocore.session.get_session()
    config = botocore.config.Config(
        retries={"total_max_attempts": 1}, request_checksum_calculation="when_required"
    )
    caught: list[AWSPreparedRequest] = []

    def catch(request: AWSPreparedRequest, **_: Any) -> AWSResponse:
        caught.append(request)
        return AWSResponse(request.url, 200, {}, Nothing())

    creds = {service: credentials(rng) for service in SERVICES}
    names = {"elasticloadbalancing": "elbv2"}
    clients: dict[str, Any] = {}
    for service in SERVICES:
        clients[service] = session.create_client(
            names.get(service, service),
            region_name="us-east-1",
            endpoint_url="http://127.0.0.1:4566",
            aws_access_key_id=creds[service].access_key,
            aws_secret_access_key=creds[service].secret_key,
            aws_session_token=creds[service].token,
            # S3's URLs would have the older signature.
            config=config.merge(botocore.config.Config(signature_version="s3v4"))
            if service == "s3"
            else config,
        )
        clients[service].meta.events.register("before-send.*", catch)

    def text() -> str:
        return word(rng, 30) or "x"

    def url(service: str, operation: str, **params: Any) -> Callable[[], None]:
        def sign() -> None:
            client = clients[service]
            signed = client.generate_presigned_url(operation, params, 600, HttpMethod="GET")
            request = AWSRequest(method="GET", url=signed)
            caught.append(request.prepare())

        return sign

    c = clients
    lb = "elasticloadbalancing"
    kinds: list[tuple[str, Callable[[], Any]]] = [
        (
            "ecs",
            lambda: c["ecs"].run_task(
                cluster=text(), taskDefinition=text(), tags=[{"key": text(), "value": text()}]
            ),
        ),
        ("ecs", lambda: c["ecs"].list_clusters()),
        (lb, lambda: c[lb].describe_target_groups(Names=[text(), text()])),
        (
            "ec2",
            lambda: c["ec2"].describe_instances(Filters=[{"Name": text(), "Values": [text()]}]),
        ),
        ("autoscaling", lambda: c["autoscaling"].describe_auto_scaling_groups(NextToken=text())),
        ("iam", lambda: c["iam"].create_role(RoleName=text(), AssumeRolePolicyDocument=text())),
        (
            "sts",
            lambda: c["sts"].assume_role(
                RoleArn="arn:aws:iam::111122223333:role/" + text(), RoleSessionName="ss" + text()
            ),
        ),
        ("sts", url("sts", "get_caller_identity")),
        (
            "logs",
            lambda: c["logs"].put_log_events(
                logGroupName=text(),
                logStreamName=text(),
                logEvents=[{"timestamp": 1, "message": text()}],
            ),
        ),
        (
            "s3",
            lambda: c["s3"].get_object(
                Bucket="bucket", Key=text().lstrip("/") or "k", VersionId=text()
            ),
        ),
        ("s3", lambda: c["s3"].put_object(Bucket="bucket", Key="k" + text(), Body=text().encode())),
        ("s3", url("s3", "get_object", Bucket="bucket", Key="k" + text())),
    ]
    for _ in range(CALLS):
        service, call = rng.choice(kinds)
        caught.clear()
        # The answer is none of the service's; the request is all that counts.
        with contextlib.suppress(BotoCoreError, ClientError, ResponseParserError):
            call()
        yield line(caught[-1], creds[service], service, "us-east-1")


def signed_headers(request: Line) -> set[str]:
    every = [request["query"], *[value for _, value in request["headers"]]]
    names = [re.search(r"SignedHeaders=([^,&\s]+)", text) for text in every]
    found = next(match.group(1) for match in names if match)
    return {*found.lower().replace("%3b", ";").split(";"), "authorization"}


def other(text: str, at: int) -> str:
    """Another letter or digit at this place: never one that means the same."""
    for letters in (string.ascii_lowercase, string.ascii_uppercase, string.digits):
        if text[at] in letters:
            return (
                text[:at] + letters[(letters.index(text[at]) + 1) % len(letters)] + text[at + 1 :]
            )
    raise ValueError(text[at])


def change(request: Line, rng: random.Random) -> Line:
    """The request with one byte changed that its signature covers."""
    changed = json.loads(json.dumps(request))
    values = {name.lower(): value for name, value in request["headers"]}
    unsigned = values.get("x-amz-content-sha256") == "UNSIGNED-PAYLOAD" or (
        request["service"] == "s3" and "X-Amz-Signature" in request["query"]
    )
    signed = signed_headers(request)
    # Dot segments fall away before signing, and what stood before them.
    places = [
        (name,)
        for name in ("method", "path", "query")
        if name != "path" or "/." not in request["path"]
    ]
    places += [
        ("headers", at, 1)
        for at, (name, _) in enumerate(request["headers"])
        if name.lower() in signed
    ]
    if request["body"] and not unsigned:
        places.append(("body",))
    while True:
        place = rng.choice(places)
        holder: Any = changed
        for step in place[:-1]:
            holder = holder[step]
        text = holder[place[-1]]
        if place == ("body",):
            at = rng.randrange(len(text) // 2) * 2
            byte = int(text[at : at + 2], 16) ^ (1 << rng.randrange(8))
            holder["body"] = f"{text[:at]}{byte:02x}{text[at + 2 :]}"
            return changed
        at_all = [at for at, char in enumerate(text) if char.isascii() and char.isalnum()]
        if at_all:
            holder[place[-1]] = other(text, rng.choice(at_all))
            return changed


def test_what_botocore_signs_verifies_until_a_byte_changes(verifier: list[str]) -> None:
    print(f"SIGNING_SEED={SEED}")
    rng = random.Random(SEED)
    requests = [random_request(rng) for _ in range(RANDOM)]
    requests += calls(rng)
    for request, answer in zip(requests, verify(verifier, requests), strict=True):
        assert answer == "ok", (SEED, request)
    changed = [change(request, rng) for request in requests for _ in range(CHANGES)]
    originals = [request for request in requests for _ in range(CHANGES)]
    answers = verify(verifier, changed)
    refusals = {
        "InvalidClientTokenId",
        "IncompleteSignature",
        "MissingAuthenticationToken",
        "SignatureDoesNotMatch",
    }
    for request, before, answer in zip(changed, originals, answers, strict=True):
        assert answer in refusals, (SEED, before, request)
    # Each way of refusing is met.
    assert set(answers) == refusals
