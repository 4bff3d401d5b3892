"""Query strings as messages, as https://google.aip.dev/127 has them for gRPC methods."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from protobuf import DescEnum, DescMessage, ScalarType

from ..errors import InvalidRequest
from .shapes import special

if TYPE_CHECKING:
    from werkzeug.datastructures import MultiDict


def nest_query(description: DescMessage, query: MultiDict[str, str]) -> dict[str, Any]:
    """Turn a query string into a JSON value: ``a.b=1`` is a field's field, ``c=1&c=2`` a list."""
    value: dict[str, Any] = {}
    for path, texts in query.lists():
        *parents, name = path.split(".")
        place, message = value, description
        for parent in parents:
            place = place.setdefault(parent, {})
            field = _field(message, parent)
            nested = getattr(field.value, "message", None) if field is not None else None
            if not isinstance(place, dict) or nested is None or special(nested) is not None:
                raise _refusal(path, f"{parent} has no fields of its own")
            message = nested
        if name in place:
            raise _refusal(path, "is given in two ways")
        place[name] = _query_value(_field(message, name), texts)
    return value


def _refusal(path: str, message: str) -> InvalidRequest:
    return InvalidRequest(
        "The query string does not fit the endpoint.", errors=[{"field": path, "message": message}]
    )


def _field(description: DescMessage, name: str) -> Any:
    return next((f for f in description.fields if name in {f.name, f.json_name}), None)


def _query_value(field: Any, texts: list[str]) -> Any:
    """Return the JSON value of a field: a list where it is repeated, or given several times."""
    if field is None:
        return texts[0]  # the engine says that there is no such field
    element = getattr(field.value, "element", None)
    items = [_query_item(field.value if element is None else element, text) for text in texts]
    return items if element is not None or len(items) > 1 else items[0]


def _query_item(kind: Any, text: str) -> Any:
    """Give a text the JSON type that ProtoJSON wants where a string won't do: bool, enum number."""
    if text in {"true", "false"} and _is_bool(kind):
        return text == "true"
    if text.lstrip("-").isdecimal() and isinstance(getattr(kind, "enum", kind), DescEnum):
        return int(text)
    return text


def _is_bool(kind: Any) -> bool:
    message = getattr(kind, "message", kind)
    if isinstance(message, DescMessage):
        return special(message) == "BoolValue"
    return getattr(kind, "scalar", kind) is ScalarType.BOOL
