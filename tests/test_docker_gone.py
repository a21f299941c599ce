"""Docker goes away, or stops answering, and comes back: no task is stuck without a reason."""

import asyncio
import contextlib
import pathlib
import threading
from collections.abc import Callable, Iterator

import pytest
from harness.process import World
from harness.tasks import Tasks

DOCKER = "/var/run/docker.sock"


class Proxy:
    """A socket in front of Docker's that can be shut, as if the daemon were gone."""

    def __init__(self, path: pathlib.Path) -> None:
        self.path = path
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self.thread.start()
        self.server: asyncio.Server | None = None
        self.writers: set[asyncio.StreamWriter] = set()

    def open(self) -> None:
        """Docker can be reached."""
        asyncio.run_coroutine_threadsafe(self._open(), self.loop).result(10)

    def shut(self) -> None:
        """Docker is gone: connections break, and new ones are refused."""
        asyncio.run_coroutine_threadsafe(self._shut(), self.loop).result(10)

    def close(self) -> None:
        """Ends the proxy."""
        if self.server:
            self.shut()
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join(10)

    async def _open(self) -> None:
        self.server = await asyncio.start_unix_server(self._connected, str(self.path))

    async def _shut(self) -> None:
        assert self.server is not None
        self.server.close()
        self.server = None
        self.path.unlink(missing_ok=True)
        for writer in self.writers:
            writer.transport.abort()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        upstream_reader, upstream_writer = await asyncio.open_unix_connection(DOCKER)
        both = {writer, upstream_writer}
        self.writers |= both
        with contextlib.suppress(OSError):
            await asyncio.gather(
                self._copy(reader, upstream_writer), self._copy(upstream_reader, writer)
            )
        for each in both:
            each.transport.abort()
        self.writers -= both

    async def _copy(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
        if writer.can_write_eof():
            writer.write_eof()


@pytest.fixture
def docker(tmp_path: pathlib.Path) -> Iterator[Proxy]:
    """A door to Docker that the test can shut."""
    proxy = Proxy(tmp_path / "docker.sock")
    proxy.open()
    yield proxy
    proxy.close()


def test_without_docker_a_task_fails_and_the_others_stay(
    new_world: Callable[[int], World], docker: Proxy, name: str
) -> None:
    world = new_world(0)
    agent = world.add_agent("--docker-socket", str(docker.path))
    tasks = Tasks(world, name)
    definition = tasks.define({})
    before = tasks.wait(tasks.run(definition)["taskArn"], "RUNNING")

    docker.shut()
    failed = tasks.wait(tasks.run(definition)["taskArn"], "STOPPED")
    assert failed["stopCode"] == "TaskFailedToStart"
    assert failed["stoppedReason"].startswith("Cannot"), failed["stoppedReason"]
    assert agent.alive
    assert tasks.describe(before["taskArn"])["lastStatus"] == "RUNNING"

    docker.open()
    after = tasks.wait(tasks.run(definition)["taskArn"], "RUNNING")
    assert tasks.describe(before["taskArn"])["lastStatus"] == "RUNNING"
    tasks.stop_all()
    stopped = tasks.wait(before["taskArn"], "STOPPED")
    assert stopped["stopCode"] == "UserInitiated"
    tasks.wait(after["taskArn"], "STOPPED")
