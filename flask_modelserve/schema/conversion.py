"""How the values of a message's fields become Python's: what the function gets for them."""

from __future__ import annotations

import datetime as dt
from functools import partial
from typing import TYPE_CHECKING, Any

from protobuf import (
    DescEnum,
    DescFieldValueList,
    DescFieldValueMap,
    DescFieldValueMessage,
    DescFieldValueScalar,
    DescMessage,
    ScalarType,
)

from .duplicates import Conflict

if TYPE_CHECKING:
    from collections.abc import Callable

    # Turns a field's value, helped by the JSON it was parsed from, into what the function gets.
    Convert = Callable[[Any, Any], Any]
    # A field's name, attribute, whether it is in a oneof and takes null, and its conversion.
    Reader = tuple[str, str, bool, bool, Convert | None]

_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_WRAPPERS = {
    f"{kind}Value"
    for kind in ("Double", "Float", "Int64", "UInt64", "Int32", "UInt32", "Bool", "String", "Bytes")
}
# What those well-known types become that stand for one value each, by their short names.
WELL_KNOWN: dict[str, Convert] = {
    "Timestamp": lambda held, _: (
        _EPOCH + dt.timedelta(seconds=held.seconds, microseconds=held.nanos // 1000)
    ),
    "Duration": lambda held, _: dt.timedelta(
        seconds=held.seconds, microseconds=int(held.nanos / 1000)
    ),
    "FieldMask": lambda held, _: held.paths,
    **dict.fromkeys(_WRAPPERS, lambda held, _: held.value),
}
# What the keys of a map may be, where they are numbers.
_KEYS = {
    **dict.fromkeys(
        (ScalarType.INT32, ScalarType.SINT32, ScalarType.SFIXED32), range(-(2**31), 2**31)
    ),
    **dict.fromkeys(
        (ScalarType.INT64, ScalarType.SINT64, ScalarType.SFIXED64), range(-(2**63), 2**63)
    ),
    **dict.fromkeys((ScalarType.UINT32, ScalarType.FIXED32), range(2**32)),
    **dict.fromkeys((ScalarType.UINT64, ScalarType.FIXED64), range(2**64)),
}


def read_fields(readers: dict[str, Reader], message: Any, value: dict[str, Any]) -> dict[str, Any]:
    """Return the fields that the JSON ``value`` sets, as ``message`` holds them."""
    found = {}
    for key, item in value.items():
        reader = readers.get(key)
        if reader is None:
            continue
        name, attribute, in_oneof, takes_null, convert = reader
        if item is None and not takes_null:
            continue
        held = getattr(message, attribute)
        if in_oneof:
            held = held.value
        found[name] = held if convert is None else convert(held, item)
    return found


def converter_of(value: Any, of_message: Callable[[DescMessage], Convert]) -> Convert | None:
    """Return what converts a field's values; None where the function gets them as they are.

    Args:
        value: The description of what the field holds.
        of_message: Returns what converts messages of a type.
    """
    if isinstance(value, DescFieldValueScalar):
        return None
    if isinstance(value, DescFieldValueList):
        each = _converter_of_element(value.element, of_message)
        return None if each is None else partial(_convert_list, each)
    if isinstance(value, DescFieldValueMap):
        each = _converter_of_element(value.value, of_message)
        keys = key_range(value)
        if keys is not None:
            return partial(_convert_numbered_map, keys, each)
        return None if each is None else partial(_convert_map, each)
    if isinstance(value, DescFieldValueMessage):
        return of_message(value.message)
    return _converter_of_element(value.enum, of_message)


def _converter_of_element(
    element: ScalarType | DescMessage | DescEnum, of_message: Callable[[DescMessage], Convert]
) -> Convert | None:
    if isinstance(element, DescEnum):
        return partial(_convert_enum, _enum_names(element))
    if isinstance(element, DescMessage):
        return of_message(element)
    return None


def key_range(value: Any) -> range | None:
    """Return the range of a map's keys; None for keys that are no numbers, and for all else."""
    return _KEYS.get(value.key) if isinstance(value, DescFieldValueMap) else None


def _enum_names(description: DescEnum) -> dict[int, str | None]:
    if description.type_name == "google.protobuf.NullValue":
        return {0: None}
    # Of several names of one number the first is the one that is written.
    return {value.number: value.name for value in reversed(description.values)}


def _convert_enum(names: dict[int, str | None], held: int, _: Any) -> str | int | None:
    number = int(held)
    if number in names:
        return names[number]
    if not -(2**31) <= number < 2**31:  # the engine looks at the range only in to_binary
        raise OverflowError(f"{number} is no enum number")
    return number


def _convert_list(each: Convert, held: list[Any], value: list[Any]) -> list[Any]:
    return list(map(each, held, value))


def _convert_numbered_map(
    keys: range, each: Convert | None, held: dict[int, Any], value: dict[str, Any]
) -> dict[int, Any]:
    if len(held) < len(value):  # "1" and "01" are one key
        raise Conflict
    # The engine looks at the range only in to_binary.
    if held and not (min(held) in keys and max(held) in keys):
        raise OverflowError("a map's key is out of range")
    return held if each is None else _convert_map(each, held, value)


def _convert_map(each: Convert, held: dict[Any, Any], value: dict[str, Any]) -> dict[Any, Any]:
    return {
        key: each(item, sent)
        for (key, item), sent in zip(held.items(), value.values(), strict=True)
    }
