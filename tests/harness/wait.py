"""Waiting for a state: with a deadline, and with a word for what did not come."""

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def until(condition: Callable[[], T], what: str, timeout: float = 30) -> T:
    """Asks `condition` until it gives something true, which is returned."""
    deadline = time.monotonic() + timeout
    pause = 0.01
    while True:
        found = condition()
        if found:
            return found
        if time.monotonic() > deadline:
            raise AssertionError(f"waited {timeout:g} s for: {what}; last seen: {found!r}")
        time.sleep(pause)
        pause = min(pause * 1.5, 0.25)
