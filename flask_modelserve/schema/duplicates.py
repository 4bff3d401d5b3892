"""Keys that one JSON object holds twice: found in the text, since a parser keeps only the last."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from ..errors import FieldError, InvalidRequest
from . import bounded

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_NESTED = {dict, list}
_KEY = re.compile(rb'"\s*:')


class Conflict(Exception):  # noqa: N818 - caught within the package
    """Two keys of one object mean the same field, or members of one oneof."""


def count_keys(value: Any) -> int:
    """Count the keys of all objects within a JSON value."""
    total = 0
    pending = [value]
    for item in pending:  # grows on the way
        if type(item) is dict:
            total += len(item)
            pending += [each for each in item.values() if type(each) in _NESTED]
        # The set of types costs less than a look at each element: most lists hold numbers.
        elif type(item) is list and not _NESTED.isdisjoint(map(type, item)):
            pending += [each for each in item if type(each) in _NESTED]
    return total


def refuse_duplicates(body: bytes, value: Any, count: Callable[[Any], int] = count_keys) -> None:
    """Refuse a body in which an object names one key twice (RFC 8259, 4: names should be unique).

    A body without duplicates has as many keys as its parsed value. The bytes are first counted
    in the two cheap ways that never count too few, and read again only when both count more.

    Args:
        body: JSON text that has been parsed.
        value: What it was parsed into.
        count: Counts the keys of ``value``.

    Raises:
        InvalidRequest: 400, with the path of each such key.
    """
    keys = count(value)
    if body.count(b":") == keys or len(_KEY.findall(body)) == keys:
        return
    try:
        read = json.loads(
            body, object_pairs_hook=_Object, parse_int=len, parse_float=len, parse_constant=len
        )
        errors = bounded(_duplicates(read, ""))
    except RecursionError:
        raise InvalidRequest("The body is nested too deeply.") from None
    if errors:
        raise InvalidRequest("The body names a key twice.", errors=errors)


class _Object:
    """A JSON object as its list of pairs."""

    def __init__(self, pairs: list[tuple[str, Any]]) -> None:
        self.pairs = pairs


def _duplicates(value: Any, path: str) -> Iterator[FieldError]:
    if isinstance(value, _Object):
        seen: set[str] = set()
        for key, item in value.pairs:
            place = f"{path}.{key}" if path else key
            if key in seen:
                yield {"field": place, "message": "is given twice"}
            seen.add(key)
            yield from _duplicates(item, place)
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _duplicates(item, f"{path}[{index}]")
