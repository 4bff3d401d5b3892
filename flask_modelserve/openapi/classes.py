"""Schema classes of all kinds as JSON Schema."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..schema import kind_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from .components import Components, Mode, Schema


def class_schema(
    schema: Any,
    components: Components,
    mode: Mode,
    required: Iterable[str] = (),
    *,
    ignore_unknown_fields: bool = True,
) -> Schema:
    """Return the schema of a message class or a pydantic-style class.

    Args:
        schema: The class.
        components: Where its schema is kept, and those of all classes within it.
        mode: Whether clients send it or get it.
        required: The names of fields that the endpoint can't do without.
        ignore_unknown_fields: Whether the endpoint accepts fields that the class does not have.

    Raises:
        TypeError: For any other class.
    """
    if kind_of(schema, "schema") == "protobuf":
        from ..schema.messages import message_type
        from .messages import message_schema

        description = message_type(schema).type.desc()
        is_open = ignore_unknown_fields and mode == "Input"
        return message_schema(description, components, mode, required, is_open=is_open)
    from .models import model_schema

    return model_schema(
        schema, components, mode, required, ignore_unknown_fields=ignore_unknown_fields
    )
