"""The HTML pages."""

from __future__ import annotations

from flask import Blueprint, abort, render_template

from .flats import FLATS

blueprint = Blueprint("pages", __name__)


@blueprint.get("/")
def index() -> str:
    return render_template("index.html", flats=FLATS.values())


@blueprint.get("/flats/<int:flat_id>")
def flat(flat_id: int) -> str:
    if flat_id not in FLATS:
        abort(404)
    return render_template("flat.html", flat=FLATS[flat_id])
