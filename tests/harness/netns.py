"""Machines of their own, all on this one: network namespaces on a bridge, which can be cut off."""

from __future__ import annotations

import itertools
import os
import subprocess

# Each network of a test run gets the next number; other runs have another process id.
NUMBERS = itertools.count(0)


def ip(*arguments: str, check: bool = True) -> None:
    """Runs `ip`."""
    done = subprocess.run(["ip", *arguments], capture_output=True, text=True, check=False)
    assert not check or done.returncode == 0, f"ip {' '.join(arguments)}: {done.stderr}"


class Network:
    """A switch, on which this machine has the first address, and machines with one each.

    The switch is in a namespace of its own, where no firewall of this machine has a say.
    """

    def __init__(self) -> None:
        number = os.getpid() * 7 + next(NUMBERS)
        self.name = f"ls{number % 100000}"
        self.subnet = f"10.{128 + number % 64}.{number // 64 % 256}"
        self.machines: list[str] = []
        self.switch = f"{self.name}-switch"
        ip("netns", "add", self.switch)
        self._at_switch("link", "add", "switch", "type", "bridge")
        self._at_switch("link", "set", "switch", "up")
        ip("link", "add", self.name, "type", "veth", "peer", "name", "here", "netns", self.switch)
        self._plug("here")
        ip("address", "add", f"{self.subnet}.1/24", "dev", self.name)
        ip("link", "set", self.name, "up")

    def _at_switch(self, *arguments: str) -> None:
        ip("-n", self.switch, *arguments)

    def _plug(self, link: str) -> None:
        self._at_switch("link", "set", link, "master", "switch")
        self._at_switch("link", "set", link, "up")

    def add(self, machine: str) -> str:
        """Adds a machine; gives its address."""
        self.machines.append(machine)
        address = f"{self.subnet}.{len(self.machines) + 9}"
        namespace = self.namespace(machine)
        ip("netns", "add", namespace)
        peer = ("peer", "name", "eth0", "netns", namespace)
        self._at_switch("link", "add", machine, "type", "veth", *peer)
        self._plug(machine)
        ip("-n", namespace, "address", "add", f"{address}/24", "dev", "eth0")
        ip("-n", namespace, "link", "set", "eth0", "up")
        ip("-n", namespace, "link", "set", "lo", "up")
        return address

    def namespace(self, machine: str) -> str:
        """The name of a machine's namespace."""
        return f"{self.name}-{machine}"

    def inside(self, machine: str) -> list[str]:
        """What to put in front of a command that is to run on a machine."""
        return ["ip", "netns", "exec", self.namespace(machine)]

    def cut(self, machine: str) -> None:
        """Cuts a machine off: what it sends is lost, and what is sent to it."""
        self._at_switch("link", "set", machine, "down")

    def heal(self, machine: str) -> None:
        """Connects it again."""
        self._at_switch("link", "set", machine, "up")

    def close(self) -> None:
        """Removes it all."""
        for machine in self.machines:
            ip("netns", "delete", self.namespace(machine), check=False)
        ip("link", "delete", self.name, check=False)
        ip("netns", "delete", self.switch, check=False)
