"""The partners' API: each request under /api needs a key."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, current_app
from flask_httpauth import HTTPTokenAuth

from .flats import FLATS

blueprint = Blueprint("api", __name__, url_prefix="/api")
auth = HTTPTokenAuth(header="X-API-Key")


@auth.verify_token
def verify(key: str) -> str | None:
    partner: str | None = current_app.config["API_KEYS"].get(key)
    return partner


@blueprint.before_request
@auth.login_required
def check_key() -> None:
    """Refuse a request without a key, as ``login_required`` does; let all others go on."""


@blueprint.get("/flats")
def flats() -> list[Any]:
    return list(FLATS.values())
