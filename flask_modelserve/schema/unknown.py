"""``ignore_unknown_fields``: the part of a JSON value that a message type knows.

What is left is parsed strictly, since the engine, told to ignore what it does not know, drops
numbers of open enums too, and leaves no trace of what it has dropped.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from protobuf import DescEnum, Registry

from .shapes import element_of, map_elements

if TYPE_CHECKING:
    from .shapes import FieldShape, MessageShape, Shapes

_NOTHING: Any = object()


class Known:
    """Leaves out the fields, and the names of enum values, that message types do not have."""

    def __init__(self, shapes: Shapes, registry: Registry) -> None:
        self._shapes = shapes
        self._registry = registry

    def part(self, shape: MessageShape, value: Any) -> Any:
        """Return a JSON value without what its type does not know."""
        if type(value) is not dict:
            return value
        if shape.is_special:
            return self._packed(value) if "@type" in value else value
        known = {}
        for key, item in value.items():
            field = shape.fields.get(key)
            if field is None:
                if self._registry.extension(key.strip("[]")) is not None:
                    known[key] = item
                continue
            part = self._item(field, item)
            if part is not _NOTHING:
                known[key] = part
        return known

    def _packed(self, value: dict[str, Any]) -> dict[str, Any]:
        """Look into an Any, if its type is known yet, and has fields."""
        url = value["@type"]
        packed = self._registry.message(str(url).rpartition("/")[2])
        if packed is None or self._shapes.of(packed).is_special:
            return value
        return {"@type": url, **self.part(self._shapes.of(packed), value)}

    def _item(self, field: FieldShape, item: Any) -> Any:
        if field.message is not None:
            return map_elements(field, item, partial(self.part, field.message))
        element = element_of(field.description)
        if not isinstance(element, DescEnum):
            return item
        known = map_elements(field, item, partial(_known_value, element))
        if type(known) is list:
            return [part for part in known if part is not _NOTHING]
        if type(known) is dict:
            return {key: part for key, part in known.items() if part is not _NOTHING}
        return known


def _known_value(description: DescEnum, item: Any) -> Any:
    """Return a JSON value of an enum, unless it is a name that the enum does not have."""
    if type(item) is not str:
        return item
    found = any(item in {value.name, value.json_name} for value in description.values)
    return item if found else _NOTHING
