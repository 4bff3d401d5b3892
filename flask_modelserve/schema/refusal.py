"""Why a JSON value does not fit a message type: worked out only after a refusal.

The engine that refused stays the only judge: each part is given to it alone, and the parts that
it refuses are named.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from protobuf import (
    DescEnum,
    DescFieldValueList,
    DescFieldValueMap,
    DescMessage,
    ScalarType,
)

from ..errors import FieldError
from . import bounded
from .shapes import FieldShape, MessageShape, element_of, special

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    # Whether the engine takes a JSON value for a message type.
    Accepts = Callable[[DescMessage, Any], bool]

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


def explain(shape: MessageShape, value: Any, accepts: Accepts) -> list[FieldError]:
    """Return every bad field of a value that has been refused, up to a bound."""
    return bounded(_faults(shape, value, "", accepts))


def _faults(shape: MessageShape, value: Any, path: str, accepts: Accepts) -> Iterator[FieldError]:
    if shape.is_special or not isinstance(value, dict):
        yield {"field": path, "message": _expected(shape.description, value)}
        return
    seen: dict[str, str] = {}
    for key, item in value.items():
        place = f"{path}.{key}" if path else key
        field = shape.fields.get(key)
        if field is None:
            if not accepts(shape.description, {key: item}):
                message = f"is not a field of {shape.description.type_name}"
                yield {"field": place, "message": message}
            continue
        yield from _field_faults(shape, field, key, item, place, accepts)
        if field.is_set_by(item):
            first = seen.setdefault(field.slot, key)
            if first != key:
                yield {"field": place, "message": f"can't be given together with {first}"}
    for name in sorted(shape.required):
        if value.get(name, value.get(shape.fields[name].description.json_name)) is None:
            yield {"field": f"{path}.{name}" if path else name, "message": "is required"}


def _field_faults(
    shape: MessageShape, field: FieldShape, key: str, item: Any, place: str, accepts: Accepts
) -> Iterator[FieldError]:
    """Name what is wrong within one field: its elements, its entries, or itself."""
    kind = field.description.value
    inner = field.message if field.message and not field.message.is_special else None
    if inner is None and accepts(shape.description, {key: item}):
        return
    parts: Iterable[tuple[str, Any, Any]] = [(place, item, item)]
    element_kind: Any = (
        field.message.description if field.message else element_of(field.description)
    )
    if isinstance(kind, DescFieldValueList | DescFieldValueMap):
        if isinstance(kind, DescFieldValueList) and isinstance(item, list):
            parts = ((f"{place}[{index}]", part, [part]) for index, part in enumerate(item))
        elif isinstance(kind, DescFieldValueMap) and isinstance(item, dict):
            parts = ((f'{place}["{name}"]', part, {name: part}) for name, part in item.items())
        elif item is not None:
            expected = "an array" if isinstance(kind, DescFieldValueList) else "an object"
            yield {"field": place, "message": f"must be {expected}, not {_shown(item)}"}
            return
    for part_place, part, alone in parts:
        found = False
        if inner is not None and isinstance(part, dict):
            for fault in _faults(inner, part, part_place, accepts):
                found = True
                yield fault
        if not found and not accepts(shape.description, {key: alone}):
            yield {"field": part_place, "message": _expected(element_kind, part)}


def _expected(kind: Any, value: Any) -> str:
    expected = _kind_name(kind)
    if isinstance(value, dict) and expected == _EXPECTED_SPECIAL["Any"]:
        return 'must have an "@type" that this service knows, the fields of that type, and no depth'
    if expected in {_shown(value), "any JSON value"}:
        return "is nested too deeply"  # all that is wrong with a value of the right type
    return f"must be {expected}, not {_shown(value)}"


def _kind_name(kind: Any) -> str:
    if isinstance(kind, ScalarType):
        return _EXPECTED[kind]
    if isinstance(kind, DescEnum):
        names = [value.name for value in kind.values]
        listed = ", ".join(names[:20]) + (", …" if len(names) > 20 else "")
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
        return f'"{value}"' if len(value) <= 40 else "a longer string"
    text = repr(value)
    return text if len(text) <= 40 else "a longer number"
