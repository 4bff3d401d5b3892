"""Route: an endpoint as somebody at a terminal or in a test names it."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from werkzeug.exceptions import HTTPException, MethodNotAllowed
from werkzeug.routing import BuildError, RequestRedirect

from .errors import InvalidRequest
from .hosts import LOCAL, without_host

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from flask import Flask
    from werkzeug.routing import MapAdapter, Rule

    from .endpoint import Endpoint


@dataclass(frozen=True, slots=True)
class Route:
    """One endpoint at one rule of an app.

    Attributes:
        name: The endpoint's name in the app, its blueprint's included.
        rule: The URL rule, prefixes included.
        url: The URL's arguments, where the endpoint was named by a path that has them.
        open_arguments: Those that are not given yet.
    """

    endpoint: Endpoint
    name: str
    rule: Rule
    adapter: MapAdapter
    url: Mapping[str, Any]
    open_arguments: frozenset[str]

    @property
    def method(self) -> str:
        """The method to ask it by: POST, which carries any input, where it has that."""
        methods = self.endpoint.spec.methods
        return "POST" if "POST" in methods else methods[0]

    @property
    def host(self) -> dict[str, str]:
        """What a test client needs to know where the rule is of a subdomain."""
        return {"subdomain": self.rule.subdomain} if self.rule.subdomain else {}

    def path(self, arguments: Mapping[str, Any]) -> str:
        """Return the path for the URL's arguments that were open.

        Raises:
            InvalidRequest: When one is missing, or does not fit the rule.
        """
        try:
            path: str = self.adapter.build(
                self.name, {**LOCAL, **self.url, **arguments}, method=self.method
            )
        except (BuildError, ValueError, TypeError):
            missing = sorted(self.open_arguments - arguments.keys())
            given = ", ".join(f"{name}={value!r}" for name, value in arguments.items())
            why = f": it lacks {', '.join(missing)}" if missing else f" of {given}"
            raise InvalidRequest(f"The URL {self.rule.rule} can't be made{why}.") from None
        return path.partition("?")[0]

    def url_arguments(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """Return the URL's arguments as the function gets them.

        Raises:
            InvalidRequest: When one is missing, or does not fit the rule.
        """
        if not self.open_arguments:
            return dict(self.url)
        path = self.path(arguments)
        try:
            name, found = self.adapter.match(unquote(path), method=self.method)
        except HTTPException:
            name, found = "", {}
        if name != self.name:
            raise InvalidRequest(f"The URL {path} does not fit {self.rule.rule}.")
        return without_host(found)


def routes(app: Flask) -> list[Route]:
    """Return the routes of all endpoints of an app, in its order.

    Raises:
        LookupError: When no ModelServe serves the app.
    """
    state = app.extensions.get("modelserve")
    if state is None:
        raise LookupError(f"the app {app.name} has no ModelServe: write ModelServe(app)")
    return [
        Route(
            state.endpoints[rule.endpoint],
            rule.endpoint,
            rule,
            _adapter(app, rule),
            {},
            frozenset(rule.arguments.difference(rule.defaults or ())),
        )
        for rule in app.url_map.iter_rules()
        if rule.endpoint in state.endpoints
    ]


def _adapter(app: Flask, rule: Rule) -> MapAdapter:
    subdomain = None if app.url_map.host_matching else rule.subdomain
    return app.url_map.bind("localhost", subdomain=subdomain)


def find_route(app: Flask, named: str) -> Route:
    """Find the endpoint that a rule, a path or a name means.

    Args:
        app: The app.
        named: A rule as the app has it (``/words/<language>``), a path (``/words/en``), or the
            endpoint's name.

    Raises:
        LookupError: When there is none; the text tells which there are.
    """
    known = routes(app)
    for route in sorted(known, key=lambda route: route.method != "POST"):
        if named in {route.rule.rule, route.name}:
            return route
    for route, url in _matches(known, named):
        return Route(route.endpoint, route.name, route.rule, route.adapter, url, frozenset())
    rules = [route.rule.rule for route in known]
    close = difflib.get_close_matches(named, [*rules, *(route.name for route in known)], n=1)
    hint = f"did you mean {close[0]}?" if close else f"there are {', '.join(rules) or 'none'}"
    raise LookupError(f"the app has no endpoint {named}: {hint}")


def _matches(known: list[Route], path: str) -> Iterator[tuple[Route, Mapping[str, Any]]]:
    for route in known:
        try:
            name, url = route.adapter.match(path, method=route.method)
        except (HTTPException, RequestRedirect, MethodNotAllowed):
            continue
        if name == route.name and not path.startswith("<"):
            yield route, without_host(url)
