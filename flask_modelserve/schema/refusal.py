"""Why a JSON value does not fit a message type: worked out only after a refusal.

The engine that refused stays the only judge: each part is given to it alone, and the parts that
it refuses are named.
"""

from __future__ import annotations

from itertools import islice
from time import monotonic
from typing import TYPE_CHECKING, Any

from protobuf import (
    DescEnum,
    DescFieldValueList,
    DescFieldValueMap,
    DescMessage,
    ScalarType,
)

from . import MAX_ERRORS, bounded
from .shapes import FieldShape, MessageShape, element_of, special

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from ..errors import FieldError

    # Whether the engine takes a JSON value for a message type; RecursionError: it is too deep.
    Accepts = Callable[[DescMessage, Any], bool]

_MAX_SECONDS = 1.0

# How many names of an enum, and how many characters of a value, a message shows.
_MAX_NAMES = 20
_MAX_SHOWN = 40

_EXPECTED = {
    ScalarType.STRING: "a string",
    ScalarType.BYTES: "a string of base64",
    ScalarType.BOOL: "true or false",
    ScalarType.DOUBLE: "a number",
    ScalarType.FLOAT: "a number of 32-bit float range",
    ScalarType.INT32: "an integer from -2147483648 to 2147483647",
    ScalarType.SINT32: "an integer from -2147483648 to 2147483647",
    ScalarType.SFIXED32: "an integer from -2147483648 to 2147483647",
    ScalarType.UINT32: "an integer from 0 to 4294967295",
    ScalarType.FIXED32: "an integer from 0 to 4294967295",
    ScalarType.INT64: "an integer from -9223372036854775808 to 9223372036854775807",
    ScalarType.SINT64: "an integer from -9223372036854775808 to 9223372036854775807",
    ScalarType.SFIXED64: "an integer from -9223372036854775808 to 9223372036854775807",
    ScalarType.UINT64: "an integer from 0 to 18446744073709551615",
    ScalarType.FIXED64: "an integer from 0 to 18446744073709551615",
}
_EXPECTED_SPECIAL = {
    "Timestamp": 'a time as in RFC 3339, such as "2024-01-31T12:00:00Z"',
    "Duration": 'a duration in seconds, such as "1.5s"',
    "FieldMask": 'names of fields in lowerCamelCase, such as "title,subTitle"',
    "Struct": "an object",
    "Value": "any JSON value",
    "ListValue": "an array",
    "Any": 'an object with an "@type" that this service knows, and the fields of that type',
}


def explain(shape: MessageShape, value: Any, accepts: Accepts, *, is_bad: bool) -> list[FieldError]:
    """Return the bad fields of a value that has been refused, as many as bounds allow.

    Args:
        shape: The type that the value should have.
        value: A JSON value.
        accepts: Asks the engine.
        is_bad: Whether the engine refused it; else only its names are at odds.
    """
    return bounded(_Search(accepts).message(shape, value, "", is_bad=is_bad))


class _Search:
    """Asks the engine about ever smaller parts of a value, for a bounded time.

    Of a part that the engine accepts only the names are looked at: that two of them exclude each
    other, or that a required one is missing, may be all that is wrong.
    """

    def __init__(self, accepts: Accepts) -> None:
        self._accepts = accepts
        self._deadline = monotonic() + _MAX_SECONDS

    def message(
        self, shape: MessageShape, value: Any, path: str, *, is_bad: bool
    ) -> Iterator[FieldError]:
        """Yield the faults of a message; ``is_bad`` tells whether the engine refuses it."""
        if shape.is_special or not isinstance(value, dict):
            yield {"field": path, "message": _expected(shape.description, value)}
            return
        seen: dict[str, str] = {}
        for key, item in value.items():
            place = f"{path}.{key}" if path else key
            field = shape.fields.get(key)
            try:
                bad_field = is_bad and not self._accepts(shape.description, {key: item})
            except RecursionError:
                yield {"field": place, "message": "is nested too deeply"}
                continue
            if field is None:
                if bad_field:
                    message = f"is not a field of {shape.description.type_name}"
                    yield {"field": place, "message": message}
                continue
            yield from self._field(shape, field, key, item, place, is_bad=bad_field)
            first = seen.get(field.slot if field.is_set_by(item) else field.name)
            if first is not None:
                yield {"field": place, "message": f"can't be given together with {first}"}
            elif field.is_set_by(item):
                seen[field.slot] = seen[field.name] = key
        for name in sorted(shape.required):
            if value.get(name, value.get(shape.fields[name].description.json_name)) is None:
                yield {"field": f"{path}.{name}" if path else name, "message": "is required"}

    def _field(
        self,
        shape: MessageShape,
        field: FieldShape,
        key: str,
        item: Any,
        place: str,
        *,
        is_bad: bool,
    ) -> Iterator[FieldError]:
        """Yield what is wrong within one field: its elements, its entries, or itself."""
        kind = field.description.value
        inner = field.message if field.message and not field.message.is_special else None
        if item is None or (inner is None and not is_bad):
            return
        parts = _parts(kind, item, place)
        if parts is None:
            expected = "an array" if isinstance(kind, DescFieldValueList) else "an object"
            yield {"field": place, "message": f"must be {expected}, not {_shown(item)}"}
            return
        bad: set[int] = set()
        if is_bad:
            is_single = not isinstance(kind, DescFieldValueList | DescFieldValueMap)
            found = (0,) if is_single else self._bad_parts(shape, key, item)
            bad.update(islice(found, MAX_ERRORS))
            if not bad or monotonic() > self._deadline:
                yield {"field": place, "message": "holds a value that does not fit"}
                return
        for index in sorted(bad) if inner is None else range(len(parts)):
            part_place, part = parts[index]
            is_explained = False
            if inner is not None and isinstance(part, dict):
                for fault in self.message(inner, part, part_place, is_bad=index in bad):
                    is_explained = True
                    yield fault
            if index in bad and not is_explained:
                element = element_of(field.description)
                yield {"field": part_place, "message": _expected(element, part)}

    def _bad_parts(
        self, shape: MessageShape, key: str, item: list[Any] | dict[str, Any]
    ) -> Iterator[int]:
        """Halve a list or a map until each part that the engine refuses stands alone."""
        parts = item if isinstance(item, list) else list(item.items())
        pending = [(0, len(parts))]  # none of which the engine accepts
        while pending and monotonic() <= self._deadline:
            start, end = pending.pop()
            if end - start == 1:
                yield start
                continue
            middle = (start + end) // 2
            for half in ((middle, end), (start, middle)):
                some = parts[slice(*half)]
                whole = some if isinstance(item, list) else dict(some)
                try:
                    is_good = self._accepts(shape.description, {key: whole})
                except RecursionError:
                    is_good = False
                if not is_good:
                    pending.append(half)


def _parts(kind: Any, item: Any, place: str) -> list[tuple[str, Any]] | None:
    """Return what a field's value consists of, with its places; None for a wrong JSON type."""
    if isinstance(kind, DescFieldValueList):
        if not isinstance(item, list):
            return None
        return [(f"{place}[{index}]", part) for index, part in enumerate(item)]
    if isinstance(kind, DescFieldValueMap):
        if not isinstance(item, dict):
            return None
        return [(f'{place}["{name}"]', part) for name, part in item.items()]
    return [(place, item)]


def _expected(kind: Any, value: Any) -> str:
    expected = _kind_name(kind)
    if isinstance(value, dict) and expected == _EXPECTED_SPECIAL["Any"]:
        return 'must have an "@type" that this service knows, and the fields of that type'
    if expected in {_shown(value), "any JSON value"}:
        return "is nested too deeply"  # all that is wrong with a value of the right type
    return f"must be {expected}, not {_shown(value)}"


def _kind_name(kind: Any) -> str:
    if isinstance(kind, ScalarType):
        return _EXPECTED[kind]
    if isinstance(kind, DescEnum):
        names = [value.name for value in kind.values]
        listed = ", ".join(names[:_MAX_NAMES]) + (", …" if len(names) > _MAX_NAMES else "")
        return f"one of {listed}"
    name = special(kind)
    if name is None:
        return "an object"
    if name in _EXPECTED_SPECIAL:
        return _EXPECTED_SPECIAL[name]
    return _EXPECTED[kind.fields[0].value.scalar]


def _shown(value: Any) -> str:
    """Name a JSON value's type, or show it where that is short."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict):
        return "an object"
    if isinstance(value, list):
        return "an array"
    if isinstance(value, str):
        return f'"{value}"' if len(value) <= _MAX_SHOWN else "a longer string"
    text = repr(value)
    return text if len(text) <= _MAX_SHOWN else "a longer number"
