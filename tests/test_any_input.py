"""Every operation of the model, with empty, random and mutated input: never a 5xx.

The inputs are made from the model of the pinned botocore and a seed, so a failure repeats.
"""

import json
import random
import string
from typing import Any

import botocore.model
import botocore.session
import pytest
from harness.aws import Raw
from harness.process import Server

SEED = 20141113
ROUNDS = 12

# Words that mean something to some operation, so that random input gets past the first check.
WORDS = [
    "default",
    "any",
    "any:1",
    "service:x",
    "arn:aws:ecs:us-east-1:000000000000:cluster/any",
    "arn:aws:ecs:us-east-1:000000000000:task/any/" + "0" * 32,
    "arn:aws:ecs:us-east-1:999999999999:service/any/any",
    "arn:aws:ecs:::",
    "0" * 32,
    "attribute:a == b",
    "*.example.com",
    "arn:aws:acm:us-east-1:000000000000:certificate/00000000-0000-0000-0000-000000000000",
    "256",
    "1 vCPU",
    "http://127.0.0.1",
    "",
    "\x00",
    "é😀",
    "../../etc/passwd",
    "A" * 300,
]
NUMBERS = [0, 1, -1, 2, 10, 80, 65535, 65536, 2**31 - 1, -(2**31), 2**31, 2**63, 1e308]


def service(name: str) -> botocore.model.ServiceModel:
    """A pinned model."""
    loader = botocore.session.get_session().get_component("data_loader")
    return botocore.model.ServiceModel(loader.load_service_model(name, "service-2"))


MODELS = [service("ecs"), service("acm")]


class Maker:
    """Makes values for shapes."""

    def __init__(self, seed: str) -> None:
        self.random = random.Random(seed)

    def text(self, shape: botocore.model.StringShape) -> str:
        if shape.enum and self.random.random() < 0.9:
            return self.random.choice(shape.enum)
        if self.random.random() < 0.8:
            return self.random.choice(WORDS)
        return "".join(self.random.choices(string.printable, k=self.random.randrange(40)))

    def number(self, _shape: botocore.model.Shape) -> float:
        return self.random.choice(NUMBERS)

    def value(self, shape: botocore.model.Shape, depth: int = 0) -> Any:
        """A value of the shape's type."""
        match shape.type_name:
            case "structure":
                required = set(shape.required_members)
                return {
                    name: self.value(member, depth + 1)
                    for name, member in shape.members.items()
                    if name in required or self.random.random() < 0.6 / (1 + depth)
                }
            case "list":
                length = self.random.choice([0, 1, 1, 2, 3])
                return [self.value(shape.member, depth + 1) for _ in range(length)]
            case "map":
                return {
                    self.text(shape.key): self.value(shape.value, depth + 1)
                    for _ in range(self.random.choice([0, 1, 2]))
                }
            case "boolean":
                return self.random.random() < 0.5
            case "string" | "blob":
                return self.text(shape) if shape.type_name == "string" else "AAAA"
            case _:
                return self.number(shape)

    def mutated(self, value: Any) -> Any:
        """The value with something in it that does not belong."""
        if isinstance(value, dict) and value and self.random.random() < 0.8:
            key = self.random.choice(sorted(value))
            return value | {key: self.mutated(value[key])}
        if isinstance(value, list) and value and self.random.random() < 0.8:
            at = self.random.randrange(len(value))
            return [*value[:at], self.mutated(value[at]), *value[at + 1 :]]
        return self.random.choice(
            [None, True, 7, -1.5, "text", [], {}, [None], {"a": {}}, "9" * 50, [[]] * 3]
        )


@pytest.mark.parametrize(
    ("model", "operation"),
    [
        pytest.param(model, operation, id=f"{model.endpoint_prefix}-{operation}")
        for model in MODELS
        for operation in model.operation_names
    ],
)
def test_no_input_is_the_servers_error(
    server: Server, model: botocore.model.ServiceModel, operation: str
) -> None:
    shape = model.operation_model(operation).input_shape
    target = {"X_Amz_Target": f"{model.metadata['targetPrefix']}.{operation}"}
    maker = Maker(f"{SEED}-{operation}")
    inputs: list[Any] = [{}]
    for _ in range(ROUNDS):
        made = maker.value(shape) if shape else {}
        inputs += [made, maker.mutated(made)]
    with Raw(server.url) as raw:
        for each in inputs:
            body = json.dumps(each).encode()
            answer = raw.call(operation, body, **target)
            assert answer.status < 500, f"{body.decode()} gives {answer.status}: {answer.body!r}"
            if answer.status >= 400:
                answer.expect_client_error()
            else:
                assert isinstance(json.loads(answer.body), dict)
        # Cut off in the middle, as a broken client would.
        for cut in (1, len(body) // 2, len(body) - 1):
            if 0 < cut < len(body):
                raw.call(operation, body[:cut], **target).expect_client_error()
    assert server.alive
