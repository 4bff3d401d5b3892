"""Annotations of functions as JSON Schema: of their parameters, and of what they return."""

from __future__ import annotations

import dataclasses
import datetime as dt
import decimal
import enum
import inspect
import types
import typing
import uuid
from collections.abc import Collection, Iterable, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .components import Components, Mode, Schema

JSON_INTEGERS = range(-(2**63), 2**64)  # those that orjson reads, with a sign or without
_INT = {"type": "integer", "minimum": JSON_INTEGERS[0], "maximum": JSON_INTEGERS[-1]}
_PLAIN: dict[Any, Schema] = {
    None: {"type": "null"},
    type(None): {"type": "null"},
    bool: {"type": "boolean"},
    float: {"type": "number"},
    str: {"type": "string"},
    bytes: {"type": "string", "format": "byte", "contentEncoding": "base64"},
    dt.datetime: {"type": "string", "format": "date-time"},
    dt.date: {"type": "string", "format": "date"},
    dt.time: {"type": "string", "format": "time"},
    dt.timedelta: {"type": "string", "pattern": r"^-?[0-9]+(\.[0-9]+)?s$"},
    decimal.Decimal: {"type": "string"},
    uuid.UUID: {"type": "string", "format": "uuid"},
}
_CONTAINERS = {"builtins", "collections", "collections.abc"}  # those whose arguments are elements


def annotation_schema(annotation: Any, components: Components, mode: Mode) -> Schema:
    """Return the schema of an annotation; that of anything, for one that says nothing here."""
    if not hasattr(annotation, "__args__"):  # typing.List alone is list
        annotation = typing.get_origin(annotation) or annotation
    if annotation is int:
        return dict(_INT) if mode == "Input" else {"type": "integer"}
    if typing.get_origin(annotation) is not None:
        return _generic_schema(annotation, components, mode)
    try:
        plain = _PLAIN.get(annotation)
    except TypeError:  # one that can't be hashed
        return {}
    if plain is not None:
        return dict(plain)
    if isinstance(annotation, typing.NewType):
        return annotation_schema(annotation.__supertype__, components, mode)
    return _class_schema(annotation, components, mode) if isinstance(annotation, type) else {}


def _generic_schema(annotation: Any, components: Components, mode: Mode) -> Schema:
    """Return the schema of an annotation with arguments in brackets, or of a union."""
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)

    def of(part: Any) -> Schema:
        return annotation_schema(part, components, mode)

    if origin is typing.Annotated:
        texts = [each for each in arguments[1:] if isinstance(each, str)]
        return of(arguments[0]) | ({"description": texts[0]} if texts else {})
    if origin in {typing.Required, typing.NotRequired, typing.Final}:
        return of(arguments[0])
    if origin is typing.Literal:
        return _choice(arguments)
    if origin in {typing.Union, types.UnionType}:
        parts = [of(part) for part in arguments]
        return {} if {} in parts else {"anyOf": parts}
    if not isinstance(origin, type) or origin.__module__ not in _CONTAINERS:
        return {}
    if issubclass(origin, Mapping):
        values = of(arguments[-1])
        return {"type": "object"} | ({"additionalProperties": values} if values else {})
    if issubclass(origin, tuple) and arguments[-1:] != (Ellipsis,):
        items = [of(part) for part in arguments]
        size = len(items)
        first = {"prefixItems": items} if items else {}
        return {"type": "array", **first, "minItems": size, "maxItems": size}
    if issubclass(origin, Collection) or origin is Iterable:
        return {"type": "array", "items": of(arguments[0])}
    return {}


def _choice(options: Iterable[Any]) -> Schema:
    values = [each.value if isinstance(each, enum.Enum) else each for each in options]
    is_json = all(value is None or isinstance(value, str | int | float) for value in values)
    return {"enum": values} if is_json else {}


def _class_schema(kind: type, components: Components, mode: Mode) -> Schema:
    if issubclass(kind, enum.Enum):
        return _choice(kind)
    if typing.is_typeddict(kind):
        required: frozenset[str] = kind.__required_keys__  # type: ignore[attr-defined]  # it has
        optional: frozenset[str] = kind.__optional_keys__  # type: ignore[attr-defined]  # it has
        return _members_schema(kind, required | optional, required, components, mode)
    if dataclasses.is_dataclass(kind):
        fields = [field.name for field in dataclasses.fields(kind)]
        names = [name for name in fields if not name.startswith("_")]  # as answers are written
        return _members_schema(kind, names, names, components, mode)
    if issubclass(kind, dict | Mapping):
        return {"type": "object"}
    if issubclass(kind, list | tuple | set | frozenset):
        return {"type": "array", "items": {}}
    from .classes import class_schema

    try:
        return class_schema(kind, components, mode)
    except TypeError:  # a class that says nothing about its JSON form
        return {}


def _members_schema(
    kind: type,
    names: Collection[str],
    required: Collection[str],
    components: Components,
    mode: Mode,
) -> Schema:
    """Return the schema of a class that names its members: a TypedDict or a dataclass."""
    try:
        hints = typing.get_type_hints(kind, include_extras=True)
    except Exception:  # whatever evaluating an annotation may raise
        return {"type": "object"}
    members = {name: hint for name, hint in hints.items() if name in names}

    def make() -> Schema:
        properties = {
            name: annotation_schema(member, components, mode) for name, member in members.items()
        }
        schema: Schema = {"type": "object", "properties": properties}
        text = inspect.cleandoc(vars(kind).get("__doc__") or "")
        if text and not text.startswith(f"{kind.__name__}("):  # as dataclasses make for themselves
            schema["description"] = text
        # A TypedDict whose annotations are texts does not know which of them say NotRequired.
        needed = [
            name
            for name, member in members.items()
            if name in required and typing.get_origin(member) is not typing.NotRequired
        ]
        return schema | ({"required": needed} if needed else {})

    return components.reference(kind.__name__, mode, kind, make)
