"""The instruments, bound once per endpoint, and the ``/__metrics`` route.

Exposition and the metrics of all routes are those of prometheus-flask-exporter, its per-request
hooks apart: they cost more than our whole stages of decode and check together.
"""

from __future__ import annotations

import inspect
import os
from itertools import chain
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any, ClassVar
from weakref import WeakKeyDictionary

from flask import Response, request
from flask.signals import got_request_exception
from prometheus_client import REGISTRY, CollectorRegistry, Counter, Gauge, Histogram
from prometheus_flask_exporter import PrometheusMetrics

from . import metrics_port, slots
from .exposition import expose
from .request_id import identified
from .service import add_service_route
from .tallies import Observations, Tallies

if TYPE_CHECKING:
    from collections.abc import Container, Iterable, Iterator

    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment
    from flask import Flask
    from prometheus_client import Metric
    from prometheus_client.registry import Collector

    from .config import Config
    from .request_id import Headers

    # A request's method and endpoint, and the status of its answer.
    _Key = tuple[str, str | None, str]

OUTCOMES = (
    "ok",
    "hit",
    "coalesced",
    "invalid",
    "overloaded",
    "timeout",
    "error",
    "bad_response",
)

_RAISED = "modelserve.raised"
# A scrape is no traffic, as for the exporter.
_UNTRACKED = "modelserve_metrics"
_METHODS = {"GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"}

if os.environ.get(slots.VARIABLE):  # before anything here, or an app, makes its metrics
    slots.share(Path(os.environ[slots.VARIABLE]).absolute())


class AppRegistry(CollectorRegistry):
    """One app's metrics, shown together with those of prometheus_client's own registry.

    Each app has one, since two can't share names in a registry; what a user's code measures with
    prometheus_client alone is in the global one, and appears in every app's ``/__metrics``.
    """

    def __init__(self) -> None:
        super().__init__()
        self.by_name: dict[str, Collector] = {}

    def register(self, collector: Collector) -> None:
        super().register(collector)
        for metric in getattr(collector, "describe", list)():
            self.by_name[metric.name] = collector

    def collect(self) -> Iterator[Metric]:
        return _merge(super().collect(), REGISTRY.collect())

    def restricted_registry(self, names: Iterable[str]) -> Any:
        Tallies.of(self).collect()
        return _Restricted(super().restricted_registry(names), REGISTRY.restricted_registry(names))


class _Restricted:
    """The metrics of some names, out of two registries."""

    def __init__(self, *registries: Any) -> None:
        self._registries = registries

    def collect(self) -> Iterator[Metric]:
        return _merge(*(registry.collect() for registry in self._registries))


def _merge(*families: Iterable[Metric]) -> Iterator[Metric]:
    """Chain metrics; of two with one name only the first is shown, or no server could read it."""
    seen = set()
    for family in chain(*families):
        if family.name not in seen:
            seen.add(family.name)
            yield family


class Instruments:
    """The extension's own metrics in one registry; labels are bounded."""

    _known: ClassVar[WeakKeyDictionary[CollectorRegistry, Instruments]] = WeakKeyDictionary()

    def __init__(self, registry: CollectorRegistry) -> None:
        self.tallies = Tallies.of(registry)
        self.requests = Counter(
            "modelserve_requests",
            "Requests to an endpoint, by what came of them",
            ("endpoint", "outcome"),
            registry=registry,
        )
        self.predict = Histogram(
            "modelserve_predict_seconds",
            "Seconds that an endpoint's function took",
            ("endpoint",),
            registry=registry,
        )
        self.queue = Histogram(
            "modelserve_queue_seconds",
            "Seconds that a request waited for its function to be called",
            ("endpoint",),
            registry=registry,
        )
        self.batch_size = Histogram(
            "modelserve_batch_size",
            "Rows in a call of a batched function",
            ("endpoint",),
            buckets=(1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024),
            registry=registry,
        )
        self.in_flight = Gauge(
            "modelserve_in_flight",
            "Requests that an endpoint is answering",
            ("endpoint",),
            multiprocess_mode="livesum",
            registry=registry,
        )
        self.cache_errors = Counter(
            "modelserve_cache_errors",
            "Reads and writes that the cache failed",
            registry=registry,
        )

    @classmethod
    def of(cls, registry: CollectorRegistry) -> Instruments:
        """Return the instruments of a registry, which apps may share if their user wants so."""
        known = cls._known.get(registry)
        if known is None:
            known = cls._known[registry] = cls(registry)
        return known


class AppMetrics:
    """The exporter of one app: the one that it has, or a new one with a registry of its own."""

    def __init__(
        self, app: Flask, exporter: PrometheusMetrics | None, endpoints: Container[str]
    ) -> None:
        # The user's exporter goes on recording every route, ours included, in the user's own way.
        self.exporter = exporter or _find_exporter(app) or _record_routes(app, endpoints)
        self.instruments = Instruments.of(self.exporter.registry)
        if slots.are_shared():  # on the user's own page too
            self.exporter.generate_metrics = expose

    def add_route(self, app: Flask, config: Config) -> None:
        """Add ``/__metrics``, in the text format that the scraper accepts."""
        path = config.metrics_path
        if path is not None and metrics_port.is_set(app):
            path = None

        def modelserve_metrics() -> Response:
            names = request.args.getlist("name[]") or None
            data, content_type = self.exporter.generate_metrics(
                request.headers.get("Accept"), names
            )
            return Response(data, content_type=content_type)

        untracked = self.exporter.do_not_track()(modelserve_metrics)
        add_service_route(app, config, path, untracked)


class EndpointMetrics:
    """The children that one endpoint writes, looked up once."""

    def __init__(self, instruments: Instruments, endpoint: str) -> None:
        tallies = instruments.tallies
        outcomes = {outcome: instruments.requests.labels(endpoint, outcome) for outcome in OUTCOMES}
        self.in_flight = tallies.in_flight(instruments.in_flight.labels(endpoint), outcomes)
        self.predict = tallies.observations(instruments.predict.labels(endpoint))
        self.queue = tallies.observations(instruments.queue.labels(endpoint))
        self.batch_size = tallies.observations(instruments.batch_size.labels(endpoint))


class RouteRecorder:
    """WSGI middleware that records every route in the exporter's own metrics.

    It also gives the request's id to what an app answers at our rules before our view is reached,
    such as a hook's 401 or Flask's 405. Our view's answers of 200 cost no look at that, since the
    table that has their timers has none of those.
    """

    def __init__(
        self, wsgi_app: WSGIApplication, registry: AppRegistry, endpoints: Container[str]
    ) -> None:
        self._wsgi_app = wsgi_app
        self._endpoints = endpoints
        self._tallies = Tallies.of(registry)
        self._duration: Any = registry.by_name["flask_http_request_duration_seconds"]
        self._total: Any = registry.by_name["flask_http_request"]
        self._exceptions: Any = registry.by_name["flask_http_request_exceptions"]
        # By method, endpoint and status: all bounded, and looked up here at once.
        self._timers: dict[_Key, Any] = {}
        # Those of answers at our rules that may not be our view's.
        self._early: dict[_Key, Any] = {}

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        started = perf_counter()
        timer: Any = None
        has_returned = False
        status = "500"

        def recording(line: str, headers: Headers, *args: Any) -> Any:
            nonlocal timer, status
            status = line[:3]
            try:
                endpoint = environ["werkzeug.request"].endpoint  # Flask takes it out at the end
            except (KeyError, AttributeError):  # a middleware answers without Flask
                endpoint = None
            key = (environ["REQUEST_METHOD"], endpoint, status)
            timer = self._timers.get(key)
            if timer is None:
                timer = self._look_up(key)
                if self._may_be_early(key):
                    headers = identified(headers, environ, self._endpoints)
            if has_returned:  # a middleware that is a generator begins when it is read
                timer.observe(perf_counter() - started)
            return start_response(line, headers, *args)

        try:
            parts = self._wsgi_app(environ, recording)
        except BaseException:  # gevent's time-outs too
            timer = self._look_up((environ["REQUEST_METHOD"], environ.get(_RAISED), status))
            timer.observe(perf_counter() - started)
            raise
        has_returned = True
        if timer is not None:
            timer.observe(perf_counter() - started)
        return parts

    def count_exception(self, _sender: Flask, **_extra: object) -> None:
        """Count an exception that no handler of the app took (``got_request_exception``)."""
        request.environ[_RAISED] = request.endpoint
        self._exceptions.labels(request.method, 500).inc()

    def _may_be_early(self, key: _Key) -> bool:
        """Tell whether an answer may be one at our rules that our view has not made."""
        method, endpoint, status = key
        if endpoint is None:
            return status == "405"
        return endpoint in self._endpoints and (status != "200" or method == "OPTIONS")

    def _look_up(self, key: _Key) -> Any:
        timers = self._early if self._may_be_early(key) else self._timers
        return timers.get(key) or self._bind(key, timers)

    def _bind(self, key: _Key, timers: dict[_Key, Any]) -> Any:
        method, endpoint, status = key
        if endpoint == _UNTRACKED:
            return timers.setdefault(key, _Untimed())
        # A client may send any method: those that HTTP does not have share one series.
        known = method if method in _METHODS else "other"
        duration = self._duration.labels(known, endpoint, status)
        total = self._total.labels(known, status)
        if known != method:
            return Observations(duration, total)
        return timers.setdefault(key, self._tallies.observations(duration, total))


class _Untimed:
    """Stands in for the timer of a route that is not recorded."""

    def observe(self, seconds: float) -> None: ...


class _NoHooks:
    """Stands in for an app where the exporter would add its hooks."""

    @staticmethod
    def before_request(hook: Any) -> Any:
        return hook

    after_request = teardown_request = before_request


def _record_routes(app: Flask, endpoints: Container[str]) -> PrometheusMetrics:
    """Give an app an exporter of its own, which records by middleware rather than by hooks."""
    registry = AppRegistry()
    Tallies.of(registry)  # before all that it flushes
    exporter = PrometheusMetrics.for_app_factory(path=None, group_by="endpoint", registry=registry)
    exporter.export_defaults(group_by="endpoint", app=_NoHooks())
    recorder = RouteRecorder(app.wsgi_app, registry, endpoints)
    app.wsgi_app = recorder  # type: ignore[method-assign]  # how Flask's docs add middleware
    got_request_exception.connect(recorder.count_exception, app)
    return exporter


def _find_exporter(app: Flask) -> PrometheusMetrics | None:
    """Find the exporter that the app has: it leaves no trace but its hooks."""
    for hook in app.after_request_funcs.get(None, ()):
        if getattr(hook, "__module__", None) == PrometheusMetrics.__module__:
            exporter = inspect.getclosurevars(hook).nonlocals.get("self")
            if isinstance(exporter, PrometheusMetrics):
                return exporter
    return None
