"""A site of flats to let: pages as any Flask app has them, and two endpoints of a model."""

from __future__ import annotations

from flask import Flask, render_template

from . import api, estimates, pages


def create_app() -> Flask:
    app = Flask(__name__)
    app.config["API_KEYS"] = {"key-of-the-partner": "partner"}
    app.config.from_prefixed_env("RENTALS")
    app.register_blueprint(pages.blueprint)
    app.register_blueprint(api.blueprint)
    app.register_error_handler(404, page_not_found)
    estimates.serve.init_app(app)  # the only line that the endpoints needed here
    return app


def page_not_found(_error: Exception) -> tuple[str, int]:
    return render_template("404.html"), 404
