"""Calls: one request to an endpoint, made of fields as somebody types them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from werkzeug.datastructures import Headers, MultiDict

from .content import dumps
from .errors import InvalidRequest, problem

if TYPE_CHECKING:
    from collections.abc import Sequence

    from flask import Flask
    from werkzeug.wrappers import Response

    from .routes import Route

_WITH_QUERY = {"GET", "HEAD"}


def send(
    app: Flask,
    route: Route,
    fields: Sequence[tuple[str, str]],
    body: bytes | None,
    headers: Sequence[tuple[str, str]],
) -> Response:
    """Send one request through the whole app, its hooks and error handlers included.

    Args:
        app: The app.
        route: Whom to ask; the URL's arguments are taken out of the fields.
        fields: Names and values, these as in a query string.
        body: JSON to send instead.
        headers: Of the request.
    """
    url = {name: value for name, value in fields if name in route.open_arguments}
    rest = [(name, value) for name, value in fields if name not in route.open_arguments]
    options: dict[str, Any] = {
        "method": route.method,
        "headers": Headers(list(headers)),
        **route.host,
    }
    try:
        path = route.path(url)
        if body is not None:
            options |= {"data": body, "content_type": "application/json"}
        elif route.method in _WITH_QUERY:
            path = f"{path}?{urlencode(rest, errors='surrogateescape')}" if rest else path
        else:
            value = route.endpoint.rows().query_value(MultiDict(rest))
            options |= {"data": dumps(value), "content_type": "application/json"}
    except InvalidRequest as error:
        return problem(error, app.response_class)
    client = app.test_client()
    return client.open(path, **options)
