"""ModelServe: the extension object, and what it keeps per app. Nothing runs at request time."""

from __future__ import annotations

import weakref
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar, cast

from .body import BodyReader
from .caching import AnswerCache
from .config import PREFIX, Config
from .content import JSON, PROTOBUF_TYPES
from .documents import Documents
from .endpoint import Endpoint
from .health import add_ping, add_ready
from .hosts import every_host, expect_hosts, hide
from .logs import write_json_logs
from .metrics import AppMetrics, EndpointMetrics
from .spec import EndpointSpec
from .stores import Store
from .warmup import WarmUp

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Unpack

    from flask import Flask
    from flask.blueprints import BlueprintSetupState
    from flask_caching import Cache
    from prometheus_flask_exporter import PrometheusMetrics

    from .spec import EndpointOptions
    from .traces import Traces

    Handler = TypeVar("Handler", bound=Callable[..., Any])

_KEY = "modelserve"


@dataclass(slots=True)
class AppState:
    """What one app has: ``app.extensions["modelserve"]``, shared by all its ``ModelServe``."""

    config: Config
    metrics: AppMetrics
    body: BodyReader
    warm_up: WarmUp
    endpoints: dict[str, Endpoint]
    extensions: weakref.WeakSet[ModelServe] = field(default_factory=weakref.WeakSet)
    stores: dict[Cache | None, Store] = field(default_factory=dict)


class ModelServe:
    """Serves functions and models as endpoints of Flask apps.

    One instance serves several apps, and several instances may share one.

    Args:
        app: The app; left out in the factory pattern, where ``init_app`` is called for each.
        cache: The Flask-Caching instance to keep answers in; by default the app's own.
        metrics: The ``PrometheusMetrics`` to record in; by default the app's own.
    """

    def __init__(
        self,
        app: Flask | None = None,
        *,
        cache: Cache | None = None,
        metrics: PrometheusMetrics | None = None,
    ) -> None:
        self._cache = cache
        self._metrics = metrics
        self._specs: list[EndpointSpec] = []
        self._apps: weakref.WeakSet[Flask] = weakref.WeakSet()
        if app is not None:
            self.init_app(app)

    def init_app(self, app: Flask) -> None:
        """Serve the endpoints, those declared and those to come, from an app.

        Raises:
            RuntimeError: When called twice for one app.
            ValueError: For a wrong ``MODELSERVE_*`` key, or a rule that the app has already.
        """
        state = app.extensions.get(_KEY)
        if state is not None and self in state.extensions:
            raise RuntimeError(
                f"this ModelServe serves {app.name} already: write either ModelServe(app) "
                "or serve.init_app(app), and once"
            )
        if state is None:
            state = app.extensions[_KEY] = _set_up(app, self._metrics)
        state.extensions.add(self)
        self._apps.add(app)
        for spec in self._specs:
            if spec.blueprint is None:
                self._add(app, spec)
        for spec, setup in app.extensions.pop(_waiting(self), ()):
            self._add(app, spec, setup)

    def endpoint(
        self, rule: str, **options: Unpack[EndpointOptions]
    ) -> Callable[[Handler], Handler]:
        """Serve the decorated function, class or instance at a URL rule.

        The fields that a client sends arrive as keyword arguments, and what the function returns
        is the answer. It is returned unchanged: it can still be called without HTTP.

        Args:
            rule: The URL rule, as in Flask; its arguments are given to the function too.
            **options: See ``EndpointOptions`` and the table in README.

        Raises:
            TypeError: For an unknown option, one of a wrong type, or a schema that is not one.
            ValueError: For an option of a wrong value, or a rule that is taken.
        """

        def decorate(handler: Handler) -> Handler:
            spec = EndpointSpec.declare(rule, handler, options)
            self._refuse_declared(spec)
            if spec.blueprint is not None:
                spec.blueprint.record(lambda setup: self._add_to_blueprint(spec, setup))
            else:
                for app in self._apps:
                    self._add(app, spec)
            self._specs.append(spec)
            return handler

        return decorate

    def _refuse_declared(self, spec: EndpointSpec) -> None:
        for other in self._specs:
            if other.handler is spec.handler and (other.batch or spec.batch):
                raise ValueError(
                    f"{spec.endpoint} is served at {other.rule} already, and batched: its calls "
                    "must come from one batch; write a function of its own for this rule"
                )
            same_place = other.rule == spec.rule and other.blueprint is spec.blueprint
            if same_place and not set(other.methods).isdisjoint(spec.methods):
                raise ValueError(
                    f"{' and '.join(spec.methods)} {spec.rule} is served by "
                    f"{other.endpoint} already: use another rule, or other methods="
                )
            if other.endpoint == spec.endpoint and other.blueprint is spec.blueprint:
                raise ValueError(
                    f"there is an endpoint {spec.endpoint} already, at {other.rule}: "
                    "give this one a name of its own with endpoint='another_name'"
                )

    def _add_to_blueprint(self, spec: EndpointSpec, setup: BlueprintSetupState) -> None:
        app = cast("Flask", setup.app)  # typed as the base of Flask and Quart
        state = app.extensions.get(_KEY)
        if state is not None and self in state.extensions:
            self._add(app, spec, setup)
        else:  # registered before init_app, which will find it here
            app.extensions.setdefault(_waiting(self), []).append((spec, setup))

    def _add(
        self, app: Flask, spec: EndpointSpec, setup: BlueprintSetupState | None = None
    ) -> None:
        """Bind a spec to an app, and route to it."""
        name, rule = spec.endpoint, spec.rule
        if setup is not None:
            name = f"{setup.name_prefix}.{setup.name}.{name}".lstrip(".")
            rule = "/".join(((setup.url_prefix or "").rstrip("/"), rule.lstrip("/")))
        _refuse_routed(app, rule, spec.methods, "use another rule, or other methods=")
        if name in app.view_functions:
            raise ValueError(
                f"the app has a view {name} already: "
                "give the endpoint a name of its own with endpoint='another_name'"
            )
        state: AppState = app.extensions[_KEY]
        endpoint = Endpoint(
            spec,
            app,
            metrics=EndpointMetrics(state.metrics.instruments, name),
            cache=self._bind_cache(app, state, spec, name),
            body=state.body,
            traces=_traces(state.config, name),
        )
        (app if setup is None else setup).add_url_rule(
            spec.rule,
            endpoint=spec.endpoint,
            view_func=endpoint.answer,
            methods=spec.methods,
            **every_host(app),
        )
        routed = next(app.url_map.iter_rules(name))
        hide(routed)
        if spec.example is not None:
            endpoint.take_example(routed)
        state.endpoints[name] = endpoint

    def _bind_cache(
        self, app: Flask, state: AppState, spec: EndpointSpec, name: str
    ) -> AnswerCache | None:
        if spec.cache is None:
            return None
        store = state.stores.get(self._cache)
        if store is None:
            store = state.stores[self._cache] = Store(
                app,
                self._cache,
                errors=state.metrics.instruments.cache_errors,
                timeout=state.config.cache_timeout_seconds,
                rest=state.config.cache_retry_seconds,
            )
        return AnswerCache(
            store,
            seconds=spec.cache,
            max_bytes=state.config.cache_max_bytes,
            identity=(app.name, name, spec.rule, spec.version or ""),
            media_types=(JSON, *PROTOBUF_TYPES),
            is_personal=spec.is_decorated,
        )


def _waiting(serve: ModelServe) -> str:
    """Return where an app keeps the endpoints of blueprints that were registered too early."""
    return f"{_KEY}-waiting-{id(serve)}"


def _set_up(app: Flask, exporter: PrometheusMetrics | None) -> AppState:
    config = Config.read(app.config)
    for name, path in config.paths().items():
        _refuse_routed(app, path, ["GET"], f"write another path into app.config[{name!r}]")
    expect_hosts(app)
    endpoints: dict[str, Endpoint] = {}
    metrics = AppMetrics(app, exporter, endpoints)
    metrics.add_route(app, config)
    warm_up = WarmUp(app, endpoints)
    add_ping(app, config)
    add_ready(app, config, warm_up)
    if config.json_logs:
        write_json_logs(app)
    is_set = app.config.get(f"{PREFIX}MAX_BODY_BYTES") is not None
    body = BodyReader(app, config.max_body_bytes, yields=not is_set)
    Documents(config, endpoints).add_routes(app)
    return AppState(config, metrics, body, warm_up, endpoints)


def _traces(config: Config, endpoint: str) -> Traces | None:
    """Return the spans of an endpoint, where OpenTelemetry's API is installed and wanted."""
    if not config.traces:
        return None
    try:
        from .traces import Traces
    except ImportError:
        return None
    return Traces(endpoint)


def _refuse_routed(app: Flask, rule: str, methods: Sequence[str], instead: str) -> None:
    """Refuse a rule that the app routes elsewhere: Flask would leave one of both unreachable."""
    host = every_host(app).get("host")
    for routed in app.url_map.iter_rules():
        if host is not None and routed.host != host:
            continue  # on its own host a route of the app comes before ours
        if routed.rule == rule and not (routed.methods or set()).isdisjoint(methods):
            raise ValueError(
                f"{' and '.join(methods)} {rule} is a route of the app already, "
                f"{routed.endpoint}: {instead}"
            )
