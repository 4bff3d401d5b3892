"""Pydantic-style classes as JSON Schema: what ``model_json_schema`` says, its ``$defs`` moved."""

from __future__ import annotations

import inspect
import json
from typing import TYPE_CHECKING, Any

from ..nested import with_texts
from ..schema.model import extra_of
from .annotations import JSON_INTEGERS

if TYPE_CHECKING:
    from collections.abc import Iterable

    from .components import Components, Mode, Schema

_DEFINITION = "#/$defs/"
_UNSAYABLE: Any = object()


def model_schema(
    model: Any,
    components: Components,
    mode: Mode,
    required: Iterable[str],
    *,
    ignore_unknown_fields: bool,
) -> Schema:
    """Return the schema of a pydantic-style class; for the arguments see ``class_schema``."""
    described = _described(model, mode)
    if mode == "Input":
        _bound(described, is_closed=extra_of(model, ignore_unknown_fields) == "forbid")
    definitions: dict[str, Schema] = described.pop("$defs", {})
    if "$ref" in described:  # a class that holds itself
        described = dict(definitions[described["$ref"].removeprefix(_DEFINITION)])
    needed = [_alias(model, field, described) for field in required]
    needed = [alias for alias in needed if alias in described.get("properties", {})]
    if needed:
        # The order in which the class declares them, not the function.
        known = {*described.get("required", ()), *needed}
        described["required"] = [alias for alias in described["properties"] if alias in known]
    return _move(model.__name__, described, definitions, components, mode)


def _described(model: Any, mode: Mode) -> Schema:
    describe = model.model_json_schema
    options: dict[str, Any] = {}
    if "mode" in inspect.signature(describe).parameters:
        options["mode"] = "validation" if mode == "Input" else "serialization"
    try:
        text = json.dumps(describe(**options))
    except Exception:  # what a class has no schema for is its own affair, and no other endpoint's
        return {}
    # A copy, since a class may keep what it returns; without infinite defaults.
    schema: Schema = json.loads(
        text,
        parse_constant=lambda _: _UNSAYABLE,
        object_hook=lambda it: {key: item for key, item in it.items() if item is not _UNSAYABLE},
    )
    return schema


def _alias(model: Any, field: str, described: Schema) -> str:
    """Return the name that clients know a field by."""
    if field in described.get("properties", {}):
        return field
    info = getattr(model, "model_fields", {}).get(field)
    alias = getattr(info, "validation_alias", None)
    return alias if isinstance(alias, str) else field


def _bound(value: Any, *, is_closed: bool) -> None:
    """Add what the class leaves to its caller: the size of integers, and unknown fields."""
    if isinstance(value, list):
        for item in value:
            _bound(item, is_closed=is_closed)
    elif isinstance(value, dict):
        if value.get("type") == "integer":
            least, most = JSON_INTEGERS[0], JSON_INTEGERS[-1]
            value.update({"minimum": least, "maximum": most} | value)
        if is_closed and value.get("type") == "object" and "properties" in value:
            value["additionalProperties"] = False
        for item in value.values():
            _bound(item, is_closed=is_closed)


def _move(
    name: str,
    schema: Schema,
    definitions: dict[str, Schema],
    components: Components,
    mode: Mode,
) -> Schema:
    """Make a component of a schema, and of the definitions that it refers to."""
    # Definitions of one name are the same if all that they refer to is.
    reached = _closure(schema, definitions)
    text = json.dumps([schema, {each: definitions[each] for each in sorted(reached)}])

    def move(text: str) -> str:
        if not text.startswith(_DEFINITION):
            return text
        target = text.removeprefix(_DEFINITION)
        reference = _move(target, definitions[target], definitions, components, mode)
        return str(reference["$ref"])

    # It has the class's name already, and client generators name their classes by titles.
    untitled = {key: item for key, item in schema.items() if key != "title"}
    return components.reference(name, mode, text, lambda: with_texts(untitled, move))


def _closure(schema: Any, definitions: dict[str, Schema]) -> set[str]:
    """Return the names of all definitions that a schema refers to, directly or not."""
    reached: set[str] = set()
    pending = [schema]
    while pending:
        item = pending.pop()
        if isinstance(item, list):
            pending.extend(item)
        elif isinstance(item, dict):
            pending.extend(item.values())
        elif isinstance(item, str) and item.startswith(_DEFINITION):
            name = item.removeprefix(_DEFINITION)
            if name in definitions and name not in reached:
                reached.add(name)
                pending.append(definitions[name])
    return reached
