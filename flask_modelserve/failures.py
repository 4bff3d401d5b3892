"""What becomes of an exception: a response, a line in the log, a signal."""

from __future__ import annotations

import sys
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from flask.signals import got_request_exception
from werkzeug.exceptions import HTTPException, InternalServerError

from .errors import BadResponse, DeadlineExceeded, Overloaded, problem

if TYPE_CHECKING:
    from flask import Flask, Response

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
            return self._as_response(self._app.handle_user_exception(error), error)
        except Exception as unhandled:
            hidden = InternalServerError(original_exception=unhandled)
            return problem(hidden, self._response_class)

    def report(self, error: Exception) -> tuple[bytes, str]:
        """Turn an exception into a problem document and an outcome, once a response has begun."""
        if isinstance(error, BadResponse):
            self._log_bad_answer(error)
        shown = error if isinstance(error, HTTPException) else self._crash(error)
        document = problem(shown, self._response_class).get_data().strip()
        status = shown.code or HTTPStatus.INTERNAL_SERVER_ERROR
        return document, _OUTCOMES.get(type(error)) or outcome_of(status)

    def _crash(self, error: Exception) -> InternalServerError:
        """Do what Flask does with an unhandled exception, and return what the client may know."""
        self._signal(error)
        self._app.log_exception(sys.exc_info())
        return InternalServerError(original_exception=error)

    def _log_bad_answer(self, error: BadResponse) -> None:
        self._app.logger.error("Bad answer of endpoint %s: %s", self._endpoint, error)
        self._signal(error)

    def _signal(self, error: Exception) -> None:
        app = self._app
        got_request_exception.send(app, _async_wrapper=app.ensure_sync, exception=error)

    def _as_response(self, handled: Any, error: Exception) -> Response:
        """Make a response of what an error handler returned: the error itself if there was none."""
        if handled is error and isinstance(error, HTTPException) and error.response is None:
            return problem(error, self._response_class)
        return self._app.make_response(handled)


def outcome_of(status: int) -> str:
    """Return what a request that was answered with a status counts as."""
    if status < HTTPStatus.BAD_REQUEST:
        return "ok"
    return "invalid" if status < HTTPStatus.INTERNAL_SERVER_ERROR else "error"


def _propagates(app: Flask) -> bool:
    """Tell whether Flask would let an unhandled exception through, as its ``handle_exception``."""
    configured = app.config["PROPAGATE_EXCEPTIONS"]
    return bool(app.testing or app.debug) if configured is None else bool(configured)
