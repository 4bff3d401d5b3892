"""The body of a request: read whole, and never more of it than is allowed."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

from werkzeug.exceptions import (
    ClientDisconnected,
    HTTPException,
    RequestEntityTooLarge,
    UnsupportedMediaType,
)

from .errors import InvalidRequest

if TYPE_CHECKING:
    from flask import Flask, Request


class BodyReader:
    """Reads the bodies of the requests to one app's endpoints.

    Args:
        app: The app.
        max_bytes: The largest body that is read; None for no limit.
        yields: The app's ``MAX_CONTENT_LENGTH``, where it has one, is the limit instead.
    """

    def __init__(self, app: Flask, max_bytes: int | None, *, yields: bool) -> None:
        self._config = app.config
        self._max_bytes = max_bytes
        self._yields = yields

    def read(self, request: Request) -> bytes:
        """Read the whole body.

        Raises:
            InvalidRequest: 400, for a body that is cut or badly chunked.
            UnsupportedMediaType: 415, for a Content-Encoding such as gzip.
            RequestEntityTooLarge: 413, over the limit.
        """
        environ = request.environ
        encoding = environ.get("HTTP_CONTENT_ENCODING")
        if encoding and encoding.strip().lower() != "identity":
            raise UnsupportedMediaType(
                f"A body of Content-Encoding {encoding} is not understood; send it without."
            )
        announced = environ.get("CONTENT_LENGTH", "")
        length = int(announced) if announced.isdecimal() else None
        try:
            if length is not None and "stream" not in request.__dict__:
                body = self._read_announced(request, length)
            else:
                body = self._read_unannounced(request)
        except ClientDisconnected:
            raise InvalidRequest("The body is cut: the connection ended before it did.") from None
        except HTTPException:
            raise
        except Exception as error:  # each server raises errors of its own for a bad chunk
            raise InvalidRequest("The body could not be read: its chunks are broken.") from error
        if length is not None and len(body) != length:
            raise _cut(request, body, length)
        return body

    def _limit(self, request: Request) -> int | None:
        # Flask's property goes through two proxies; the limit of one request is set where it
        # keeps it.
        limit: int | None = vars(request).get("_max_content_length")
        if limit is None and self._yields:
            limit = self._config["MAX_CONTENT_LENGTH"]
        return self._max_bytes if limit is None else limit

    def _read_announced(self, request: Request, length: int) -> bytes:
        """Read a body of known length off the server: ``get_data`` costs four times as much."""
        limit = self._limit(request)
        if limit is not None and length > limit:
            raise _too_large(limit)
        body: bytes = request.environ["wsgi.input"].read(length)
        vars(request)["stream"] = io.BytesIO(body)  # hooks that ask for the body find it there
        return body

    def _read_unannounced(self, request: Request) -> bytes:
        """Read a body that came in chunks, or that the app has read before."""
        limit = self._limit(request)
        request.max_content_length = limit
        body = request.get_data()
        if limit is None or len(body) < limit:
            return body
        if len(body) > limit:
            raise _too_large(limit)
        # werkzeug stops at the limit without a word, and a cut message may look complete.
        if "CONTENT_LENGTH" not in request.environ and request.environ["wsgi.input"].read(1):
            raise _too_large(limit)
        return body


def _too_large(limit: int) -> RequestEntityTooLarge:
    return RequestEntityTooLarge(f"The body is larger than the {limit} bytes allowed.")


def _cut(request: Request, body: bytes, announced: int) -> InvalidRequest:
    """Refuse a body that is shorter than its Content-Length: what is there may look complete."""
    if not body and "form" in request.__dict__:
        return InvalidRequest(
            "The app has read the body as a form before this endpoint could; "
            "send it with Content-Type: application/json."
        )
    return InvalidRequest(f"The body is cut: {len(body)} of {announced} bytes arrived.")
