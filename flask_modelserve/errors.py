"""The errors a user meets, and how they become problem documents (RFC 9457).

    Exception
    └── ModelServeError
        ├── InvalidRequest    400  the stages read and decode, and any endpoint function
        ├── BadResponse       500  the stage check: the function's answer breaks its response_schema
        ├── Overloaded        503  the stage admission: too many calls run and wait already
        └── DeadlineExceeded  504  the stages admission and call: the time-out has passed

All are werkzeug ``HTTPException`` too, so that ``@app.errorhandler`` works on
them. Set-up mistakes are ``TypeError``, ``ValueError`` or ``RuntimeError``.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, TypedDict

from werkzeug.exceptions import (
    BadRequest,
    GatewayTimeout,
    HTTPException,
    InternalServerError,
    ServiceUnavailable,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from flask import Response


class FieldError(TypedDict):
    """One bad field: where it is (``items[1].score``) and what is wrong with it."""

    field: str
    message: str


class ModelServeError(Exception):
    """Base of all errors that flask_modelserve raises while it serves."""


class InvalidRequest(ModelServeError, BadRequest):  # noqa: N818 - the predecessor's public name
    """The client's input is wrong (HTTP 400).

    Raise it from an endpoint function; the text is shown to the client.

    Args:
        description: What is wrong, for the client.
        errors: The bad fields, each ``{"field": path, "message": text}``.
    """

    def __init__(
        self, description: str | None = None, *, errors: Iterable[FieldError] = ()
    ) -> None:
        super().__init__(description)
        self.errors = tuple(errors)


class BadResponse(ModelServeError, InternalServerError):  # noqa: N818 - named like InvalidRequest
    """The function's answer breaks its own contract (HTTP 500).

    The client learns nothing of it; the log names each field in ``faults``.
    """

    def __init__(self, reason: str, faults: Sequence[FieldError] = ()) -> None:
        super().__init__()
        self.reason = reason
        self.faults = tuple(faults)

    def __str__(self) -> str:
        return "; ".join([self.reason, *(f"{f['field']}: {f['message']}" for f in self.faults)])


class Overloaded(ModelServeError, ServiceUnavailable):  # noqa: N818 - named like InvalidRequest
    """Too many calls run and wait already (HTTP 503).

    Args:
        retry_after: Seconds until a place will be free, as measured; sent as ``Retry-After``.
    """

    def __init__(self, retry_after: int) -> None:
        super().__init__(
            "The endpoint has more requests than it can take.", retry_after=retry_after
        )


class DeadlineExceeded(ModelServeError, GatewayTimeout):  # noqa: N818 - named like InvalidRequest
    """The endpoint's time-out has passed (HTTP 504).

    Args:
        timeout: The endpoint's time-out in seconds.
        started: Whether the function had been called; it may still be running.
    """

    def __init__(self, timeout: float, *, started: bool) -> None:
        where = "while the function ran" if started else "before the function could be called"
        super().__init__(f"The endpoint's time of {timeout:g} s passed {where}.")


def problem(
    error: HTTPException,
    response_class: type[Response],
    request_id: str | None = None,
    **members: object,
) -> Response:
    """Render an error as ``application/problem+json``, keeping its own headers.

    Args:
        error: The error.
        response_class: The class of the response.
        request_id: An extension member (RFC 9457, section 3.2), as all others are; None where
            there is no request.
        **members: What else the document has.
    """
    document: dict[str, object] = {
        "type": "about:blank",
        "title": error.name,
        "status": error.code,
    }
    if error.description:
        document["detail"] = str(error.description)
    if isinstance(error, InvalidRequest) and error.errors:
        document["errors"] = error.errors
    document |= members
    if request_id is not None:
        document["request_id"] = request_id
    headers = [(key, value) for key, value in error.get_headers() if key != "Content-Type"]
    # The standard library's json: it escapes lone surrogates that a user's text may hold.
    response = response_class(json.dumps(document) + "\n", error.code, headers)
    response.content_type = "application/problem+json"
    return response
