"""Schemas: a class compiled once into decode (requests) and check (answers).

Each kind of schema has a module of its own, imported when an app first uses that kind:
``protobuf`` for message classes, ``model`` for pydantic-style classes, and ``signature`` for
endpoints without a schema.
"""

from __future__ import annotations

import types
from itertools import islice
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from werkzeug.datastructures import MultiDict

    from ..errors import FieldError
    from ..parameters import Parameters

    Arguments = dict[str, Any]


MAX_ERRORS = 100
_MAX_TEXT = 500


class RequestSchema(Protocol):
    """Decodes a request's input into the arguments of a function.

    Each ``read_`` method returns the arguments, and what ``canonical`` makes bytes of: equal for
    inputs of equal meaning, different for all others. Only a cache asks for them.
    ``query_value`` returns the JSON value that a query string stands for.

    Raises:
        InvalidRequest: 400, with the path of every bad field.
    """

    binary: bool

    def read_json(self, body: bytes) -> tuple[Arguments, Any]: ...
    def read_binary(self, body: bytes) -> tuple[Arguments, Any]: ...
    def read_query(self, query: MultiDict[str, str]) -> tuple[Arguments, Any]: ...
    def query_value(self, query: MultiDict[str, str]) -> Any: ...
    def canonical(self, state: Any) -> bytes: ...


class ResponseSchema(Protocol):
    """Checks a function's answer and writes it.

    Raises:
        BadResponse: 500, with the path of every bad field, for the log.
    """

    binary: bool

    def write_json(self, answer: Any, /) -> bytes: ...
    def write_binary(self, answer: Any, /) -> bytes: ...


def bounded(errors: Iterable[FieldError]) -> list[FieldError]:
    """Return the first ``MAX_ERRORS``, their texts shortened: clients choose number and length."""
    return [
        {"field": _shortened(error["field"]), "message": _shortened(error["message"])}
        for error in islice(errors, MAX_ERRORS)
    ]


def _shortened(text: str) -> str:
    return text if len(text) <= _MAX_TEXT else f"{text[:_MAX_TEXT]}…"


def split_module(schema: Any, response_schema: Any) -> tuple[Any, Any]:
    """Take ``Request`` and ``Response`` out of schemas that are modules.

    Raises:
        TypeError: For a module without them.
    """
    if isinstance(schema, types.ModuleType):
        if response_schema is None:
            response_schema = schema
        schema = _member(schema, "Request")
    if isinstance(response_schema, types.ModuleType):
        response_schema = _member(response_schema, "Response")
    return schema, response_schema


def _member(module: types.ModuleType, name: str) -> Any:
    try:
        return getattr(module, name)
    except AttributeError:
        raise TypeError(
            f"the module {module.__name__} has no {name}; a module given as a schema holds "
            f"Request and Response: write schema={module.__name__}.YourMessage, or rename"
        ) from None


def kind_of(schema: Any, option: str) -> str:
    """Tell which module compiles a schema class.

    Raises:
        TypeError: For anything else than a schema class.
    """
    if isinstance(schema, type):
        if hasattr(schema, "DESCRIPTOR") or (
            callable(getattr(schema, "desc", None)) and hasattr(schema, "from_binary")
        ):
            return "protobuf"
        if hasattr(schema, "model_validate") and hasattr(schema, "model_json_schema"):
            return "model"
    hint = f" (write {option}={type(schema).__name__}, the class)" if _is_instance(schema) else ""
    raise TypeError(
        f"{option}={schema!r} is not a schema{hint}; give a protobuf message class, a module with "
        "Request and Response, a class with pydantic's model_validate and model_json_schema, "
        "or None"
    )


def _is_instance(schema: Any) -> bool:
    kind = type(schema)
    return hasattr(kind, "DESCRIPTOR") or hasattr(kind, "model_validate")


def compile_request(
    schema: Any,
    parameters: Parameters,
    *,
    ignore_unknown_fields: bool,
    loads: Callable[[bytes], Any],
) -> RequestSchema:
    """Compile the schema of a request for one function.

    Args:
        schema: A message class, a pydantic-style class, or None for the signature alone.
        parameters: What the function takes.
        ignore_unknown_fields: Accept fields that the schema does not have.
        loads: Parses JSON where there is no schema.

    Raises:
        TypeError: For anything else than a schema.
    """
    if schema is None:
        from .signature import SignatureRequest

        return SignatureRequest(parameters, ignore_unknown_fields, loads)
    if kind_of(schema, "schema") == "protobuf":
        from .protobuf import MessageRequest

        return MessageRequest(schema, parameters, ignore_unknown_fields)
    from .model import ModelRequest

    return ModelRequest(schema, parameters, ignore_unknown_fields)


def compile_response(schema: Any, *, dumps: Callable[[Any], bytes]) -> ResponseSchema:
    """Compile the schema of an answer.

    Args:
        schema: A message class, a pydantic-style class, or None for anything that JSON can hold.
        dumps: Writes JSON where there is no schema.

    Raises:
        TypeError: For anything else than a schema.
    """
    if schema is None:
        from .signature import AnyResponse

        return AnyResponse(dumps)
    if kind_of(schema, "response_schema") == "protobuf":
        from .protobuf import MessageResponse

        return MessageResponse(schema)
    from .model import ModelResponse

    return ModelResponse(schema)
