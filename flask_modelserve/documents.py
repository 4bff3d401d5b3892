"""The routes of the OpenAPI document and of the page that shows it.

What they serve is made of modules that only its first request imports.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING

from flask import Response, abort, current_app, request

from .service import add_service_route

if TYPE_CHECKING:
    from collections.abc import Mapping

    from flask import Flask

    from .config import Config
    from .endpoint import Endpoint
    from .openapi.document import Document


class Documents:
    """What one app shows about its endpoints, made once, when it is first asked for.

    By then all endpoints are there: Flask refuses new routes after the first request.
    """

    def __init__(self, config: Config, endpoints: Mapping[str, Endpoint]) -> None:
        self._config = config
        self._endpoints = endpoints
        self._document: Document | None = None
        self._assets = f"{(config.docs_path or '').rstrip('/')}/assets/"

    def add_routes(self, app: Flask) -> None:
        """Add the routes that are on; the page is off too without the document that it shows."""
        document, page = self._config.openapi_path, self._config.docs_path
        if document is None:
            return
        add_service_route(app, self._config, document, self.modelserve_openapi)
        if page is not None:
            assets = f"{self._assets}<name>"
            add_service_route(app, self._config, page, self.modelserve_docs)
            add_service_route(app, self._config, assets, self.modelserve_docs_asset)

    def modelserve_openapi(self) -> Response:
        """Answer with the OpenAPI document."""
        document = self._made()
        return _revalidated(Response(document.body, content_type="application/json"))

    def modelserve_docs(self) -> Response:
        """Answer with the page that shows the document."""
        from .openapi.page import POLICY, render

        html = render(
            self._made().value,
            # Relative, since only that is right behind a proxy that adds a prefix in silence.
            assets=_seen_from(request.path, self._assets),
            document_url=_seen_from(request.path, self._config.openapi_path or ""),
            root=request.root_url,
        )
        response = Response(html, content_type="text/html; charset=utf-8")
        response.headers["Content-Security-Policy"] = POLICY
        return _revalidated(response)

    def modelserve_docs_asset(self, name: str) -> Response:
        """Answer with a file of the page."""
        from .openapi.page import read_asset

        content, content_type = read_asset(name) or abort(HTTPStatus.NOT_FOUND)
        return _revalidated(Response(content, content_type=content_type))

    def _made(self) -> Document:
        if self._document is None:
            from .openapi.document import Document

            self._document = Document.of(current_app, self._endpoints, self._config)
        return self._document


def _revalidated(response: Response) -> Response:
    """Let clients keep a response, and ask whether it still is the same: then it is 304."""
    response.headers["Cache-Control"] = "no-cache"
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.add_etag()
    response.make_conditional(request)
    return response


def _seen_from(path: str, target: str) -> str:
    """Return a path of the app relative to another one."""
    return "../" * (path.count("/") - 1) + target.lstrip("/") or "."
