"""A message class, compiled: what makes messages of JSON values, and JSON values of messages.

The engine is protobuf-py (Rust); its types are built from the classes' own descriptors.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

from protobuf import (
    DescEnum,
    DescField,
    DescMessage,
    Message,
    message_from_json_value,
    message_to_json_value,
)

from .conversion import key_range
from .descriptors import MAX_ANY_DEPTH, any_depth, dynamic_type, find_types
from .refusal import explain
from .rules import Rules, rules_of
from .shapes import Shapes, element_of, is_required, special
from .unknown import Known
from .zeros import restore_zeros

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..errors import FieldError

# What protobuf-py raises for a value that does not fit.
REFUSALS = (TypeError, ValueError, OverflowError, RecursionError)


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
        self._has_required = _has_field(self.type.desc(), is_required)
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

    def parse_writable(self, value: Any) -> Message:
        """Make a message of a JSON value that can be written as JSON again; it raises as ``parse``.

        The engine refuses some paths of a FieldMask, such as those of "a,", only when it writes.
        """
        message = self.parse(value)
        self.render(message)
        return message

    @property
    def parse_sent(self) -> Callable[[Any], Message]:
        """What makes messages of what clients send: ``parse``, unless there may be FieldMasks."""
        is_mask = special(self.type.desc()) in {"FieldMask", "Any"}
        holds_mask = self._holds_any or _has_field(self.type.desc(), _is_mask)
        return self.parse_writable if is_mask or holds_mask else self.parse

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
            restore_zeros(self.shape.writers, value, rendered)
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
        except ValueError:
            return _lacks_required(message)  # which has a line of its own
        return True

    def _learn_packed(self, message: Message) -> bool:
        """Add the types of the ``Any`` messages within a message to the registry."""
        urls = [{"@type": url} for url in _packed_urls(message)]
        return find_types(self.registry, urls, self.message_class)


@cache
def message_type(message_class: Any) -> MessageType:
    """Return a message class compiled: once per class and process."""
    return MessageType(message_class)


def render_message(message: Any) -> Any:
    """Return a message that stands somewhere in an answer as ProtoJSON."""
    message_class: Any = type(message)
    compiled = message_type(message_class)
    return compiled.render(compiled.take(message))


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


def _is_any(field: DescField) -> bool:
    element = element_of(field)
    return isinstance(element, DescMessage) and special(element) == "Any"


def _is_mask(field: DescField) -> bool:
    element = element_of(field)
    return isinstance(element, DescMessage) and special(element) == "FieldMask"


def _lacks_required(message: Message) -> bool:
    try:
        message.to_binary()
    except ValueError:
        return True
    return False


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
