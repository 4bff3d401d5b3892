"""URL rules as paths of OpenAPI, with their parameters."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from werkzeug.routing import (
    AnyConverter,
    FloatConverter,
    IntegerConverter,
    UnicodeConverter,
    UUIDConverter,
)
from werkzeug.routing.converters import NumberConverter

if TYPE_CHECKING:
    from werkzeug.routing import BaseConverter, Rule

    from .components import Schema

# A variable of a rule: <name>, <int:name>, <any("a>b", c):name>.
_VARIABLE = re.compile(r"""<(?:[^<>"':]*(?:\((?:"[^"]*"|'[^']*'|[^)])*\))?:)?([A-Za-z_]\w*)>""")


def path_of(rule: Rule) -> str:
    """Return the path of a rule: ``/flats/<int:id>`` is ``/flats/{id}``."""
    literal = rule.rule.replace("%", "%25").replace("{", "%7B").replace("}", "%7D")
    return _VARIABLE.sub(r"{\1}", literal)


def path_parameters(rule: Rule) -> list[Schema]:
    """Return the parameters that stand in a rule's path."""
    converters = rule._converters  # noqa: SLF001 - where else the types are is nowhere public
    return [
        {"name": name, "in": "path", "required": True, "schema": _schema(converters[name])}
        for name in _VARIABLE.findall(rule.rule)
    ]


def _schema(converter: BaseConverter) -> Schema:
    if isinstance(converter, NumberConverter):
        return _number_schema(converter)
    if isinstance(converter, UUIDConverter):
        return {"type": "string", "format": "uuid"}
    if isinstance(converter, AnyConverter):
        return {"type": "string", "enum": sorted(converter.items)}
    if isinstance(converter, UnicodeConverter):
        return {"type": "string"} | _length(converter)
    return {"type": "string", "minLength": 1}


def _number_schema(converter: NumberConverter) -> Schema:
    schema: Schema = {"type": "integer" if isinstance(converter, IntegerConverter) else "number"}
    least = converter.min if converter.min is not None or converter.signed else 0
    for keyword, bound in (("minimum", least), ("maximum", converter.max)):
        if bound is not None:
            schema[keyword] = bound
    if isinstance(converter, FloatConverter):
        schema["description"] = "With a decimal point, such as 1.0."
    return schema


def _length(converter: UnicodeConverter) -> dict[str, Any]:
    """Return the bounds of a text's length, which the converter has in its pattern only."""
    bounds = re.fullmatch(r"\[\^/\]\{(\d+)(,?)(\d*)\}", converter.regex)
    if bounds is None:
        return {"minLength": 1}
    least, comma, most = bounds.groups()
    most = most or ("" if comma else least)
    return {"minLength": int(least)} | ({"maxLength": int(most)} if most else {})
