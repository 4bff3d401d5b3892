"""Example: one valid input, as the request that a client would send."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from .errors import BadResponse
from .hosts import LOCAL

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from flask import Flask
    from flask.ctx import RequestContext
    from werkzeug.routing import Rule

    from .spec import EndpointSpec


@dataclass(frozen=True, slots=True)
class Example:
    """One valid request.

    Attributes:
        rule: The endpoint's route in its app.
        method: The endpoint's first method with a body, else GET.
        url: The arguments of the URL: those members of the declared input that the rule names.
        subdomain: That of the route, mostly none.
        path: The path below the app's root.
        raw: The body as JSON, or the query string.
    """

    rule: Rule
    method: str
    url: dict[str, Any]
    subdomain: str
    path: str
    raw: bytes

    @classmethod
    def of(cls, spec: EndpointSpec, rule: Rule, dumps: Callable[[Any], bytes]) -> Example:
        """Make a request of what an endpoint declares.

        Raises:
            ValueError: For an example without an argument of the URL, or one that the URL can't
                hold.
        """
        value = _as_value(spec.example, dumps)
        given = spec.example if isinstance(spec.example, Mapping) else value
        url = {}
        if isinstance(value, dict):
            url = {name: given[name] for name in rule.arguments & value.keys()}
            value = {name: item for name, item in value.items() if name not in url}
        subdomain, path = _build(rule, url, spec.example)
        method = next((each for each in spec.methods if each not in {"GET", "HEAD"}), "GET")
        if method != "GET":
            raw = dumps(value)
        elif isinstance(value, dict):
            raw = urlencode(list(_pairs(value))).encode()
        else:
            raise ValueError(f"example={spec.example!r}: write a dict of the query's parameters")
        return cls(rule, method, url, subdomain, path, raw)

    def request_context(self, app: Flask) -> RequestContext:
        """Return the context of the request, which is nobody's."""
        if self.method == "GET":
            return app.test_request_context(
                self.path, subdomain=self.subdomain, query_string=self.raw.decode()
            )
        return app.test_request_context(
            self.path,
            subdomain=self.subdomain,
            method=self.method,
            data=self.raw,
            content_type="application/json",
        )


def _as_value(example: Any, dumps: Callable[[Any], bytes]) -> Any:
    """Return an example as the value that JSON makes of it."""
    try:
        return json.loads(dumps(example))
    except (TypeError, ValueError, BadResponse) as error:
        raise ValueError(f"example={example!r} can't be sent as JSON: {error}") from None


def _build(rule: Rule, url: dict[str, Any], example: Any) -> tuple[str, str]:
    """Return the subdomain and the path that the arguments of a URL make."""
    missing = rule.arguments - url.keys() - (rule.defaults or {}).keys()
    if missing:
        raise ValueError(
            f"example={example!r} lacks {', '.join(sorted(missing))}: "
            f"give it the arguments of the URL {rule.rule} too"
        )
    try:
        built = rule.build(LOCAL | url, append_unknown=False)
    except (TypeError, ValueError):  # what converters raise of values that are not theirs
        built = None
    if built is None:
        raise ValueError(f"example={example!r} does not fit the URL {rule.rule}")
    host, path = built
    return "" if rule.host else host, path  # it answers on any


def _pairs(value: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield the parameters of a query string; a list is one parameter many times."""
    for name, item in value.items():
        for each in item if isinstance(item, list) else [item]:
            if each is not None:
                yield name, each if isinstance(each, str) else json.dumps(each)
