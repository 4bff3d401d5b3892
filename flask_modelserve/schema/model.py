"""Pydantic-style classes: anything with ``model_validate`` and ``model_json_schema``."""

from __future__ import annotations

import inspect
from functools import partial
from typing import TYPE_CHECKING, Any, NoReturn

import orjson

from ..content import PROTOBUF, dumps, loads, refuse_depth
from ..errors import BadResponse, FieldError, InvalidRequest
from . import bounded
from .duplicates import refuse_duplicates

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from werkzeug.datastructures import MultiDict

    from ..parameters import Parameters
    from . import Arguments


class ModelRequest:
    """The arguments are the fields that the client sent, as the class validated them."""

    binary = False

    def __init__(self, schema: Any, parameters: Parameters, ignore_unknown_fields: bool) -> None:
        self._validate = _validator(schema, ignore_unknown_fields)
        self._parameters = parameters
        properties = schema.model_json_schema().get("properties", {})
        self._lists = {name for name, kind in properties.items() if kind.get("type") == "array"}

    def read_json(self, body: bytes) -> tuple[Arguments, Any]:
        value = loads(body)
        refuse_depth(body, value)
        refuse_duplicates(body, value)
        return self._read(value)

    def read_query(self, query: MultiDict[str, str]) -> tuple[Arguments, Any]:
        return self._read(self.query_value(query))

    def query_value(self, query: MultiDict[str, str]) -> Any:
        return {
            name: texts if name in self._lists or len(texts) > 1 else texts[0]
            for name, texts in query.lists()
        }

    def read_binary(self, body: bytes) -> NoReturn:
        raise NotImplementedError(f"a {type(self).__name__} does not read {PROTOBUF}")

    def _read(self, value: Any) -> tuple[Arguments, Any]:
        try:
            model = self._validate(value)
        except (ValueError, TypeError) as error:
            raise InvalidRequest(
                "The request does not fit the schema.", errors=_errors(error)
            ) from None
        return self._arguments(model), value

    def canonical(self, state: Any) -> bytes:
        return orjson.dumps(state, option=orjson.OPT_SORT_KEYS)

    def _arguments(self, model: Any) -> Arguments:
        parameters = self._parameters
        sent: Iterable[str] = getattr(model, "model_fields_set", vars(model))
        arguments = {
            name: getattr(model, name)
            for name in sent
            if parameters.takes_all or name in parameters.names
        }
        if parameters.message is not None:
            arguments[parameters.message] = model
        return arguments


class ModelResponse:
    """The answer is what the class makes of it, under its aliases."""

    binary = False

    def __init__(self, schema: Any) -> None:
        self._schema = schema

    def write_json(self, answer: Any) -> bytes:
        try:
            model = self._schema.model_validate(answer)
        except (ValueError, TypeError) as error:
            raise BadResponse(
                f"the answer does not fit {self._schema.__name__}", _errors(error)
            ) from error
        return dumps(model.model_dump(mode="json", by_alias=True))

    def write_binary(self, answer: Any) -> NoReturn:
        raise NotImplementedError(f"{self._schema.__name__} has no {PROTOBUF} form")


def _validator(schema: Any, ignore_unknown_fields: bool) -> Any:
    """Return ``model_validate``, told what to do with unknown fields unless the class says it."""
    extra = extra_of(schema, ignore_unknown_fields)
    return schema.model_validate if extra is None else partial(schema.model_validate, extra=extra)


def extra_of(schema: Any, ignore_unknown_fields: bool) -> str | None:
    """Return what a class is told to do with unknown fields; None where it is left to itself."""
    if (
        "extra" in inspect.signature(schema.model_validate).parameters
        and getattr(schema, "model_config", {}).get("extra") is None
    ):
        return "ignore" if ignore_unknown_fields else "forbid"
    return None


def _errors(error: Exception) -> list[FieldError]:
    """Return the places that a pydantic-style error names, in this project's spelling."""
    details: Callable[[], Iterable[Any]] | None = getattr(error, "errors", None)
    if details is None:
        return [{"field": "", "message": str(error)}]
    return bounded(
        {"field": _path(detail["loc"]), "message": detail["msg"]} for detail in details()
    )


def _path(location: Iterable[str | int]) -> str:
    path = ""
    for part in location:
        path += f"[{part}]" if isinstance(part, int) else f".{part}" if path else part
    return path
