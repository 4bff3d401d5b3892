"""Our routes on every host, in apps that tell their routes apart by host (``host_matching``).

Such an app gives no request to a route without a host. Ours take any host, as an argument of the
URL, as Flask's docs advise; but neither a view, nor whoever makes a URL, gets to see that argument.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from flask import current_app, has_request_context, request

if TYPE_CHECKING:
    from collections.abc import Mapping

    from flask import Flask
    from werkzeug.routing import Rule

_NAME = "modelserve_host"
_ANY = f"<{_NAME}>"

# What makes the URLs of rules on any host, where no request tells of a better one.
LOCAL = {_NAME: "localhost"}


def expect_hosts(app: Flask) -> None:
    """Keep hosts that are arguments of URLs from views, and from those who make URLs."""
    if app.url_map.host_matching:
        app.url_value_preprocessor(_take_out)
        app.url_defaults(_put_in)


def every_host(app: Flask) -> dict[str, Any]:
    """Return the options of a route that answers on every host of an app."""
    return {"host": _ANY} if app.url_map.host_matching else {}


def hide(rule: Rule) -> None:
    """Leave the host out of a rule's arguments: nobody is to give or to document it."""
    rule.arguments.discard(_NAME)


def without_host(url: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments of a URL, as they were matched, without the host."""
    return {name: value for name, value in url.items() if name != _NAME}


def _take_out(_endpoint: str | None, url: dict[str, Any] | None) -> None:
    if url:
        url.pop(_NAME, None)


def _put_in(endpoint: str, values: dict[str, Any]) -> None:
    app = current_app
    if endpoint in app.view_functions and any(
        rule.host == _ANY for rule in app.url_map.iter_rules(endpoint)
    ):
        known = app.config["SERVER_NAME"] or LOCAL[_NAME]
        values[_NAME] = request.host if has_request_context() else known
