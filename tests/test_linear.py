"""The judge of histories is right itself: it lets pass what may be, catches what may not."""

import itertools
import math
import random
from collections.abc import Hashable
from typing import Any

import pytest
from harness.linear import Model, Operation, claim, counter, is_linearizable, register


def op(action: tuple[Any, ...], result: Any, called: float, answered: float) -> Operation:
    return Operation(action, result, called, answered)


def write(value: Any, called: float, answered: float = math.inf) -> Operation:
    return op(("write", value), None, called, answered)


def read(value: Any, called: float, answered: float) -> Operation:
    return op(("read",), value, called, answered)


def cas(old: Any, new: Any, result: bool, called: float, answered: float = math.inf) -> Operation:
    return op(("cas", old, new), result, called, answered)


GOOD = {
    "nothing": [],
    "in a row": [write(1, 0, 1), read(1, 2, 3), write(2, 4, 5), read(2, 6, 7)],
    "either, while it is written": [write(1, 0, 10), read(0, 1, 2), read(1, 3, 4)],
    "a write without answer that happened late": [write(1, 0), read(0, 1, 2), read(1, 8, 9)],
    "a write without answer that never happened": [write(1, 0), read(0, 8, 9)],
    "one of two swaps": [cas(0, 1, True, 0, 5), cas(0, 2, False, 1, 4), read(1, 6, 7)],
    "a lost swap that happened": [cas(0, 1, True, 0), read(1, 3, 4), cas(1, 2, True, 5, 6)],
}

BAD = {
    "a stale read": [write(1, 0, 1), write(2, 2, 3), read(1, 4, 5)],
    "back and forth": [write(1, 0, 10), read(1, 1, 2), read(0, 3, 4)],
    "a lost write": [write(1, 0, 1), read(0, 2, 3)],
    "a value from nowhere": [write(1, 0, 1), read(7, 2, 3)],
    "both of two swaps": [cas(0, 1, True, 0, 5), cas(0, 2, True, 1, 4)],
    "a swap that should have been": [cas(0, 1, False, 0, 1), read(0, 2, 3)],
    "a write without answer that came and went": [write(1, 0), read(1, 1, 2), read(0, 3, 4)],
}


@pytest.mark.parametrize("name", GOOD)
def test_what_may_be_is_let_pass(name: str) -> None:
    assert is_linearizable(GOOD[name], register, 0)


@pytest.mark.parametrize("name", BAD)
def test_what_may_not_be_is_caught(name: str) -> None:
    assert not is_linearizable(BAD[name], register, 0)


def test_claims_and_counters() -> None:
    def ask(who: str, owner: str, called: float, answered: float) -> Operation:
        return op(("claim", who), owner, called, answered)

    assert is_linearizable([ask("a", "a", 0, 3), ask("b", "a", 1, 2)], claim, None)
    assert not is_linearizable([ask("a", "a", 0, 1), ask("b", "b", 2, 3)], claim, None)
    assert not is_linearizable([ask("a", "b", 0, 1)], claim, None), "nobody was b"

    def take(number: int, called: float, answered: float = math.inf) -> Operation:
        return op(("next",), number, called, answered)

    assert is_linearizable([take(2, 0, 5), take(1, 1, 4)], counter, 0)
    assert is_linearizable([take(1, 0, 1), take(0, 2), take(3, 4, 5)], counter, 0)
    assert not is_linearizable([take(1, 0, 1), take(1, 2, 3)], counter, 0), "twice"
    assert not is_linearizable([take(2, 0, 1), take(1, 2, 3)], counter, 0), "out of order"


def by_all_orders(history: list[Operation], model: Model, initial: Hashable) -> bool:
    """The same question, answered by trying every order: slow, and hard to get wrong."""
    unknown = [operation for operation in history if not operation.known]
    for count in range(len(unknown) + 1):
        for happened in itertools.combinations(unknown, count):
            kept = [operation for operation in history if operation.known] + list(happened)
            for order in itertools.permutations(kept):
                if any(b.answered < a.called for a, b in itertools.combinations(order, 2)):
                    continue
                state: Hashable = initial
                for operation in order:
                    after = model(state, operation)
                    if after is None:
                        break
                    state = after[0]
                else:
                    return True
    return False


def test_it_agrees_with_all_orders_tried() -> None:
    chance = random.Random(4)
    verdicts = []
    for _ in range(400):
        history = []
        for _ in range(chance.randint(1, 5)):
            called = chance.randint(0, 8)
            answered = math.inf if chance.random() < 0.2 else called + chance.randint(1, 4)
            value = chance.randint(0, 2)
            kind = chance.choice(["write", "read", "cas"])
            if kind == "write":
                history.append(write(value, called, answered))
            elif kind == "read":
                history.append(read(value, called, answered))
            else:
                new, done = chance.randint(0, 2), chance.random() < 0.5
                history.append(cas(value, new, done, called, answered))
        verdict = is_linearizable(history, register, 0)
        assert verdict == by_all_orders(history, register, 0), history
        verdicts.append(verdict)
    assert 50 < sum(verdicts) < 350, "both kinds were there"
