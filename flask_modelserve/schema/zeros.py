"""Zeros that a JSON value sets, and that ProtoJSON leaves out again: put back where they were."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from protobuf import (
    DescFieldValueList,
    DescFieldValueMap,
    DescFieldValueMessage,
    DescFieldValueScalar,
    ScalarType,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from protobuf import DescField

    # Puts the zeros that a JSON value sets into the same value as ProtoJSON.
    Restore = Callable[[Any, Any], None]
    # A field's JSON name, its zero as JSON where it has no presence, and what restores within it.
    Writer = tuple[str, Any, Restore | None]

_WIDE = {
    ScalarType.INT64,
    ScalarType.UINT64,
    ScalarType.SINT64,
    ScalarType.FIXED64,
    ScalarType.SFIXED64,
}


def restore_zeros(
    writers: dict[str, Writer], value: dict[str, Any], rendered: dict[str, Any]
) -> None:
    """Put back the zeros that ``value`` sets, since ProtoJSON leaves out those without presence.

    Args:
        writers: What is needed of each field of their type, under both its names.
        value: A JSON object as it was sent or returned.
        rendered: The same message as ProtoJSON, changed in place.
    """
    for key, item in value.items():
        writer = writers.get(key)
        if writer is None or item is None:
            continue
        name, zero, restore = writer
        if name not in rendered:
            if zero is not None:
                rendered[name] = zero
        elif restore is not None:
            restore(item, rendered[name])


def writer_of(
    description: DescField, nested: dict[str, Writer] | None, *, in_oneof: bool
) -> Writer:
    """Return what ``restore_zeros`` needs of a field.

    Args:
        description: The field.
        nested: What it needs of the fields within; None where there are none.
        in_oneof: Whether the field is a member of a oneof.
    """
    restore: Restore | None = None
    if nested is not None:
        restore = partial(restore_zeros, nested)
        if isinstance(description.value, DescFieldValueList):
            restore = partial(_restore_list, restore)
        elif isinstance(description.value, DescFieldValueMap):
            restore = partial(_restore_map, restore)
    return description.json_name, None if in_oneof else _zero(description), restore


def _restore_list(restore: Restore, value: list[Any], rendered: list[Any]) -> None:
    for one, other in zip(value, rendered, strict=False):
        restore(one, other)


def _restore_map(restore: Restore, value: dict[str, Any], rendered: dict[str, Any]) -> None:
    for one, other in zip(value.values(), rendered.values(), strict=False):
        restore(one, other)


def _zero(description: DescField) -> Any:
    """Return the JSON form of a field's zero value."""
    value = description.value
    if isinstance(value, DescFieldValueList):
        return []
    if isinstance(value, DescFieldValueMap):
        return {}
    if not isinstance(value, DescFieldValueScalar):
        return value.enum.values[0].name if not isinstance(value, DescFieldValueMessage) else {}
    if value.scalar in _WIDE:
        return "0"
    if value.scalar is ScalarType.BOOL:
        return False
    if value.scalar in {ScalarType.STRING, ScalarType.BYTES}:
        return ""
    return 0.0 if value.scalar in {ScalarType.DOUBLE, ScalarType.FLOAT} else 0
