"""Protobuf messages as JSON Schema: the forms of ProtoJSON that a client had best send.

More than these is understood (proto names, null for an absent field, numbers as strings); a
document that showed all of it would make no good clients.
https://protobuf.dev/programming-guides/json/
"""

from __future__ import annotations

import inspect
from itertools import combinations
from textwrap import dedent
from typing import TYPE_CHECKING, Any

from protobuf import (
    DescEnum,
    DescFieldValueList,
    DescFieldValueMap,
    DescFieldValueMessage,
    DescMessage,
    ScalarType,
)
from protobuf.plugin import get_comments

from ..schema.shapes import element_of, is_required, special
from .rules import is_refused_without, rules_schema

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from protobuf import DescEnumValue, DescExtension, DescField

    from .components import Components, Mode, Schema

# https://spec.openapis.org/registry/format/
_INT32 = {"type": "integer", "format": "int32", "minimum": -(2**31), "maximum": 2**31 - 1}
_UINT32 = {"type": "integer", "format": "uint32", "minimum": 0, "maximum": 2**32 - 1}
_INT64 = {"type": ["integer", "string"], "format": "int64", "minimum": -(2**63)} | {
    "maximum": 2**63 - 1
}
_UINT64 = {"type": ["integer", "string"], "format": "uint64", "minimum": 0, "maximum": 2**64 - 1}
_BYTES = {"type": "string", "format": "byte", "contentEncoding": "base64"}
_SCALARS: dict[ScalarType, Schema] = {
    ScalarType.DOUBLE: {"type": "number", "format": "double"},
    ScalarType.FLOAT: {
        "type": "number",
        "format": "float",
        "minimum": -3.4028234663852886e38,
        "maximum": 3.4028234663852886e38,
    },
    ScalarType.INT32: _INT32,
    ScalarType.SINT32: _INT32,
    ScalarType.SFIXED32: _INT32,
    ScalarType.UINT32: _UINT32,
    ScalarType.FIXED32: _UINT32,
    ScalarType.INT64: _INT64,
    ScalarType.SINT64: _INT64,
    ScalarType.SFIXED64: _INT64,
    ScalarType.UINT64: _UINT64,
    ScalarType.FIXED64: _UINT64,
    ScalarType.BOOL: {"type": "boolean"},
    ScalarType.STRING: {"type": "string"},
    ScalarType.BYTES: _BYTES,
}
_PATH = r"[a-z][A-Za-z0-9]*(\.[a-z][A-Za-z0-9]*)*"
_SPECIAL: dict[str, Schema] = {
    "Timestamp": {"type": "string", "format": "date-time"},
    # Not RFC 3339's format "duration". Eleven digits of seconds are 3,170 years.
    "Duration": {"type": "string", "pattern": r"^-?[0-9]{1,11}(\.[0-9]{1,9})?s$"},
    "FieldMask": {
        "type": "string",
        "pattern": rf"^({_PATH}(,{_PATH})*)?$",
    },
    "Struct": {"type": "object"},
    "Value": {},
    "ListValue": {"type": "array", "items": {}},
    "Any": {
        "type": "object",
        "properties": {"@type": {"type": "string"}},
        "required": ["@type"],
    },
}
_NO_TEXT = ("object", "array", "null", None)  # types that a query string can't say


def message_schema(
    description: DescMessage,
    components: Components,
    mode: Mode,
    required: Iterable[str] = (),
    *,
    is_open: bool,
) -> Schema:
    """Return the schema of a message type.

    Args:
        description: The message type.
        components: Where its schema is kept, and those of all types within it.
        mode: Whether clients send it or get it.
        required: The proto names of fields that the endpoint can't do without.
        is_open: Whether it may have fields that the type does not have, and all types within too.
    """
    name = special(description)
    if name is not None:
        return _special_schema(description, name, mode)
    needed = frozenset(required)
    return components.reference(
        description.type_name,
        mode,
        (description.type, needed, is_open),
        lambda: _fields_schema(description, components, mode, needed, is_open=is_open),
    )


def _special_schema(description: DescMessage, name: str, mode: Mode) -> Schema:
    if name in _SPECIAL:
        schema = dict(_SPECIAL[name])
        if mode == "Output":
            schema.pop("required", None)  # an Any that holds nothing is written as {}
        return schema
    wrapped = element_of(description.fields[0])
    assert isinstance(wrapped, ScalarType)
    return _scalar_schema(wrapped, mode)


def _fields_schema(
    description: DescMessage,
    components: Components,
    mode: Mode,
    needed: frozenset[str],
    *,
    is_open: bool,
) -> Schema:
    schema: Schema = {"type": "object"}
    comment = comment_of(description)
    if comment:
        schema["description"] = comment
    schema["properties"] = {
        field.json_name: field_schema(field, components, mode, is_open=is_open)
        for field in description.fields
    } | {
        f"[{extension.type_name}]": _value_schema(extension, components, mode, is_open=is_open)
        for extension in _extensions(description)
    }
    required = [
        field.json_name
        for field in description.fields
        if field.name in needed or (_is_needed(field) if mode == "Input" else is_required(field))
    ]
    if required:
        schema["required"] = required
    if not is_open and (mode == "Input" or not description.proto.extension_range):
        schema["additionalProperties"] = False
    rivals = [
        {"required": [one.json_name, other.json_name]}
        for oneof in description.oneofs
        for one, other in combinations(oneof.fields, 2)
    ]
    if rivals:
        schema["not"] = {"anyOf": rivals}
    return schema


def field_schema(field: DescField, components: Components, mode: Mode, *, is_open: bool) -> Schema:
    """Return the schema of one field, with its comment and its rules."""
    schema = _value_schema(field, components, mode, is_open=is_open)
    rules_schema(field, schema)
    comment = comment_of(field)
    if comment:
        schema["description"] = comment
    if field.deprecated:
        schema["deprecated"] = True
    return schema


def _value_schema(
    field: DescField | DescExtension, components: Components, mode: Mode, *, is_open: bool
) -> Schema:
    value = field.value
    element = _element_schema(element_of(field), components, mode, is_open=is_open)
    if isinstance(value, DescFieldValueList):
        schema: Schema = {"type": "array", "items": element}
    elif isinstance(value, DescFieldValueMap):
        schema = {"type": "object", "additionalProperties": element}
        keys = _key_schema(value.key)
        if keys:
            schema["propertyNames"] = keys
    else:
        schema = element
    return schema


def _extensions(description: DescMessage) -> list[DescExtension]:
    """Return the extensions of a message type that its own file declares."""
    file = description.file
    nested = [each for message in file.messages for each in message.nested_extensions]
    return [each for each in (*file.extensions, *nested) if each.extendee is description]


def query_schemas(
    description: DescMessage, components: Components, parents: tuple[DescField, ...] = ()
) -> Iterator[tuple[str, str, Schema, bool]]:
    """Yield what of a message a query string can say.

    Of each field: its proto name, its path as ``a.b``, its schema, and whether it is needed.
    """
    for field in description.fields:
        way = (*parents, field)
        element = element_of(field)
        path = ".".join(each.json_name for each in way)
        if isinstance(element, DescMessage) and special(element) is None:
            is_new = all(each.parent is not element for each in way)
            if is_new and isinstance(field.value, DescFieldValueMessage):
                yield from query_schemas(element, components, way)
        elif not isinstance(field.value, DescFieldValueMap):
            schema = field_schema(field, components, "Input", is_open=False)
            kind = components.schema(schema.get("items", schema)).get("type")
            if kind not in _NO_TEXT:
                name = ".".join(each.name for each in way)
                yield name, path, schema, not parents and _is_needed(field)


def _is_needed(field: DescField) -> bool:
    return is_required(field) or is_refused_without(field)


def _key_schema(key: ScalarType) -> Schema:
    if key is ScalarType.STRING:
        return {}
    if key is ScalarType.BOOL:
        return {"enum": ["true", "false"]}
    return {"type": "string", "format": _SCALARS[key]["format"]}


def _element_schema(
    element: ScalarType | DescMessage | DescEnum,
    components: Components,
    mode: Mode,
    *,
    is_open: bool,
) -> Schema:
    if isinstance(element, DescMessage):
        return message_schema(element, components, mode, is_open=is_open)
    if isinstance(element, DescEnum):
        return _enum_schema(element, components, mode)
    return _scalar_schema(element, mode)


def _scalar_schema(scalar: ScalarType, mode: Mode) -> Schema:
    schema = dict(_SCALARS[scalar])
    if isinstance(schema["type"], list) and mode == "Output":  # ProtoJSON writes 64 bits as text
        return {"type": "string", "format": schema["format"]}
    return schema


def _enum_schema(description: DescEnum, components: Components, mode: Mode) -> Schema:
    if description.type_name == "google.protobuf.NullValue":
        return {"type": "null"}

    def make() -> Schema:
        schema: Schema = {"type": "string", "enum": [value.name for value in description.values]}
        parts = [comment_of(description), *_value_lines(description)]
        text = "\n".join(part for part in parts if part)
        return {"description": text} | schema if text else schema

    return components.reference(description.type_name, mode, id(description), make)


def _value_lines(description: DescEnum) -> list[str]:
    lines = [f"* `{v.name}`: {comment}" for v in description.values if (comment := comment_of(v))]
    return ["", *lines] if lines else []


def comment_of(description: DescMessage | DescEnum | DescField | DescEnumValue) -> str:
    """Return the comment in the .proto, where the descriptor or the generated class has it.

    Descriptors made from a descriptor set with source info have it; the modules of protoc-gen-py
    have it in docstrings; those of protoc's own Python generator have none.
    """
    comment = "\n".join(get_comments(description).lines()).strip()
    return comment or _documented(description)


def _documented(description: Any) -> str:
    if isinstance(description, DescMessage | DescEnum):
        return _before_fence(_docstring(description.type))
    lines = _docstring(description.parent.type)
    head = f"    {description.local_name}:"
    return _before_fence(lines[lines.index(head) + 1 :]) if head in lines else ""


def _docstring(generated: type) -> list[str]:
    text = vars(generated).get("__doc__")
    return inspect.cleandoc(text).splitlines() if text and "```proto" in text else []


def _before_fence(lines: list[str]) -> str:
    """Return the comment above the fenced definition that protoc-gen-py adds."""
    fences = (number for number, line in enumerate(lines) if line.lstrip().startswith("```proto"))
    return dedent("\n".join(lines[: next(fences, 0)])).strip()
