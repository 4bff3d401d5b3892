"""The works: for each, one body, one model function and the message classes of both sides."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from . import works_pb2 as messages

if TYPE_CHECKING:
    from google.protobuf.message import Message

LANGUAGE_BYTES = 335

Function = Callable[..., dict[str, Any]]


class Question(NamedTuple):
    """What is sent, and the one right answer to it."""

    body: bytes
    answer: Any


@dataclass(frozen=True)
class Work:
    """What is sent, the model that answers, and the classes that describe both."""

    name: str
    body: bytes
    function: Function
    request: type[Message]
    response: type[Message]

    @property
    def question(self) -> Question:
        """The input, and the right answer to it."""
        return Question(self.body, self.function(**json.loads(self.body)))

    @property
    def protobuf(self) -> bytes:
        """The same input on protobuf's wire."""
        return self.request(**json.loads(self.body)).SerializeToString()


def detect(
    id: str = "",  # noqa: A002 - the field is called so
    title: str = "",
    body: str = "",
    enrichments: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """Answer as a language model would, without the model."""
    return {"version": "1.4.2", "language": "en", "confidence": 0.98, "error": ""}


def echo(
    values: list[float],
    items: list[dict[str, Any]] | None = None,
    weights: dict[str, float] | None = None,
) -> dict[str, Any]:
    """Answer with what came in, so that the answer is as big as the question."""
    return {"values": values, "items": items, "weights": weights}


def echo_numbers(values: list[float]) -> dict[str, Any]:
    """Answer with the numbers that came in."""
    return {"values": values}


def classify(
    values: list[float],
    items: list[dict[str, Any]] | None = None,
    weights: dict[str, float] | None = None,
) -> dict[str, Any]:
    """Answer a big question with a small message."""
    return detect()


def language() -> Work:
    """The small message, of exactly 335 bytes."""
    message: dict[str, Any] = {
        "id": "7d1f0c52",
        "title": "Harbour works resume",
        "body": "",
        "enrichments": {
            "extracted": {"value": {"body": "The crane was moved on Monday and the quay is open."}}
        },
    }
    text = "Work at the harbour resumed this week after the storm. "
    missing = LANGUAGE_BYTES - len(json.dumps(message))
    message["body"] = (text * 9)[:missing]
    return Work(
        "language",
        json.dumps(message).encode(),
        detect,
        messages.LanguageRequest,
        messages.LanguageResponse,
    )


def features(function: Function, response: type[Message], name: str) -> Work:
    """The 12 KB message: 1,000 doubles, 100 nested items and a map of 50."""
    rng = random.Random(3)
    message = {
        "values": [round(rng.random(), 4) for _ in range(1000)],
        "items": [
            {"name": f"item-{i:03}", "score": round(rng.random(), 3), "count": rng.randrange(100)}
            for i in range(100)
        ],
        "weights": {f"word-{i:02}": round(rng.random(), 3) for i in range(50)},
    }
    return Work(name, compact(message), function, messages.Features, response)


def numbers(size: int) -> Work:
    """Nothing but doubles, `size` bytes of them."""
    rng = random.Random(3)
    count = (size - len('{"values":[]}')) // len("0.123456,")
    message = {"values": [rng.randrange(100_000, 999_999) / 1e6 for _ in range(count)]}
    return Work(
        f"numbers, {size // 1000} KB",
        compact(message),
        echo_numbers,
        messages.Numbers,
        messages.Numbers,
    )


def compact(message: object) -> bytes:
    """The message as JSON without spaces."""
    return json.dumps(message, separators=(",", ":")).encode()


LANGUAGE = language()
FEATURES = features(echo, messages.Features, "12 KB")
FEATURES_SMALL_ANSWER = features(classify, messages.LanguageResponse, "12 KB, small answer")
