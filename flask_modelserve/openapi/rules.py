"""Rules of ``buf.validate`` as JSON Schema, as far as it has a word for them.

https://protovalidate.com/reference/rules/
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

from protobuf import message_to_json_value

from ..schema.rules import rules_of

if TYPE_CHECKING:
    from protobuf import DescField

    from ..schema.rules import Rules
    from .components import Schema

_KEYWORDS = {
    "minLen": "minLength",
    "maxLen": "maxLength",
    "pattern": "pattern",
    "gte": "minimum",
    "gt": "exclusiveMinimum",
    "lte": "maximum",
    "lt": "exclusiveMaximum",
    "const": "const",
    "in": "enum",
    "minItems": "minItems",
    "maxItems": "maxItems",
    "unique": "uniqueItems",
    "minPairs": "minProperties",
    "maxPairs": "maxProperties",
}
_FORMATS = {
    "email": "email",
    "hostname": "hostname",
    "ipv4": "ipv4",
    "ipv6": "ipv6",
    "uri": "uri",
    "uriRef": "uri-reference",
    "uuid": "uuid",
}
_OF_TEXT = {"pattern", "const", "enum"}
_BOUNDS = {"minimum", "exclusiveMinimum", "maximum", "exclusiveMaximum"}
_SIZES = {"minLength", "maxLength", "minItems", "maxItems", "minProperties", "maxProperties"}


def rules_schema(field: DescField, schema: Schema) -> None:
    """Add what the rules of a field say to its schema, where they are enforced."""
    options = field.proto.options
    parent: Any = field.parent.type
    if options is not None and _rules(parent) is not None and _option() in options:
        rules: Any = message_to_json_value(options[_option()])
        _add(rules, schema)


def is_refused_without(field: DescField) -> bool:
    """Tell whether the rules refuse a message for lack of a field, since its zero breaks them."""
    parent: Any = field.parent.type
    return field.name in _broken_by_nothing(parent)


@cache
def _rules(message_type: Any) -> Rules | None:
    return rules_of(message_type.desc())


@cache
def _broken_by_nothing(message_type: Any) -> frozenset[str]:
    rules = _rules(message_type)
    violations = [] if rules is None else rules.violations(message_type())
    return frozenset(error["field"] for error in violations)


@cache
def _option() -> Any:
    """Return the option ``(buf.validate.field)``."""
    from protovalidate import ViolationPb

    extensions = ViolationPb.desc().file.extensions
    return next(e for e in extensions if e.type_name == "buf.validate.field").type


def _add(rules: dict[str, Any], schema: Schema) -> None:
    """Add the rules of one value, those of its type first: ``{"string": {"minLen": "1"}}``."""
    for kind, kind_rules in rules.items():
        is_plain = kind != "enum" and "$ref" not in schema and "contentEncoding" not in schema
        if not (isinstance(kind_rules, dict) and is_plain):
            continue
        for rule, value in kind_rules.items():
            if rule in _KEYWORDS:
                _add_keyword(_KEYWORDS[rule], value, schema)
            elif rule in _FORMATS and value is True:
                schema["format"] = _FORMATS[rule]
        if "items" in kind_rules:
            _add(kind_rules["items"], schema["items"])
        if "values" in kind_rules:
            _add(kind_rules["values"], schema["additionalProperties"])


def _add_keyword(keyword: str, value: Any, schema: Schema) -> None:
    """Add one keyword, where it means of the JSON form what the rule means of the value."""
    kind = schema.get("type")
    is_wide = isinstance(kind, list)  # an integer of 64 bits, or its text
    if keyword in _SIZES or (is_wide and keyword in _BOUNDS):
        schema[keyword] = int(value)  # ProtoJSON has numbers of 64 bits as texts
        return
    is_number = kind in ("integer", "number")
    is_text = kind == "string" and "format" not in schema
    if keyword == "uniqueItems" or is_number or (is_text and keyword in _OF_TEXT):
        schema[keyword] = value
