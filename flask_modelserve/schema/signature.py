"""Endpoints without a schema: the function's signature decides."""

from __future__ import annotations

import types
import typing
from typing import TYPE_CHECKING, Any, NoReturn

import orjson

from ..content import PROTOBUF
from ..errors import FieldError, InvalidRequest
from .duplicates import refuse_duplicates

if TYPE_CHECKING:
    from collections.abc import Callable

    from werkzeug.datastructures import MultiDict

    from ..parameters import Parameters
    from . import Arguments

_BOOLEANS = {"true": True, "1": True, "false": False, "0": False}
# One type per converter: what a query string's text may be turned into.
_CONVERTERS: dict[Any, tuple[str, Callable[[str], Any]]] = {
    int: ("an integer", int),
    float: ("a number", float),
    bool: ("true or false", lambda text: _BOOLEANS[text.lower()]),
}


class SignatureRequest:
    """The arguments are the members of a JSON object, as parsed, or of a query string."""

    binary = False

    def __init__(
        self,
        parameters: Parameters,
        ignore_unknown_fields: bool,
        loads: Callable[[bytes], Any],
    ) -> None:
        self._names = parameters.names.keys()
        self._drops_unknown = ignore_unknown_fields
        self._takes_all = parameters.takes_all
        self._loads = loads
        self._query = {name: _query_reader(kind) for name, kind in parameters.names.items()}

    def read_json(self, body: bytes) -> tuple[Arguments, Any]:
        if not body and not self._names:
            return {}, {}
        value = self._loads(body)
        if type(value) is not dict:
            raise InvalidRequest(f"The body is {_json_type(value)}; send a JSON object.")
        refuse_duplicates(body, value)
        value = self._known(value)
        return value, value

    def read_query(self, query: MultiDict[str, str]) -> tuple[Arguments, Any]:
        errors: list[FieldError] = []
        value: dict[str, Any] = {}
        for name, texts in query.lists():
            try:
                value[name] = self._query.get(name, _one_text)(texts)
            except ValueError as error:
                errors.append({"field": name, "message": str(error)})
        if errors:
            raise InvalidRequest("The query string does not fit the endpoint.", errors=errors)
        value = self._known(value)
        return value, value

    def read_binary(self, body: bytes) -> NoReturn:
        raise NotImplementedError(f"an endpoint without a schema does not read {PROTOBUF}")

    def canonical(self, state: Any) -> bytes:
        return orjson.dumps(state, default=repr, option=orjson.OPT_SORT_KEYS)

    def _known(self, value: Arguments) -> Arguments:
        """Refuse or drop what the function has no parameter for."""
        if self._takes_all or value.keys() <= self._names:
            return value
        if self._drops_unknown:
            return {name: item for name, item in value.items() if name in self._names}
        raise InvalidRequest(
            "The request has fields that the endpoint does not take.",
            errors=[
                {"field": name, "message": "is not an argument of this endpoint"}
                for name in value
                if name not in self._names
            ],
        )


class AnyResponse:
    """Any answer that JSON can hold."""

    binary = False

    def __init__(self, dumps: Callable[[Any], bytes]) -> None:
        self.write_json = dumps

    def write_binary(self, answer: Any) -> NoReturn:
        raise NotImplementedError(f"an endpoint without a response_schema writes no {PROTOBUF}")


def _json_type(value: Any) -> str:
    names = {list: "an array", str: "a string", bool: "a boolean", type(None): "null"}
    return names.get(type(value), "a number")


def _one_text(texts: list[str]) -> str:
    if len(texts) > 1:
        raise ValueError(f"is given {len(texts)} times")
    return texts[0]


def _query_reader(annotation: Any) -> Callable[[list[str]], Any]:
    """Return what turns the texts of one query parameter into the annotated type.

    ``int``, ``float`` and ``bool``, optional or in a ``list``, are converted; all else is text.
    """
    if typing.get_origin(annotation) in {typing.Union, types.UnionType}:
        members = [kind for kind in typing.get_args(annotation) if kind is not type(None)]
        annotation = members[0] if len(members) == 1 else str
    if annotation is list or typing.get_origin(annotation) is list:
        element = next(iter(typing.get_args(annotation)), str)
        return lambda texts: [_convert(element, text) for text in texts]
    return lambda texts: _convert(annotation, _one_text(texts))


def _convert(kind: Any, text: str) -> Any:
    if kind not in _CONVERTERS:
        return text
    expected, convert = _CONVERTERS[kind]
    try:
        return convert(text)
    except (ValueError, KeyError):
        raise ValueError(f"must be {expected}") from None
