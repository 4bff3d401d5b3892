"""FieldMasks in answers: functions have them as lists of paths, ProtoJSON as texts."""

from __future__ import annotations

import re
from functools import partial
from typing import TYPE_CHECKING, Any

from .shapes import map_elements, special

if TYPE_CHECKING:
    from .shapes import MessageShape

_UNDERSCORE = re.compile("_([a-z])")


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
