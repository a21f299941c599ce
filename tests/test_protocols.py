"""What balancers speak beside HTTP/1: WebSocket, gRPC and HTTP/2, with the usual clients of each.

The targets are servers in this process, registered by address; the balancer is a real one.
"""

import enum
import pathlib
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from concurrent import futures

import grpc
import pytest
from harness.aws import client
from harness.balancing import Node, addresses
from harness.cli import longshore
from harness.process import Server
from harness.wait import until
from hpack import Decoder, Encoder
from hyperframe.frame import (
    ContinuationFrame,
    DataFrame,
    Frame,
    GoAwayFrame,
    HeadersFrame,
    PingFrame,
    PushPromiseFrame,
    RstStreamFrame,
    SettingsFrame,
    WindowUpdateFrame,
)
from websockets.exceptions import ConnectionClosed
from websockets.sync import client as websocket_client
from websockets.sync.server import ServerConnection, serve

MIB = 1024 * 1024


class ErrorCode(enum.IntEnum):
    """RFC 9113, section 7."""

    PROTOCOL_ERROR = 1
    FLOW_CONTROL_ERROR = 3
    STREAM_CLOSED = 5
    FRAME_SIZE_ERROR = 6
    CANCEL = 8
    COMPRESSION_ERROR = 9
    ENHANCE_YOUR_CALM = 11


PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"


class Edge:
    """A balancer with a listener for HTTP and one for HTTPS."""

    def __init__(self, server: Server, trusted: pathlib.Path, name: str) -> None:
        self.elb = client(server.url, service="elbv2")
        self.acm = client(server.url, service="acm")
        self.trusted = trusted
        self.short = name[-32:].strip("-")
        made = self.elb.create_load_balancer(Name=self.short)["LoadBalancers"][0]
        self.arn, self.host = made["LoadBalancerArn"], made["DNSName"]

    def forwards_to(self, port: int, version: str = "HTTP1") -> None:
        """Both listeners to one target on this machine (gRPC over TLS alone, as ALB has it)."""
        matcher = {"GrpcCode": "0-99"} if version == "GRPC" else {"HttpCode": "200-499"}
        group = self.elb.create_target_group(
            Name=self.short,
            Protocol="HTTP",
            ProtocolVersion=version,
            Port=port,
            TargetType="ip",
            HealthCheckIntervalSeconds=5,
            HealthCheckTimeoutSeconds=2,
            Matcher=matcher,
        )["TargetGroups"][0]["TargetGroupArn"]
        action = {"Type": "forward", "TargetGroupArn": group}
        certificate = self.acm.request_certificate(DomainName=self.host)["CertificateArn"]
        self.elb.create_listener(
            LoadBalancerArn=self.arn,
            Port=443,
            Protocol="HTTPS",
            Certificates=[{"CertificateArn": certificate}],
            DefaultActions=[action],
        )
        if version == "HTTP1":
            self.elb.create_listener(
                LoadBalancerArn=self.arn, Port=80, Protocol="HTTP", DefaultActions=[action]
            )
        self.elb.register_targets(TargetGroupArn=group, Targets=[{"Id": "127.0.0.1"}])

        def healthy() -> bool:
            found = self.elb.describe_target_health(TargetGroupArn=group)
            states = [t["TargetHealth"]["State"] for t in found["TargetHealthDescriptions"]]
            return states == ["healthy"]

        until(healthy, "a healthy target", 60)

    def tls(self, *protocols: str) -> ssl.SSLSocket:
        """A connection with TLS, checked against the local authority."""
        context = ssl.create_default_context(cafile=str(self.trusted))
        context.set_alpn_protocols(list(protocols))
        connection = socket.create_connection((self.host, 443), timeout=10)
        tls = context.wrap_socket(connection, server_hostname=self.host)
        assert tls.selected_alpn_protocol() == protocols[0]
        return tls


@pytest.fixture(scope="module")
def edges(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], Edge]]:
    """Makes balancers that a node serves."""
    folder = tmp_path_factory.mktemp("protocols")
    server = Server(folder, "--open", "--balancer-addresses", addresses()).start()
    node = Node(server)
    trusted = folder / "ca.pem"
    try:
        node.spawn()
        trusted.write_text(longshore(server.url, "ctl", "ca").stdout)
        yield lambda name: Edge(server, trusted, name)
        assert node.alive, node.tail()
    finally:
        node.stop()
        server.stop()


def test_websockets_pass(edges: Callable[[str], Edge], name: str) -> None:
    def echo(connection: ServerConnection) -> None:
        assert connection.request is not None
        connection.send(connection.request.headers["X-Forwarded-Proto"])
        for message in connection:
            if message == "bye":
                connection.close(4001, "as asked")
                return
            connection.send(message)

    with serve(echo, "127.0.0.1", 0, max_size=4 * MIB) as target:
        threading.Thread(target=target.serve_forever, daemon=True).start()
        edge = edges(name)
        edge.forwards_to(target.socket.getsockname()[1])
        context = ssl.create_default_context(cafile=str(edge.trusted))
        for scheme, options in (("ws", {}), ("wss", {"ssl": context})):
            url = f"{scheme}://{edge.host}/chat"
            with websocket_client.connect(url, max_size=4 * MIB, **options) as socket_:
                assert socket_.recv() == {"ws": "http", "wss": "https"}[scheme]
                for message in ("héllo", b"x" * 2 * MIB, ""):
                    socket_.send(message)
                    assert socket_.recv(timeout=10) == message
                assert socket_.ping().wait(10), "pings reach the target and come back"
                socket_.send("bye")
                with pytest.raises(ConnectionClosed) as closed:
                    socket_.recv(timeout=10)
                assert closed.value.rcvd is not None
                assert (closed.value.rcvd.code, closed.value.rcvd.reason) == (4001, "as asked")
        target.shutdown()


class Greeter(grpc.GenericRpcHandler):
    """Calls of all four kinds, in bytes."""

    def service(self, details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler | None:
        def one(request: bytes, context: grpc.ServicerContext) -> bytes:
            metadata = dict(context.invocation_metadata())
            context.set_trailing_metadata((("who", metadata.get("who", "nobody")),))
            if request == b"fail":
                context.abort(grpc.StatusCode.FAILED_PRECONDITION, "not now")
            if request == b"wait":
                context.add_callback(self.gone.set)
                self.gone.wait(30)
            return b"hello " + request

        def many(request: bytes, _context: grpc.ServicerContext) -> Iterator[bytes]:
            for number in range(int(request)):
                yield b"%d" % number

        def gather(requests: Iterator[bytes], _context: grpc.ServicerContext) -> bytes:
            return b"".join(requests)

        def each(requests: Iterator[bytes], _context: grpc.ServicerContext) -> Iterator[bytes]:
            for request in requests:
                yield request.upper()

        return {
            "/test.Greeter/One": grpc.unary_unary_rpc_method_handler(one),
            "/test.Greeter/Many": grpc.unary_stream_rpc_method_handler(many),
            "/test.Greeter/Gather": grpc.stream_unary_rpc_method_handler(gather),
            "/test.Greeter/Each": grpc.stream_stream_rpc_method_handler(each),
        }.get(details.method)

    def __init__(self) -> None:
        self.gone = threading.Event()


def test_grpc_calls_pass(edges: Callable[[str], Edge], name: str) -> None:
    greeter = Greeter()
    target = grpc.server(futures.ThreadPoolExecutor(8), handlers=[greeter])
    port = target.add_insecure_port("127.0.0.1:0")
    target.start()
    edge = edges(name)
    edge.forwards_to(port, "GRPC")
    trusted = grpc.ssl_channel_credentials(edge.trusted.read_bytes())
    with grpc.secure_channel(f"{edge.host}:443", trusted) as channel:
        one = channel.unary_unary("/test.Greeter/One")
        answer, call = one.with_call(b"you", metadata=(("who", "me"),), timeout=10)
        assert answer == b"hello you"
        assert dict(call.trailing_metadata())["who"] == "me"
        with pytest.raises(grpc.RpcError) as failed:
            one(b"fail", timeout=10)
        assert failed.value.code() == grpc.StatusCode.FAILED_PRECONDITION
        assert failed.value.details() == "not now"
        with pytest.raises(grpc.RpcError) as unknown:
            channel.unary_unary("/test.Greeter/None")(b"", timeout=10)
        assert unknown.value.code() == grpc.StatusCode.UNIMPLEMENTED
        many = channel.unary_stream("/test.Greeter/Many")(b"1000", timeout=10)
        assert list(many) == [b"%d" % number for number in range(1000)]
        large = [bytes([letter]) * MIB for letter in b"abc"]
        gather = channel.stream_unary("/test.Greeter/Gather")
        assert gather(iter([b"a", b"b" * MIB, b"c"]), timeout=10) == b"a" + b"b" * MIB + b"c"
        each = channel.stream_stream("/test.Greeter/Each")(iter(large), timeout=10)
        assert list(each) == [part.upper() for part in large]
        with pytest.raises(grpc.RpcError) as late:
            one(b"wait", timeout=1)
        assert late.value.code() == grpc.StatusCode.DEADLINE_EXCEEDED
        assert greeter.gone.wait(10), "the target hears that the client has gone"
    target.stop(None)


class Speaker:
    """Says HTTP/2 frame by frame, also such as no library would."""

    def __init__(self, edge: Edge) -> None:
        self.host = edge.host
        self.socket = edge.tls("h2")
        self.encoder, self.decoder = Encoder(), Decoder()
        self.say(PREFACE, SettingsFrame(0))

    def say(self, *frames: Frame | bytes) -> None:
        """Sends frames."""
        said = (frame if isinstance(frame, bytes) else frame.serialize() for frame in frames)
        self.socket.sendall(b"".join(said))

    def headers(self, *more: tuple[str, str], path: str = "/") -> bytes:
        """A header block of a request."""
        usual = [(":method", "GET"), (":scheme", "https"), (":authority", self.host)]
        return bytes(self.encoder.encode([*usual, (":path", path), *more]))

    def frames(self) -> Iterator[Frame]:
        """What comes, until the connection ends."""
        buffer = b""
        while True:
            try:
                came = self.socket.recv(65536)
            except ConnectionError:
                return
            if not came:
                return
            buffer += came
            while len(buffer) >= 9:
                frame, length = Frame.parse_frame_header(memoryview(buffer[:9]))
                if len(buffer) < 9 + length:
                    break
                frame.parse_body(memoryview(buffer[9 : 9 + length]))
                buffer = buffer[9 + length :]
                yield frame

    def verdict(self) -> int | None:
        """The error that ends stream or connection; `None` where it ends without a word."""
        for frame in self.frames():
            if isinstance(frame, RstStreamFrame | GoAwayFrame):
                return int(frame.error_code)
            if isinstance(frame, HeadersFrame):
                status = dict(self.decoder.decode(frame.data))[":status"]
                assert status == "400", "no answer to what is broken"
                return int(ErrorCode.PROTOCOL_ERROR)
        return None

    def answers(self, count: int) -> dict[int, bytes]:
        """Waits for so many whole answers, by stream."""
        bodies: dict[int, bytes] = {}
        ended = 0
        for frame in self.frames():
            if isinstance(frame, HeadersFrame):
                assert dict(self.decoder.decode(frame.data))[":status"] == "200"
            if isinstance(frame, DataFrame):
                bodies[frame.stream_id] = bodies.get(frame.stream_id, b"") + frame.data
            ended += "END_STREAM" in frame.flags
            if ended == count:
                break
        return bodies


def request(connection: Speaker, *more: tuple[str, str], stream: int = 1) -> HeadersFrame:
    """A request that is complete."""
    return HeadersFrame(stream, connection.headers(*more), flags=["END_HEADERS", "END_STREAM"])


def oversized(_: Speaker) -> bytes:
    """The head of a frame of 64 KiB, which nobody has allowed."""
    return (65536).to_bytes(3, "big") + bytes([0, 0, 0, 0, 0, 1]) + b"x" * 65536


def ping_of_six(_: Speaker) -> bytes:
    return (6).to_bytes(3, "big") + bytes([6, 0, 0, 0, 0, 0]) + b"sixsix"


def opened(speaker: Speaker) -> HeadersFrame:
    """A request whose body is still to come."""
    return HeadersFrame(1, speaker.headers(), flags=["END_HEADERS"])


# RFC 9113: what breaks it, and the error that is due; several where it leaves the choice.
BROKEN: dict[str, tuple[Callable[[Speaker], list[Frame | bytes]], set[ErrorCode]]] = {
    "data on stream 0": (
        lambda _: [
            DataFrame(0x7FFFFFFF, b"x").serialize().replace(b"\x7f\xff\xff\xff", b"\0\0\0\0")
        ],
        {ErrorCode.PROTOCOL_ERROR},
    ),
    "data on an idle stream": (
        lambda _: [DataFrame(1, b"x")],
        {ErrorCode.PROTOCOL_ERROR, ErrorCode.STREAM_CLOSED},
    ),
    "an even stream": (lambda s: [request(s, stream=2)], {ErrorCode.PROTOCOL_ERROR}),
    "a stream that goes back": (
        lambda s: [request(s, stream=5), request(s, stream=3)],
        {ErrorCode.PROTOCOL_ERROR, ErrorCode.STREAM_CLOSED},
    ),
    "a window of 2^31": (
        lambda _: [SettingsFrame(settings={SettingsFrame.INITIAL_WINDOW_SIZE: 2**31})],
        {ErrorCode.FLOW_CONTROL_ERROR},
    ),
    "a push that is neither on nor off": (
        lambda _: [SettingsFrame(settings={SettingsFrame.ENABLE_PUSH: 2})],
        {ErrorCode.PROTOCOL_ERROR},
    ),
    "an increment of 0": (
        lambda _: [b"\0\0\x04\x08\0\0\0\0\0\0\0\0\0"],
        {ErrorCode.PROTOCOL_ERROR},
    ),
    "a window that overflows": (
        lambda _: [WindowUpdateFrame(0, window_increment=2**31 - 1)] * 2,
        {ErrorCode.FLOW_CONTROL_ERROR},
    ),
    "a ping of six bytes": (lambda s: [ping_of_six(s)], {ErrorCode.FRAME_SIZE_ERROR}),
    "a frame too large": (lambda s: [oversized(s)], {ErrorCode.FRAME_SIZE_ERROR}),
    "a continuation of nothing": (
        lambda s: [ContinuationFrame(1, s.headers(), flags=["END_HEADERS"])],
        {ErrorCode.PROTOCOL_ERROR},
    ),
    "another frame within headers": (
        lambda s: [HeadersFrame(1, s.headers(), flags=["END_STREAM"]), PingFrame(0)],
        {ErrorCode.PROTOCOL_ERROR},
    ),
    "a client that pushes": (
        lambda s: [
            opened(s),
            PushPromiseFrame(1, promised_stream_id=4, data=s.headers(), flags=["END_HEADERS"]),
        ],
        {ErrorCode.PROTOCOL_ERROR},
    ),
    "a header that is not in the table": (
        lambda _: [HeadersFrame(1, b"\xff\xff\x7f", flags=["END_HEADERS", "END_STREAM"])],
        {ErrorCode.COMPRESSION_ERROR},
    ),
    "a name in capitals": (
        lambda s: [request(s, ("X-Upper", "a"))],
        {ErrorCode.PROTOCOL_ERROR},
    ),
    "a header of a connection": (
        lambda s: [request(s, ("connection", "close"))],
        {ErrorCode.PROTOCOL_ERROR},
    ),
    "a pseudo-header that is none": (
        lambda s: [request(s, (":none", "a"))],
        {ErrorCode.PROTOCOL_ERROR},
    ),
    "no path": (
        lambda s: [HeadersFrame(1, s.headers(path=""), flags=["END_HEADERS", "END_STREAM"])],
        {ErrorCode.PROTOCOL_ERROR},
    ),
    "less body than was said": (
        lambda s: [
            HeadersFrame(1, s.headers(("content-length", "5")), flags=["END_HEADERS"]),
            DataFrame(1, b"x", flags=["END_STREAM"]),
        ],
        {ErrorCode.PROTOCOL_ERROR},
    ),
    "data after the end": (
        lambda s: [request(s), DataFrame(1, b"x")],
        {ErrorCode.STREAM_CLOSED},
    ),
}


@pytest.fixture(scope="module")
def spoken(edges: Callable[[str], Edge]) -> Iterator[Edge]:
    """A balancer before a target that answers `hello`, a moment after it was asked."""

    def answer(connection: socket.socket) -> None:
        with connection:
            while head := connection.recv(65536):
                if head.endswith(b"\r\n\r\n"):
                    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello")

    def accept() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=answer, args=(connection,), daemon=True).start()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=accept, daemon=True).start()
        edge = edges(f"spoken-{listener.getsockname()[1]}")
        edge.forwards_to(listener.getsockname()[1])
        yield edge
        listener.shutdown(socket.SHUT_RDWR)


def serves(edge: Edge) -> None:
    """A client that behaves is answered."""
    speaker = Speaker(edge)
    with speaker.socket:
        speaker.say(request(speaker))
        assert speaker.answers(1) == {1: b"hello"}


@pytest.mark.parametrize("broken", BROKEN)
def test_http2_that_is_broken_is_refused(spoken: Edge, broken: str) -> None:
    said, due = BROKEN[broken]
    speaker = Speaker(spoken)
    with speaker.socket:
        speaker.say(*said(speaker))
        # Where the RFC has an error of its own, the plain one says as much to a client.
        assert speaker.verdict() in due | {ErrorCode.PROTOCOL_ERROR}
    serves(spoken)


def test_http2_answers_many_streams_at_once(spoken: Edge) -> None:
    speaker = Speaker(spoken)
    streams = range(1, 101, 2)
    with speaker.socket:
        speaker.say(*(request(speaker, stream=stream) for stream in streams))
        assert speaker.answers(len(streams)) == dict.fromkeys(streams, b"hello")


def test_rapid_resets_are_bounded(spoken: Edge) -> None:
    speaker = Speaker(spoken)
    with speaker.socket:
        try:
            for stream in range(1, 20_001, 2):
                cancel = RstStreamFrame(stream, error_code=ErrorCode.CANCEL)
                speaker.say(request(speaker, stream=stream), cancel)
        except OSError:
            pass  # It has closed the connection, which is what it should do.
        else:
            assert speaker.verdict() == ErrorCode.ENHANCE_YOUR_CALM
    serves(spoken)
