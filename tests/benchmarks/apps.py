"""The Flask apps under test, each with one endpoint: bare view, predecessor's way, and ours."""

from __future__ import annotations

from typing import Any

from flask import Flask, Response, jsonify, request

from .works import LANGUAGE, Work


def bare(work: Work = LANGUAGE) -> Flask:
    """The view one would write by hand, with no validation and no metrics."""
    app = Flask("bare")
    function = work.function

    @app.post("/")
    def view() -> Response:
        return jsonify(function(**request.get_json(force=True)))

    return app


def predecessor(work: Work = LANGUAGE) -> Flask:
    """`json_format` both ways, and the metrics of the exporter's hooks on every request."""
    from google.protobuf.json_format import ParseDict
    from prometheus_client import CollectorRegistry
    from prometheus_flask_exporter import PrometheusMetrics

    app = Flask("predecessor")
    PrometheusMetrics(app, registry=CollectorRegistry())
    function = work.function

    @app.post("/")
    def view() -> Response:
        data = request.get_json(force=True)
        ParseDict(data, work.request())
        answer = function(**data)
        ParseDict(answer, work.response())
        return jsonify(answer)

    return app


def ours(
    work: Work = LANGUAGE,
    *,
    schema: bool = True,
    response_schema: bool = True,
    cached: bool = False,
) -> Flask:
    """An endpoint of this package, with its metrics."""
    from flask_modelserve import ModelServe

    app = Flask("ours")
    serve = ModelServe(app, cache=simple_cache(app) if cached else None)
    serve.endpoint(
        "/",
        schema=work.request if schema else None,
        response_schema=work.response if response_schema else None,
        cache=600 if cached else None,
    )(work.function)
    return app


def simple_cache(app: Flask) -> Any:
    """A cache in this process' memory."""
    from flask_caching import Cache

    return Cache(app, config={"CACHE_TYPE": "SimpleCache"})
