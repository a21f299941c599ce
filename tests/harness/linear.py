"""Whether a history is linearizable: whether each operation can have happened at one moment between
its call and its answer, so that all answers are right.

The search is that of Wing and Gong, with Lowe's memory of what was tried: depth first over the
operations that may come next, and never twice over the same set of operations in the same state.
An operation without an answer may have happened at any time after its call, or not at all. Many of
those would make the search endless, so only those are tried that can make a difference: one of
several that are alike, none that changes nothing, and no write that nobody has seen.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Operation:
    """What a client did, and what it was told."""

    action: tuple[Any, ...]
    result: Any
    called: float
    # Infinity when there was no answer: it may have happened.
    answered: float = math.inf

    @property
    def known(self) -> bool:
        """Whether there was an answer."""
        return self.answered != math.inf


# State and operation to the state after it, or None where the answer would be wrong.
Model = Callable[[Hashable, Operation], "tuple[Hashable] | None"]


def register(state: Hashable, operation: Operation) -> tuple[Hashable] | None:
    """A register: ("write", value), ("read",), and ("cas", old, new) with True or False."""
    match operation.action:
        case ("write", value):
            return (value,)
        case ("read",):
            return (state,) if not operation.known or operation.result == state else None
        case ("cas", old, new):
            swaps = state == old
            if operation.known and operation.result != swaps:
                return None
            return (new if swaps else state,)
    raise ValueError(operation)


def claim(state: Hashable, operation: Operation) -> tuple[Hashable] | None:
    """What is claimed once: ("claim", who) gives who has it. A compare-and-swap from nobody."""
    (_, who) = operation.action
    owner = who if state is None else state
    return (owner,) if not operation.known or operation.result == owner else None


def counter(state: Hashable, operation: Operation) -> tuple[Hashable] | None:
    """A counter: ("next",) gives the number after the last one."""
    assert isinstance(state, int)
    after = state + 1
    return (after,) if not operation.known or operation.result == after else None


def is_linearizable(
    history: Sequence[Operation], model: Model, initial: Hashable, steps: int = 2_000_000
) -> bool:
    """Whether the history is linearizable; gives up with an error after too many steps."""
    operations = sorted(seen_at_all(history), key=lambda operation: operation.called)
    needed = sum(1 << n for n, operation in enumerate(operations) if operation.known)
    stack: list[tuple[int, Hashable]] = [(0, initial)]
    seen = {stack[0]}
    while stack:
        done, state = stack.pop()
        if done & needed == needed:
            return True
        # Whoever was answered first must have happened before anything that was called later.
        horizon = min(
            operation.answered
            for n, operation in enumerate(operations)
            if operation.known and not done >> n & 1
        )
        following: list[tuple[int, Hashable]] = []
        unanswered: list[tuple[int, Hashable]] = []
        tried: set[tuple[Any, ...]] = set()
        for n, operation in enumerate(operations):
            if operation.called > horizon:
                break
            if done >> n & 1:
                continue
            after = model(state, operation)
            if after is None:
                continue
            if not operation.known:
                # It need not have happened, and of several that are alike the first serves as well.
                if after[0] == state or operation.action in tried:
                    continue
                tried.add(operation.action)
            steps -= 1
            assert steps > 0, "the history is too long to be judged"
            step = (done | 1 << n, after[0])
            if operation.action[0] == "read":
                # It changes nothing, so nothing is lost by letting it happen now.
                following, unanswered = [step], []
                break
            (following if operation.known else unanswered).append(step)
        # The last is tried first: what was answered, before what may never have happened.
        fresh = [step for step in [*unanswered, *following] if step not in seen]
        seen.update(fresh)
        stack.extend(fresh)
    return False


def seen_at_all(history: Sequence[Operation]) -> list[Operation]:
    """Without writes that nobody knows of: neither who made them nor who looked."""
    if any(operation.action[0] == "cas" for operation in history):
        return list(history)
    results = [operation.result for operation in history if operation.known]
    return [
        operation
        for operation in history
        if operation.known or operation.action[0] != "write" or operation.action[1] in results
    ]
