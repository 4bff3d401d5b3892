"""Findings: what will hurt an app in production, and how to mend it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .routes import routes

if TYPE_CHECKING:
    from collections.abc import Iterator

    from flask import Flask

    from .deployment import Deployment
    from .routes import Route

_PROBE = "modelserve:check"


@dataclass(frozen=True, slots=True)
class Finding:
    """One fault: where it is, what it does, and what to do about it."""

    where: str
    what: str
    remedy: str


def find(app: Flask, deployment: Deployment) -> list[Finding]:
    """Look for faults of an app and of how it is deployed.

    Raises:
        LookupError: When no ModelServe serves the app.
    """
    known = routes(app)
    return [
        *_of_development(app, deployment),
        *_of_metrics(app, deployment),
        *_of_caches(app, deployment, known),
        *(finding for route in known for finding in _of_endpoint(route, deployment)),
    ]


def _of_development(app: Flask, deployment: Deployment) -> Iterator[Finding]:
    if app.debug:
        yield Finding(
            "debug",
            "the app is in debug mode: errors show its code to clients",
            "leave FLASK_DEBUG unset, and DEBUG out of the app's configuration",
        )
    if app.testing:
        yield Finding(
            "testing",
            "the app is in testing mode: exceptions go through to the server",
            "leave TESTING out of the configuration of production",
        )
    elif app.config["PROPAGATE_EXCEPTIONS"] and not app.debug:
        yield Finding(
            "errors",
            "PROPAGATE_EXCEPTIONS sends exceptions to the server: clients get no problem document",
            "leave PROPAGATE_EXCEPTIONS out of the configuration of production",
        )
    if deployment.reload:
        yield Finding(
            "reload",
            "gunicorn restarts its workers when a file changes",
            "leave --reload out: HUP restarts them without losing a request",
        )


def _of_metrics(app: Flask, deployment: Deployment) -> Iterator[Finding]:
    folder = deployment.metrics_folder
    if app.extensions["modelserve"].config.metrics_path is None or deployment.workers == 1:
        return
    if folder is None:
        yield Finding(
            "metrics",
            f"each of the {deployment.workers} workers shows its own metrics: "
            "a scrape gets those of any one",
            "start gunicorn with -c python:flask_modelserve.gunicorn, or let "
            "PROMETHEUS_MULTIPROC_DIR name an empty folder",
        )
    elif not deployment.can_write_metrics:
        yield Finding(
            "metrics",
            f"PROMETHEUS_MULTIPROC_DIR is {folder}, which is no folder that can be written",
            "make the folder, or give the user of the workers the right to write into it",
        )


def _of_caches(app: Flask, deployment: Deployment, known: list[Route]) -> Iterator[Finding]:
    cached = [route.name for route in known if route.endpoint.spec.cache is not None]
    if not cached:
        return
    where = f"cache of {', '.join(cached)}"
    for backend in app.extensions.get("cache", {}).values():
        kind = type(backend).__name__
        if kind == "NullCache":
            yield Finding(where, "NullCache keeps nothing", "set CACHE_TYPE to a cache")
        elif kind == "SimpleCache" and deployment.workers > 1:
            yield Finding(
                where,
                f"SimpleCache is in the memory of each of the {deployment.workers} workers: "
                "what one has answered the others compute again",
                'set CACHE_TYPE to a shared cache, such as "RedisCache" with CACHE_REDIS_URL',
            )
        elif problem := _probe(backend):
            yield Finding(
                where,
                f"{kind} {problem}: every request calls the function",
                "start it, or mend the CACHE_* keys that say where it is",
            )


def _probe(backend: Any) -> str | None:
    """Return what is wrong with a cache, if it does not give back what it gets."""
    try:
        backend.set(_PROBE, b"1", timeout=10)
        kept = backend.get(_PROBE)
    except Exception as error:  # each backend raises errors of its own
        return f"fails ({error})"
    return None if kept == b"1" else "does not keep what it gets"


def _of_endpoint(route: Route, deployment: Deployment) -> Iterator[Finding]:
    spec = route.endpoint.spec
    if spec.batch is not None and spec.batch.max_size > 1 and deployment.concurrency == 1:
        yield Finding(
            route.name,
            f"its batches have one row each: a {deployment.worker_class} worker answers one "
            "request at a time",
            "start gunicorn with --worker-class gthread and --threads as many as a batch has rows",
        )
    if spec.example is None:
        yield Finding(
            route.name,
            "it has no example to warm up with: the first request to each worker waits for all "
            "that is loaded late",
            "give it one valid input: @serve.endpoint(..., example={...})",
        )
    if (
        spec.timeout is not None
        and deployment.concurrency == 1
        and 0 < deployment.timeout <= spec.timeout
    ):
        yield Finding(
            route.name,
            f"its timeout of {spec.timeout:g} s is never reached: gunicorn kills a sync worker "
            f"that is silent for {deployment.timeout} s, and the client gets no answer",
            f"start gunicorn with a --timeout above {spec.timeout:g}, or with gthread workers",
        )
