"""Rows: the way of inputs through an endpoint that no request brings, as in bulk scoring.

Decode, call and check are the endpoint's own. Where nobody waits for an answer there is no cache,
no queue and no time-out.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import orjson
from werkzeug.exceptions import HTTPException, InternalServerError, default_exceptions
from werkzeug.wrappers import Response as BaseResponse

from .errors import BadResponse
from .parameters import merge
from .response import split

if TYPE_CHECKING:
    from collections.abc import Sequence

    from flask import Flask
    from werkzeug.datastructures import MultiDict

    from .execution import Runner
    from .failures import Failures
    from .parameters import Parameters
    from .schema import Arguments, RequestSchema, ResponseSchema
    from .spec import EndpointSpec


class Rows:
    """Decodes rows, has them answered together, and describes what went wrong."""

    def __init__(
        self,
        app: Flask,
        spec: EndpointSpec,
        *,
        schema: RequestSchema,
        parameters: Parameters,
        runner: Runner,
        response: ResponseSchema,
        failures: Failures,
    ) -> None:
        self._app = app
        self._spec = spec
        self._schema = schema
        self._parameters = parameters
        self._runner = runner
        self._response = response
        self._failures = failures
        self._has_logged = False

    def decode(self, row: bytes | MultiDict[str, str], url: dict[str, Any]) -> Arguments:
        """Decode a JSON text, or what stands in a query string.

        Raises:
            InvalidRequest: As for a request.
        """
        if isinstance(row, bytes):
            arguments, _ = self._schema.read_json(row)
        else:
            arguments, _ = self._schema.read_query(row)
        if url:
            merge(arguments, url)
        self._parameters.refuse_missing(arguments)
        return arguments

    def query_value(self, query: MultiDict[str, str]) -> Any:
        """Return the JSON value that a query string stands for.

        Raises:
            InvalidRequest: For a text that does not fit its field.
        """
        return self._schema.query_value(query)

    def answer(self, rows: Sequence[Arguments]) -> list[bytes | Exception]:
        """Answer rows as JSON, or with the exception that a row led to.

        A request's context must be there, since functions may look at it.
        """
        return [self._write(answer) for answer in self._runner.run_rows(rows)]

    def settle(self, error: Exception) -> bytes | dict[str, Any]:
        """Return what a row's exception comes to, its problem document.

        It may be an answer as well, where a handler of the app makes one of it. The problem of a
        crash names the exception: who scores rows is no client.
        """
        response = self._failures.preview(error)
        status = response.status_code
        if status < HTTPStatus.BAD_REQUEST:
            try:
                return _json_of(response)
            except BadResponse as refused:
                error, status = refused, HTTPStatus.INTERNAL_SERVER_ERROR
        document = response.get_json(silent=True)
        if not isinstance(document, dict):
            document = {"detail": response.get_data(as_text=True)}
        document = {"status": status, **document}
        crashed = not isinstance(error, HTTPException)
        if status >= HTTPStatus.INTERNAL_SERVER_ERROR and (
            crashed or isinstance(error, BadResponse)
        ):
            document["exception"] = f"{type(error).__name__}: {error}"
            if crashed and not self._has_logged:  # a million rows may crash alike
                self._has_logged = True
                self._app.logger.error("%s failed", self._spec.endpoint, exc_info=error)
        return document

    def _write(self, answer: Any) -> bytes | Exception:
        """Write an answer as one line."""
        try:
            if isinstance(answer, Exception):
                return answer
            if self._spec.streams:
                return _line(b"[" + b",".join(map(self._response.write_json, answer)) + b"]")
            if isinstance(answer, BaseResponse):
                return _json_of(answer)
            if type(answer) is tuple:
                answer, status, _ = split(answer)
                if status is not None and status >= HTTPStatus.BAD_REQUEST:
                    return _refusal(status, str(answer))
            return _line(self._response.write_json(answer))
        except Exception as error:
            return error


def _json_of(response: BaseResponse) -> bytes:
    """Return the body of a response that the function, or a handler of the app, made.

    Raises:
        HTTPException: When it is an error, or no JSON.
    """
    body = response.get_data()
    if response.status_code >= HTTPStatus.BAD_REQUEST:
        raise _refusal(response.status_code, body.decode(errors="replace"))
    if not response.is_json:
        raise BadResponse(f"the answer is {response.mimetype}, not JSON")
    try:
        orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise BadResponse(f"the answer is not JSON: {error}") from None
    return _line(body.strip())


def _line(body: bytes) -> bytes:
    """Return JSON on one line: an app's own provider may indent it."""
    return body.replace(b"\n", b" ") if b"\n" in body else body


def _refusal(status: int, text: str) -> HTTPException:
    """Return the error that stands for an answer with a status of its own."""
    error = default_exceptions.get(status, InternalServerError)(text)
    error.code = status
    return error
