"""Protobuf messages as schemas, of google.protobuf and of protobuf-py alike.

ProtoJSON is parsed once, by orjson, and validated by protobuf-py (Rust), whose type is built from
the class's own descriptors. https://protobuf.dev/programming-guides/json/
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

import orjson
from protobuf import (
    DescEnum,
    DescField,
    DescMessage,
    Message,
    message_from_json_value,
    message_to_json_value,
)

from ..content import dumps, loads, plain
from ..errors import BadResponse, FieldError, InvalidRequest
from . import MAX_ERRORS
from .descriptors import MAX_ANY_DEPTH, any_depth, dynamic_type, find_types
from .duplicates import count_keys, refuse_duplicates
from .refusal import explain
from .rules import Rules, rules_of
from .shapes import (
    Conflict,
    Shapes,
    element_of,
    key_range,
    read_fields,
    restore_zeros,
    special,
    write_masks,
)
from .unknown import Known

if TYPE_CHECKING:
    from collections.abc import Callable

    from werkzeug.datastructures import MultiDict

    from ..parameters import Parameters
    from . import Arguments

# What protobuf-py raises for a value that does not fit.
_REFUSALS = (TypeError, ValueError, OverflowError, RecursionError)


class MessageType:
    """A message class, compiled: its protobuf-py type, its shape and its rules."""

    def __init__(self, message_class: Any) -> None:
        self.message_class = message_class
        self.type, self.registry = dynamic_type(message_class)
        self.is_native = self.type is message_class
        shapes = Shapes(self.registry)
        self.shape = shapes.of(self.type.desc())
        self._known = Known(shapes, self.registry)
        self._count = None if self.shape.is_special else self.shape.count
        self.rules: Rules | None = rules_of(self.type.desc())
        self._has_required = _has_field(self.type.desc(), _is_required)
        self._holds_any = _has_field(self.type.desc(), _is_any)
        self._is_ranged_late = _has_field(self.type.desc(), _is_ranged_late)

    def parse(self, value: Any) -> Message:
        """Make a message of a JSON value.

        Raises:
            TypeError, ValueError, OverflowError, RecursionError: For one that does not fit.
        """
        if self._holds_any and any_depth(value) > MAX_ANY_DEPTH:
            raise RecursionError("messages of type Any are nested too deeply")
        try:
            message = message_from_json_value(self.type, value, registry=self.registry)
        except ValueError:
            # An Any may hold any type that the program knows: learn those it names, once.
            if not find_types(self.registry, value, self.message_class):
                raise
            return self.parse(value)
        if self._has_required:
            message.to_binary()  # the engine looks for required fields only here
        return message

    def known_part(self, value: Any) -> Any:
        """Return a JSON value without the fields that the type does not have."""
        return self._known.part(self.shape, value)

    def render(self, message: Message) -> Any:
        """Return a message as ProtoJSON."""
        try:
            return message_to_json_value(message, registry=self.registry)
        except ValueError:
            if not self._learn_packed(message):
                raise
            return self.render(message)

    def render_with_zeros(self, message: Message, value: Any) -> Any:
        """Return a message as ProtoJSON, with the zeros that the JSON ``value`` sets."""
        rendered = self.render(message)
        count = self._count
        if count is not None and count(value) != count(rendered):
            restore_zeros(self.shape, value, rendered)
        return rendered

    def convert(self, message: Message) -> Any:
        """Return a message as an instance of the user's own class.

        Raises:
            OverflowError, RecursionError: For what that class can't hold.
        """
        if self.is_native:
            if self._is_ranged_late:
                message.to_binary()
            return message
        binary = message.to_binary()
        try:
            return self.message_class.FromString(binary)
        except Exception as error:  # google.protobuf's DecodeError, without importing it
            raise RecursionError("is nested too deeply") from error

    def take(self, answer: Any) -> Message:
        """Return a message of the user's own class as a protobuf-py one."""
        if isinstance(answer, Message):
            return answer
        return self.type.from_binary(answer.SerializeToString())

    def faults(
        self, value: Any, *, is_bad: bool = True, ignores_unknown: bool = False
    ) -> list[FieldError]:
        """Name every bad field of a JSON value that has been refused."""
        try:
            known = self.known_part(value) if ignores_unknown else value
            return explain(self.shape, known, self._accepts, is_bad=is_bad)
        except RecursionError:
            return [{"field": "", "message": "is nested too deeply"}]

    def _accepts(self, description: DescMessage, part: Any) -> bool:
        """Tell whether a JSON value can be a message of a type, and be written again.

        Raises:
            RecursionError: For one that is nested too deeply.
        """
        if self._holds_any and any_depth(part) > MAX_ANY_DEPTH:
            raise RecursionError
        try:
            message = message_from_json_value(description.type, part, registry=self.registry)
        except (TypeError, ValueError, OverflowError):
            return False
        try:
            message_to_json_value(message, registry=self.registry)
            if description is self.shape.description:
                self.convert(message)
            else:
                message.to_binary()
        except OverflowError:  # some ranges are found only here
            return False
        except ValueError:  # a required field is missing, which has a line of its own
            return True
        return True

    def _learn_packed(self, message: Message) -> bool:
        """Add the types of the ``Any`` messages within a message to the registry."""
        urls = [{"@type": url} for url in _packed_urls(message)]
        return find_types(self.registry, urls, self.message_class)


class MessageRequest:
    """The arguments are the fields that the client sent, under their proto names."""

    binary = True

    def __init__(
        self, message_class: Any, parameters: Parameters, ignore_unknown_fields: bool
    ) -> None:
        self._type = message_type(message_class)
        self._ignores_unknown = ignore_unknown_fields
        self._message = parameters.message
        shape = self._type.shape
        if shape.is_special and self._message is None:
            name = message_class.__name__
            raise TypeError(
                f"{name} has no fields to give as arguments; take the message itself: "
                f"def function(message: {name})"
            )
        self._readers = {
            key: field.reader
            for key, field in shape.fields.items()
            if parameters.takes_all or field.name in parameters.names
        }
        self._count = count_keys if shape.is_special else shape.count

    def read_json(self, body: bytes) -> tuple[Arguments, Any]:
        value = loads(body)
        message, known = self._parse(value)
        try:
            if known is not value:
                self._count(known)  # names of one field, members of one oneof
                refuse_duplicates(body, value)
            else:
                refuse_duplicates(body, value, self._count)
        except Conflict:
            raise self._refusal(known) from None
        return self._arguments(message, known)

    def read_query(self, query: MultiDict[str, str]) -> tuple[Arguments, Any]:
        message, known = self._parse(_nest_query(self._type.type.desc(), query))
        try:
            self._count(known)  # names of one field, members of one oneof
        except Conflict:
            raise self._refusal(known) from None
        return self._arguments(message, known)

    def read_binary(self, body: bytes) -> tuple[Arguments, Any]:
        if self._message is not None:
            return self._read_whole(body)
        try:
            message = self._type.type.from_binary(body)
            value = self._type.render(message)
        except _REFUSALS as error:
            raise InvalidRequest(f"The body is not a {self._name} message: {error}.") from None
        return self._arguments(message, value)

    @property
    def _name(self) -> str:
        return self._type.shape.description.type_name

    def canonical(self, state: Any) -> bytes:
        message, value = state
        if message is None:
            body: bytes = value
            return b"binary " + body
        try:
            rendered = self._type.render_with_zeros(message, value)
        except _REFUSALS as error:
            raise self._refusal(value, error) from None
        return orjson.dumps(rendered, option=orjson.OPT_SORT_KEYS)

    def _read_whole(self, body: bytes) -> tuple[Arguments, Any]:
        """Read a message that the function takes whole, unknown fields included."""
        assert self._message is not None
        try:
            if self._type.is_native:
                message = self._type.type.from_binary(body)
            else:
                message = self._type.message_class.FromString(body)
        except Exception as error:  # google.protobuf's DecodeError, without importing it
            raise InvalidRequest(f"The body is not a {self._name} message: {error}.") from None
        self._check_rules(message)
        return {self._message: message}, (None, body)

    def _parse(self, value: Any) -> tuple[Message, Any]:
        """Return a message, and the part of the JSON value that it was made of."""
        try:
            if not self._ignores_unknown:
                return self._type.parse(value), value
            return self._parse_known(value)
        except _REFUSALS as error:
            raise self._refusal(value, error) from None

    def _parse_known(self, value: Any) -> tuple[Message, Any]:
        known = self._type.known_part(value)
        try:
            return self._type.parse(known), known
        except _REFUSALS:
            known = self._type.known_part(value)  # an Any may be of a type that is known only now
            return self._type.parse(known), known

    def _refusal(self, value: Any, error: Exception | None = None) -> InvalidRequest:
        errors = self._type.faults(
            value, is_bad=error is not None, ignores_unknown=self._ignores_unknown
        )
        if not errors and error is not None:
            errors = [{"field": "", "message": str(error)}]
        more = " Only the first bad fields are named." if len(errors) == MAX_ERRORS else ""
        return InvalidRequest(f"The request does not fit {self._name}.{more}", errors=errors)

    def _arguments(self, message: Message, value: Any) -> tuple[Arguments, Any]:
        self._check_rules(message)
        try:
            arguments = read_fields(self._readers, message, value) if self._readers else {}
            if self._message is not None:
                arguments[self._message] = self._type.convert(message)
        except Conflict:
            raise self._refusal(value, ValueError("a map names a key twice")) from None
        except _REFUSALS as error:
            raise self._refusal(value, error) from None
        return arguments, (message, value)

    def _check_rules(self, message: Any) -> None:
        if self._type.rules is not None:
            errors = self._type.rules.violations(message)
            if errors:
                raise InvalidRequest(f"The request breaks rules of {self._name}.", errors=errors)


class MessageResponse:
    """The answer is ProtoJSON, or the message's binary form."""

    binary = True

    def __init__(self, message_class: Any) -> None:
        self._type = message_type(message_class)

    def write_json(self, answer: Any) -> bytes:
        message, value = self._check(answer)
        try:
            if value is None:
                return dumps(self._type.render(message))
            return dumps(self._type.render_with_zeros(message, value))
        except (*_REFUSALS, Conflict) as error:
            raise self._bad(str(error) or "two keys mean the same field", value) from error

    def write_binary(self, answer: Any) -> bytes:
        if isinstance(answer, self._type.message_class) and not self._type.is_native:
            self._check_rules(answer)
            try:
                serialized: bytes = answer.SerializeToString()
            except Exception as error:  # google.protobuf's EncodeError, without importing it
                raise self._bad(str(error), None) from error
            return serialized
        message, value = self._check(answer)
        try:
            return message.to_binary()
        except _REFUSALS as error:
            raise self._bad(str(error), value) from error

    def _check(self, answer: Any) -> tuple[Message, Any]:
        """Return an answer as a message, with the JSON value it was made of, if any."""
        value = None
        if isinstance(answer, self._type.message_class):
            try:
                message = self._type.take(answer)
            except Exception as error:  # a required field is missing
                raise self._bad(str(error), None) from error
        else:
            message, value = self._parse(answer)
        self._check_rules(message)
        return message, value

    def _parse(self, answer: Any) -> tuple[Message, Any]:
        try:
            return self._type.parse(answer), answer
        except _REFUSALS:
            # Bytes, times, numpy and the like have a JSON form that the engine wants to see.
            value = write_masks(self._type.shape, plain(answer, nonfinite=_proto_float))
        try:
            return self._type.parse(value), value
        except _REFUSALS as error:
            raise self._bad(str(error), value) from error

    def _check_rules(self, message: Any) -> None:
        if self._type.rules is not None:
            faults = self._type.rules.violations(message)
            if faults:
                raise BadResponse(f"the answer breaks rules of {self._name}", faults)

    @property
    def _name(self) -> str:
        return self._type.shape.description.type_name

    def _bad(self, reason: str, value: Any) -> BadResponse:
        faults = self._type.faults(value) if isinstance(value, dict) else []
        return BadResponse(
            f"the answer does not fit {self._name}" + ("" if faults else f": {reason}"), faults
        )


@cache
def message_type(message_class: Any) -> MessageType:
    """Return a message class compiled: once per class and process."""
    return MessageType(message_class)


def render_message(message: Any) -> Any:
    """Return a message that stands somewhere in an answer as ProtoJSON."""
    compiled = message_type(type(message))
    return compiled.render(compiled.take(message))


def _proto_float(value: float) -> str:
    if value != value:
        return "NaN"
    return "Infinity" if value > 0 else "-Infinity"


def _has_field(description: DescMessage, wanted: Callable[[DescField], bool]) -> bool:
    """Tell whether a message of this type may have such a field, at any depth."""
    seen: set[str] = set()
    pending = [description]
    while pending:
        item = pending.pop()
        if item.type_name in seen:
            continue
        seen.add(item.type_name)
        for field in item.fields:
            if wanted(field):
                return True
            element = element_of(field)
            if isinstance(element, DescMessage):
                pending.append(element)
    return False


def _is_required(field: DescField) -> bool:
    return field.presence == 3  # LEGACY_REQUIRED; protobuf-py does not export the enum


def _is_any(field: DescField) -> bool:
    element = element_of(field)
    return isinstance(element, DescMessage) and special(element) == "Any"


def _is_ranged_late(field: DescField) -> bool:
    """Tell whether the engine looks at the range of its numbers only in ``to_binary``."""
    return isinstance(element_of(field), DescEnum) or key_range(field.value) is not None


def _packed_urls(message: Message) -> list[str]:
    """Return the type URLs of all ``Any`` messages within a message."""
    if message.desc().type_name == "google.protobuf.Any":
        return [str(message.type_url)]  # type: ignore[attr-defined]  # a field of Any
    urls = []
    for field in message:
        held = message[field]
        items = held.values() if isinstance(held, dict) else held
        for item in items if isinstance(held, list | dict) else [held]:
            if isinstance(item, Message):
                urls += _packed_urls(item)
    return urls


def _nest_query(description: DescMessage, query: MultiDict[str, str]) -> dict[str, Any]:
    """Turn a query string into a JSON value: ``a.b=1`` is a field of a field, ``c=1&c=2`` a list.

    As in https://google.aip.dev/127, the HTTP form of gRPC methods.
    """
    value: dict[str, Any] = {}
    for path, texts in query.lists():
        *parents, name = path.split(".")
        place, message = value, description
        for parent in parents:
            place = place.setdefault(parent, {})
            field = _field(message, parent)
            nested = getattr(field.value, "message", None) if field is not None else None
            if not isinstance(place, dict) or nested is None or special(nested) is not None:
                raise InvalidRequest(
                    "The query string does not fit the endpoint.",
                    errors=[{"field": path, "message": f"{parent} has no fields of its own"}],
                )
            message = nested
        if name in place:
            raise InvalidRequest(
                "The query string does not fit the endpoint.",
                errors=[{"field": path, "message": "is given in two ways"}],
            )
        place[name] = _query_value(_field(message, name), texts)
    return value


def _field(description: DescMessage, name: str) -> Any:
    return next((f for f in description.fields if name in {f.name, f.json_name}), None)


def _query_value(field: Any, texts: list[str]) -> Any:
    element = getattr(field.value, "element", None) if field is not None else None
    items = (
        [_query_item(field.value if element is None else element, text) for text in texts]
        if field is not None
        else texts
    )
    return items if element is not None or len(items) > 1 else items[0]


def _query_item(kind: Any, text: str) -> Any:
    """Give a text the JSON type that ProtoJSON wants where a string won't do: bool, enum number."""
    scalar = getattr(kind, "scalar", kind)
    if text in {"true", "false"} and scalar == 8:  # ScalarType.BOOL
        return text == "true"
    if text.lstrip("-").isdecimal() and hasattr(getattr(kind, "enum", kind), "values"):
        return int(text)
    return text
