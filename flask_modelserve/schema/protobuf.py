"""Protobuf messages as schemas, of google.protobuf and of protobuf-py alike.

ProtoJSON is parsed once, by orjson. https://protobuf.dev/programming-guides/json/
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import orjson

from ..content import dumps, loads, plain
from ..errors import BadResponse, InvalidRequest
from . import MAX_ERRORS
from .conversion import read_fields
from .duplicates import Conflict, count_keys, refuse_duplicates
from .masks import write_masks
from .messages import REFUSALS, message_type
from .query import nest_query

if TYPE_CHECKING:
    from protobuf import Message
    from werkzeug.datastructures import MultiDict

    from ..parameters import Parameters
    from . import Arguments


class MessageRequest:
    """The arguments are the fields that the client sent, under their proto names."""

    binary = True

    def __init__(
        self, message_class: Any, parameters: Parameters, ignore_unknown_fields: bool
    ) -> None:
        self._type = message_type(message_class)
        self._make = self._type.parse_sent
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
        message, known = self._parse(self.query_value(query))
        try:
            self._count(known)  # names of one field, members of one oneof
        except Conflict:
            raise self._refusal(known) from None
        return self._arguments(message, known)

    def query_value(self, query: MultiDict[str, str]) -> Any:
        return nest_query(self._type.type.desc(), query)

    def read_binary(self, body: bytes) -> tuple[Arguments, Any]:
        if self._message is not None:
            return self._read_whole(body)
        try:
            message = self._type.type.from_binary(body)
            value = self._type.render(message)
        except REFUSALS as error:
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
        except REFUSALS as error:
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
                return self._make(value), value
            return self._parse_known(value)
        except REFUSALS as error:
            raise self._refusal(value, error) from None

    def _parse_known(self, value: Any) -> tuple[Message, Any]:
        known = self._type.known_part(value)
        try:
            return self._make(known), known
        except REFUSALS:
            known = self._type.known_part(value)  # an Any may be of a type that is known only now
            return self._make(known), known

    def _refusal(self, value: Any, error: Exception | None = None) -> InvalidRequest:
        errors = self._type.faults(
            value, is_bad=error is not None, ignores_unknown=self._ignores_unknown
        )
        if not errors and error is not None:
            errors.append({"field": "", "message": str(error)})
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
        except REFUSALS as error:
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
        except (*REFUSALS, Conflict) as error:
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
        except REFUSALS as error:
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
        except REFUSALS:
            # Bytes, times, numpy and the like have a JSON form that the engine wants to see.
            value = write_masks(self._type.shape, plain(answer, nonfinite=_proto_float))
        try:
            return self._type.parse(value), value
        except REFUSALS as error:
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


def _proto_float(value: float) -> str:
    if math.isnan(value):
        return "NaN"
    return "Infinity" if value > 0 else "-Infinity"
