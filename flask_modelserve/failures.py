"""What becomes of an exception: a response, a line in the log, a signal."""

from __future__ import annotations

import sys
from http import HTTPStatus
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from flask import Flask, request
from flask.signals import got_request_exception
from werkzeug.exceptions import HTTPException, InternalServerError

from .errors import BadResponse, DeadlineExceeded, Overloaded, problem
from .request_id import request_id_of
from .response import unidentified

if TYPE_CHECKING:
    from flask import Response

# Plain numbers: to look up a member of an enum is a call.
_BAD_REQUEST = int(HTTPStatus.BAD_REQUEST)
_SERVER_ERROR = int(HTTPStatus.INTERNAL_SERVER_ERROR)
_OUTCOMES: dict[type, str] = {
    BadResponse: "bad_response",
    DeadlineExceeded: "timeout",
    Overloaded: "overloaded",
}


class Failures:
    """Turns the exceptions of one endpoint into problem documents."""

    def __init__(self, app: Flask, endpoint: str, response_class: type[Response]) -> None:
        self._app = app
        self._endpoint = endpoint
        self._response_class = response_class

    def respond(self, error: Exception) -> tuple[Response, str]:
        """Turn an exception into a response and an outcome; the app's own handlers come first.

        Raises:
            Exception: The same, where Flask is to propagate it (debugger, tests).
        """
        app = self._app
        try:
            handled: Any = app.handle_user_exception(error)
        except Exception as unhandled:
            if _propagates(app):
                raise
            hidden = self._crash(unhandled)
            return self._as_response(app.handle_http_exception(hidden), hidden), "error"
        if isinstance(error, BadResponse):
            self._log_bad_answer(error)
        response = self._as_response(handled, error)
        return response, _OUTCOMES.get(type(error)) or outcome_of(response.status_code)

    def preview(self, error: Exception) -> Response:
        """Return what a client would get for an exception, where there is no client to be told."""
        try:
            handled: Any = self._app.handle_user_exception(error)
        except Exception as unhandled:
            handled = error = InternalServerError(original_exception=unhandled)
        if _is_left(handled, error):
            return problem(handled, self._response_class)
        return self._app.make_response(handled)

    def report(self, error: Exception) -> tuple[bytes, str]:
        """Turn an exception into a problem document and an outcome, once a response has begun."""
        if isinstance(error, BadResponse):
            self._log_bad_answer(error)
        shown = error if isinstance(error, HTTPException) else self._crash(error)
        document = self._problem(shown).get_data().strip()
        status = shown.code or HTTPStatus.INTERNAL_SERVER_ERROR
        return document, _OUTCOMES.get(type(error)) or outcome_of(status)

    def _crash(self, error: Exception) -> InternalServerError:
        """Do what Flask does with an unhandled exception, and return what the client may know."""
        self._signal(error)
        self._log_crash(error)
        return InternalServerError(original_exception=error)

    def _log_crash(self, error: Exception) -> None:
        app = self._app
        if getattr(app.log_exception, "__func__", None) is not Flask.log_exception:
            app.log_exception(sys.exc_info())  # the app has a way of its own
            return
        app.logger.error(
            "Exception on %s [%s], request %s",
            quote(request.path),  # or it might begin a line of its own
            request.method,
            request_id_of(request.environ),
            exc_info=error,
        )

    def _log_bad_answer(self, error: BadResponse) -> None:
        self._app.logger.error(
            "Bad answer of endpoint %s, request %s: %s",
            self._endpoint,
            request_id_of(request.environ),
            error,
        )
        self._signal(error)

    def _signal(self, error: Exception) -> None:
        app = self._app
        got_request_exception.send(app, _async_wrapper=app.ensure_sync, exception=error)

    def _as_response(self, handled: Any, error: Exception) -> Response:
        """Make a response of what an error handler returned: the error itself if there was none."""
        if _is_left(handled, error):
            return self._problem(handled)
        return unidentified(self._app.make_response(handled))

    def _problem(self, error: HTTPException) -> Response:
        return problem(error, self._response_class, request_id_of(request.environ))


def _is_left(handled: Any, error: Exception) -> bool:
    """Tell whether the app has no handler for an error, which has no response of its own."""
    return handled is error and isinstance(error, HTTPException) and error.response is None


def outcome_of(status: int) -> str:
    """Return what a request that was answered with a status counts as."""
    if status < _BAD_REQUEST:
        return "ok"
    return "invalid" if status < _SERVER_ERROR else "error"


def _propagates(app: Flask) -> bool:
    """Tell whether Flask would let an unhandled exception through, as its ``handle_exception``."""
    configured = app.config["PROPAGATE_EXCEPTIONS"]
    return bool(app.testing or app.debug) if configured is None else bool(configured)
