"""The shape of a message type: how its values become Python's, and what its JSON may not hold."""

from __future__ import annotations

import datetime as dt
import re
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

from protobuf import (
    DescEnum,
    DescExtension,
    DescField,
    DescFieldValueList,
    DescFieldValueMap,
    DescFieldValueMessage,
    DescFieldValueScalar,
    DescMessage,
    Registry,
    ScalarType,
    message_to_json_value,
)

from .duplicates import count_keys

if TYPE_CHECKING:
    from collections.abc import Callable

    # Turns a field's value, helped by the JSON it was parsed from, into what the function gets.
    Convert = Callable[[Any, Any], Any]
    # A field's name, attribute, whether it is in a oneof and takes null, and its conversion.
    Reader = tuple[str, str, bool, bool, Convert | None]
    # Puts the zeros that a JSON value sets into the same value as ProtoJSON.
    Restore = Callable[[Any, Any], None]
    # A field's JSON name, its zero as JSON where it has no presence, and what restores within it.
    Writer = tuple[str, Any, Restore | None]
    Count = Callable[[Any], int]

_UNDERSCORE = re.compile("_([a-z])")
_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_LEGACY_REQUIRED = 3  # protobuf-py does not export its enum of presences
_OPEN_VALUES = {"Struct", "Value", "ListValue", "Any"}
_WRAPPERS = {
    f"{kind}Value"
    for kind in ("Double", "Float", "Int64", "UInt64", "Int32", "UInt32", "Bool", "String", "Bytes")
}
_WIDE = {
    ScalarType.INT64,
    ScalarType.UINT64,
    ScalarType.SINT64,
    ScalarType.FIXED64,
    ScalarType.SFIXED64,
}
_UNSIGNED = {ScalarType.UINT32, ScalarType.UINT64, ScalarType.FIXED32, ScalarType.FIXED64}


class Conflict(Exception):  # noqa: N818 - caught within the package
    """Two keys of one object mean the same field, or members of one oneof."""


@dataclass(frozen=True, slots=True)
class FieldShape:
    """One field.

    Attributes:
        name: Its proto name, the name of the function's argument.
        attribute: The message's attribute that holds it, or the ``Oneof`` it is in.
        convert: Turns its value into the function's; None where it is that already.
        in_oneof: Whether it is a member of a oneof.
        takes_null: Whether a JSON null is a value of it, rather than its absence.
        message: The shape of its message, or of its elements' or map values'.
        slot: What no two keys of an object may share: its name, or its oneof's.
    """

    description: DescField
    name: str
    attribute: str
    convert: Convert | None
    in_oneof: bool
    takes_null: bool
    message: MessageShape | None
    slot: str

    def is_set_by(self, item: Any) -> bool:
        """Tell whether a JSON value sets the field, as all but most nulls do."""
        return item is not None or self.takes_null

    @property
    def reader(self) -> Reader:
        """What ``read_fields`` needs of it."""
        return self.name, self.attribute, self.in_oneof, self.takes_null, self.convert


@dataclass(slots=True)
class MessageShape:
    """One message type; ``fields`` has each of them under both its names.

    Attributes:
        readers: What ``read_fields`` needs of each field, under both its names.
        writers: What ``restore_zeros`` needs of each field, under both its names.
        nested: What counts the keys within those fields that may hold objects.
        count: Counts the keys of all objects within a JSON value that the type accepts; raises
            ``Conflict`` where two keys mean the same field, or members of one oneof.
    """

    description: DescMessage
    fields: dict[str, FieldShape] = field(default_factory=dict)
    readers: dict[str, Reader] = field(default_factory=dict)
    writers: dict[str, Writer] = field(default_factory=dict)
    nested: dict[str, Count] = field(default_factory=dict)
    may_conflict: bool = False
    required: frozenset[str] = frozenset()
    count: Count = field(init=False)

    def __post_init__(self) -> None:
        self.count = self._count

    def finish(self) -> None:
        """Take the shortest way to count, once all fields are known."""
        self.readers.update((key, shape.reader) for key, shape in self.fields.items())
        self.writers.update((key, _writer(shape)) for key, shape in self.fields.items())
        if not (self.nested or self.may_conflict):
            self.count = len

    def _count(self, value: Any) -> int:
        total = len(value)
        if self.may_conflict and total > 1:
            slots = [self.fields[key].slot for key in value if key in self.fields]
            if len(set(slots)) < len(slots):
                self._refuse_conflict(value)
        for key, count in self.nested.items():
            item = value.get(key)
            if item is not None:
                total += count(item)
        return total

    def _refuse_conflict(self, value: dict[str, Any]) -> None:
        """Look again at keys that share a slot: a null is the absence of most fields.

        But not behind the field's other name: the engine would clear what that has set.
        """
        taken: set[str] = set()
        for key, item in value.items():
            shape = self.fields.get(key)
            if shape is None:
                continue
            if (shape.slot if shape.is_set_by(item) else shape.name) in taken:
                raise Conflict
            if shape.is_set_by(item):
                taken |= {shape.slot, shape.name}

    @property
    def is_special(self) -> bool:
        """Whether the type has a JSON form of its own, as Timestamp or Struct have."""
        return special(self.description) is not None


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


def special(description: DescMessage) -> str | None:
    """Return the short name of a well-known type with a JSON form of its own, else None."""
    package, _, name = description.type_name.rpartition(".")
    if package != "google.protobuf":
        return None
    known = {"Timestamp", "Duration", "FieldMask"} | _OPEN_VALUES | _WRAPPERS
    return name if name in known else None


def is_required(description: DescField) -> bool:
    """Tell whether a message without the field is refused (proto2)."""
    return description.presence == _LEGACY_REQUIRED


class Shapes:
    """Compiles message types, each once, since a type may hold itself."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._known: dict[str, MessageShape] = {}

    def of(self, description: DescMessage) -> MessageShape:
        """Return the shape of a message type."""
        known = self._known.get(description.type_name)
        if known is not None:
            return known
        shape = self._known[description.type_name] = MessageShape(description)
        if shape.is_special:
            return shape
        for description_of_field in description.fields:
            compiled = self._field(description_of_field)
            for name in {description_of_field.name, description_of_field.json_name}:
                shape.fields[name] = compiled
                count = self._counter(description_of_field)
                if count is not None:
                    shape.nested[name] = count
        names = {compiled.name for compiled in shape.fields.values()}
        shape.may_conflict = len(shape.fields) > len(names) or bool(description.oneofs)
        shape.required = frozenset(f.name for f in description.fields if is_required(f))
        shape.finish()
        return shape

    def _field(self, description: DescField) -> FieldShape:
        value = description.value
        element = element_of(description)
        oneof = getattr(value, "oneof", None)
        single = not isinstance(value, DescFieldValueList | DescFieldValueMap)
        return FieldShape(
            description=description,
            name=description.name,
            attribute=oneof.local_name if oneof is not None else description.local_name,
            convert=self._converter(value),
            in_oneof=oneof is not None,
            takes_null=single and _takes_null(element),
            message=self.of(element) if isinstance(element, DescMessage) else None,
            slot=f"oneof {oneof.name}" if oneof is not None else description.name,
        )

    def _converter(self, value: Any) -> Convert | None:
        if isinstance(value, DescFieldValueScalar):
            return None
        if isinstance(value, DescFieldValueList):
            each = self._element_converter(value.element)
            return None if each is None else partial(_convert_list, each)
        if isinstance(value, DescFieldValueMap):
            each = self._element_converter(value.value)
            keys = key_range(value)
            if keys is not None:
                return partial(_convert_numbered_map, keys, each)
            return None if each is None else partial(_convert_map, each)
        if isinstance(value, DescFieldValueMessage):
            return self._element_converter(value.message)
        return self._element_converter(value.enum)

    def _element_converter(self, element: ScalarType | DescMessage | DescEnum) -> Convert | None:
        if isinstance(element, DescEnum):
            return partial(_convert_enum, _enum_names(element))
        if isinstance(element, DescMessage):
            return self._message_converter(element)
        return None

    def _message_converter(self, description: DescMessage) -> Convert:
        name = special(description)
        if name is None:
            return partial(read_fields, self.of(description).readers)
        if name == "Timestamp":
            return lambda held, _: (
                _EPOCH + dt.timedelta(seconds=held.seconds, microseconds=held.nanos // 1000)
            )
        if name == "Duration":
            return lambda held, _: dt.timedelta(
                seconds=held.seconds, microseconds=int(held.nanos / 1000)
            )
        if name == "FieldMask":
            return lambda held, _: held.paths
        if name in _WRAPPERS:
            return lambda held, _: held.value
        return lambda held, _: message_to_json_value(held, registry=self._registry)

    def _counter(self, description: DescField) -> Count | None:
        """Return what counts the keys within a field's JSON value; None where it has none."""
        element = element_of(description)
        each: Count | None = None
        if isinstance(element, DescMessage):
            name = special(element)
            each = self.of(element).count if name is None else None
            if name in _OPEN_VALUES:
                each = count_keys
        if isinstance(description.value, DescFieldValueMap):
            return len if each is None else partial(_count_map, each)
        if isinstance(description.value, DescFieldValueList) and each is not None:
            return partial(_count_list, each)
        return each


def element_of(description: DescField | DescExtension) -> ScalarType | DescMessage | DescEnum:
    """Return what a field holds: of a list the elements, of a map the values."""
    value = description.value
    if isinstance(value, DescFieldValueList):
        return value.element
    if isinstance(value, DescFieldValueMap):
        return value.value
    if isinstance(value, DescFieldValueMessage):
        return value.message
    if isinstance(value, DescFieldValueScalar):
        return value.scalar
    return value.enum


def _takes_null(element: ScalarType | DescMessage | DescEnum) -> bool:
    return isinstance(element, DescMessage | DescEnum) and element.type_name in {
        "google.protobuf.Value",
        "google.protobuf.NullValue",
    }


def key_range(value: Any) -> range | None:
    """Return the range of a map's keys; None for keys that are no numbers, and for all else."""
    if not isinstance(value, DescFieldValueMap):
        return None
    bits = 64 if value.key in _WIDE else 32
    if value.key in _UNSIGNED:
        return range(2**bits)
    if value.key in {ScalarType.STRING, ScalarType.BOOL}:
        return None
    return range(-(2 ** (bits - 1)), 2 ** (bits - 1))


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


def _count_list(each: Count, value: list[Any]) -> int:
    return sum(map(each, value))


def _count_map(each: Count, value: dict[str, Any]) -> int:
    return len(value) + sum(map(each, value.values()))


def map_elements(shape: FieldShape, item: Any, convert: Callable[[Any], Any]) -> Any:
    """Return a field's JSON value with its element, or each of its elements, converted."""
    kind = shape.description.value
    if isinstance(kind, DescFieldValueList) and type(item) is list:
        return [convert(part) for part in item]
    if isinstance(kind, DescFieldValueMap) and type(item) is dict:
        return {key: convert(part) for key, part in item.items()}
    return convert(item)


def write_masks(shape: MessageShape, value: Any) -> Any:
    """Write those FieldMasks of a JSON value that are lists of paths, as functions get them."""
    if type(value) is list and special(shape.description) == "FieldMask":
        # A path that lowerCamelCase can't express is left for the engine to refuse.
        is_path = all(type(path) is str and path == path.lower() for path in value)
        return _UNDERSCORE.sub(lambda m: m[1].upper(), ",".join(value)) if is_path else value
    if type(value) is not dict or shape.is_special:
        return value
    written = dict(value)
    for key, item in value.items():
        field = shape.fields.get(key)
        if field is not None and field.message is not None:
            written[key] = map_elements(field, item, partial(write_masks, field.message))
    return written


def restore_zeros(shape: MessageShape, value: dict[str, Any], rendered: dict[str, Any]) -> None:
    """Put back the zeros that ``value`` sets, since ProtoJSON leaves out those without presence.

    Args:
        shape: The type of both.
        value: A JSON object as it was sent or returned.
        rendered: The same message as ProtoJSON, changed in place.
    """
    writers = shape.writers
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


def _writer(compiled: FieldShape) -> Writer:
    """Return what ``restore_zeros`` needs of a field."""
    value = compiled.description.value
    restore: Restore | None = None
    if compiled.message is not None and not compiled.message.is_special:
        restore = partial(restore_zeros, compiled.message)
        if isinstance(value, DescFieldValueList):
            restore = partial(_restore_list, restore)
        elif isinstance(value, DescFieldValueMap):
            restore = partial(_restore_map, restore)
    zero = None if compiled.in_oneof else _zero(compiled.description)
    return compiled.description.json_name, zero, restore


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
