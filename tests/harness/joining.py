"""A world whose machines join by tokens."""

from __future__ import annotations

import json
import os
import pathlib
import subprocess
from typing import Any

from harness.identity import Guarded, Key
from harness.process import Agent, World, binary

# Exit code of an agent that is not to be started again.
TERMINAL = 5


class Joined(World):
    """A world whose agents have no keys but those that they got by a token."""

    def __init__(
        self, folder: pathlib.Path, image: str, *options: str, address: str = "127.0.0.1"
    ) -> None:
        self.guarded = Guarded(folder, *options, address=address)
        self.admin = self.guarded.admin
        self.guarded.server.ecs = self.admin.ecs
        super().__init__(folder, "join", image, server=self.guarded.server)

    def ctl(self, key: Key, *options: str) -> subprocess.CompletedProcess[str]:
        """`longshore ctl join-token`."""
        return subprocess.run(
            [binary(), "--endpoint", self.server.url, "ctl", "join-token", *options],
            env={
                "PATH": os.environ["PATH"],
                "AWS_ACCESS_KEY_ID": key.id,
                "AWS_SECRET_ACCESS_KEY": key.secret,
                **({"LONGSHORE_CA_FILE": str(self.server.ca)} if self.server.ca else {}),
            },
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def token(self, *options: str) -> str:
        """A token."""
        done = self.ctl(self.admin, *options)
        assert done.returncode == 0, done.stderr
        [token] = done.stdout.splitlines()
        return token

    def agent(self, token: str, *options: str) -> Agent:
        """An agent that is to join."""
        agent = Agent(self.server, self.cluster, *options)
        # The endpoint is in the token.
        at = agent.arguments.index("--endpoint")
        del agent.arguments[at : at + 2]
        agent.environment |= {
            "AWS_ACCESS_KEY_ID": "",
            "AWS_SECRET_ACCESS_KEY": "",
            "LONGSHORE_JOIN_TOKEN": token,
        }
        self.agents.append(agent)
        return agent

    def refused(self, token: str) -> str:
        """What an agent says whose token is refused."""
        agent = self.agent(token)
        agent.spawn()
        assert agent.popen is not None
        assert agent.popen.wait(30) == TERMINAL
        self.agents.remove(agent)
        said = agent.tail()
        assert token not in said
        return "\n".join(line for line in said.splitlines() if not line.startswith("20"))

    def keys(self, agent: Agent) -> Any:
        """The keys that an agent keeps."""
        return json.loads((agent.folder / "keys.secret").read_text())

    def key(self, agent: Agent) -> Key:
        """The same for boto3."""
        kept = self.keys(agent)
        return Key(
            self.server,
            kept["access_key_id"],
            kept["secret_access_key"],
            kept["session_token"],
        )
