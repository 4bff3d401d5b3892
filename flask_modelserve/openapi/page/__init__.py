"""The page that shows an app's endpoints: Swagger UI, or a plain one where that is missing."""

from __future__ import annotations

from importlib.resources import files
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

from jinja2 import Environment, PackageLoader

from .entries import entries_of

if TYPE_CHECKING:
    from collections.abc import Mapping
    from importlib.resources.abc import Traversable

_TYPES = {".js": "text/javascript", ".css": "text/css", ".png": "image/png"}
_OURS = {"start.js", "plain.css"}
_SWAGGER = {"swagger-ui.css", "swagger-ui-bundle.js", "favicon-32x32.png"}

# Swagger UI sets styles on its elements, and has its icons in its style sheet.
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data:; connect-src 'self'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'self'"
)

_templates = Environment(autoescape=True, loader=PackageLoader(__name__, "."))


def render(document: Mapping[str, Any], *, assets: str, document_url: str, root: str) -> str:
    """Return the page's HTML.

    Args:
        document: The OpenAPI document.
        assets: The URL below which the page's files are.
        document_url: The URL of the document.
        root: The URL of the app's root, for commands.
    """
    known = {"title": document["info"]["title"], "assets": assets, "document_url": document_url}
    if _swagger() is not None:
        return _templates.get_template("swagger.html").render(known)
    return _templates.get_template("plain.html").render(known, entries=entries_of(document, root))


def read_asset(name: str) -> tuple[bytes, str] | None:
    """Return a file of the page and its media type; None where there is none of that name."""
    folder = files(__name__) if name in _OURS else _swagger() if name in _SWAGGER else None
    if folder is None:
        return None
    return folder.joinpath(name).read_bytes(), _TYPES[PurePath(name).suffix]


def _swagger() -> Traversable | None:
    """Return the folder of Swagger UI, out of the package flask-swagger-ui."""
    try:
        return files("flask_swagger_ui") / "dist"
    except ModuleNotFoundError:
        return None
