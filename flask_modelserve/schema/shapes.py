"""The shape of a message type: what reads, counts and writes the fields of its JSON."""

from __future__ import annotations

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

from .conversion import WELL_KNOWN, converter_of, read_fields
from .duplicates import Conflict, count_keys
from .zeros import writer_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from .conversion import Convert, Reader
    from .zeros import Writer

    Count = Callable[[Any], int]

_LEGACY_REQUIRED = 3  # protobuf-py does not export its enum of presences
_OPEN_VALUES = {"Struct", "Value", "ListValue", "Any"}
_SPECIAL = _OPEN_VALUES | WELL_KNOWN.keys()


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

    @property
    def writer(self) -> Writer:
        """What ``restore_zeros`` needs of it."""
        message = self.message
        nested = None if message is None or message.is_special else message.writers
        return writer_of(self.description, nested, in_oneof=self.in_oneof)


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
        self.writers.update((key, shape.writer) for key, shape in self.fields.items())
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


def special(description: DescMessage) -> str | None:
    """Return the short name of a well-known type with a JSON form of its own, else None."""
    package, _, name = description.type_name.rpartition(".")
    if package != "google.protobuf":
        return None
    return name if name in _SPECIAL else None


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
            convert=converter_of(value, self._message_converter),
            in_oneof=oneof is not None,
            takes_null=single and _takes_null(element),
            message=self.of(element) if isinstance(element, DescMessage) else None,
            slot=f"oneof {oneof.name}" if oneof is not None else description.name,
        )

    def _message_converter(self, description: DescMessage) -> Convert:
        name = special(description)
        if name is None:
            return partial(read_fields, self.of(description).readers)
        if name in _OPEN_VALUES:
            return lambda held, _: message_to_json_value(held, registry=self._registry)
        return WELL_KNOWN[name]

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
