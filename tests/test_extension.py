"""ModelServe: apps, factories, blueprints, and mistakes of set-up."""

from __future__ import annotations

import gc
import weakref
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from flask import Blueprint, Flask

import flask_modelserve
from flask_modelserve import ModelServe


def double(number: float) -> dict[str, float]:
    return {"double": 2 * number}


def post(app: Flask, path: str, **fields: Any) -> Any:
    return app.test_client().post(path, json=fields)


def test_public_names() -> None:
    """The package exports what a user needs, sorted, and nothing else."""
    exported = flask_modelserve.__all__
    assert exported == sorted(exported)
    public = {name for name, value in vars(flask_modelserve).items() if name[0] != "_"}
    modules = {n for n in public if isinstance(getattr(flask_modelserve, n), ModuleType)}
    assert public - modules == set(exported)


def test_typed_marker() -> None:
    """Type checkers find the package's own annotations."""
    assert (Path(flask_modelserve.__file__).parent / "py.typed").exists()


def test_function_is_returned_unchanged(serve: ModelServe) -> None:
    """A decorated function is still the plain function."""
    assert serve.endpoint("/")(double) is double
    assert double(2) == {"double": 4}


def test_endpoint_after_init(app: Flask) -> None:
    """ModelServe(app) serves what is decorated afterwards."""
    serve = ModelServe(app)
    serve.endpoint("/")(double)
    assert post(app, "/", number=2).json == {"double": 4}


def test_factory_replays_endpoints() -> None:
    """Endpoints declared before init_app are served by each app of a factory."""
    serve = ModelServe()
    serve.endpoint("/double")(double)
    for name in ("one", "two"):
        app = Flask(name)
        serve.init_app(app)
        assert post(app, "/double", number=3).json == {"double": 6}


def test_endpoints_after_a_factory_reach_its_apps() -> None:
    """An endpoint declared after init_app is served by the apps that came before."""
    serve = ModelServe()
    apps = [Flask("one"), Flask("two")]
    for app in apps:
        serve.init_app(app)
    serve.endpoint("/double")(double)
    assert [post(app, "/double", number=1).status_code for app in apps] == [200, 200]


def test_two_apps_share_nothing() -> None:
    """Two apps in one process have their own config, cache, metrics and routes."""
    calls: list[str] = []

    def make(name: str, **config: Any) -> Flask:
        app = Flask(name)
        app.config.update(config)
        serve = ModelServe(app)

        @serve.endpoint("/", cache=60)
        def who() -> dict[str, str]:
            calls.append(name)
            return {"app": name}

        return app

    one = make("one", MODELSERVE_PING_PATH="/alive")
    two = make("two", MODELSERVE_METRICS_PATH=None)

    @ModelServe(Flask("three")).endpoint("/only-three")
    def only_three() -> None: ...

    assert [post(one, "/").json, post(two, "/").json] == [{"app": "one"}, {"app": "two"}]
    assert post(one, "/").headers["Cache-Status"].startswith("modelserve; hit")
    assert calls == ["one", "two"]
    client_one, client_two = one.test_client(), two.test_client()
    assert client_one.get("/alive").status_code == 200
    assert client_two.get("/alive").status_code == 404
    assert client_two.get("/__ping").status_code == 200
    assert client_two.get("/__metrics").status_code == 404
    assert 'modelserve_requests_total{endpoint="who",outcome="hit"} 1.0' in (
        client_one.get("/__metrics").text
    )
    assert post(one, "/only-three").status_code == 404


def test_two_instances_share_an_app(app: Flask) -> None:
    """Several ModelServe instances may serve one app."""
    one, two = ModelServe(app), ModelServe(app)
    one.endpoint("/one", endpoint="one")(double)
    two.endpoint("/two", endpoint="two")(double)
    assert post(app, "/one", number=1).status_code == 200
    assert post(app, "/two", number=1).status_code == 200
    metrics = app.test_client().get("/__metrics").text
    assert metrics.count("# TYPE modelserve_requests_total counter") == 1


def test_same_app_twice_is_refused(app: Flask) -> None:
    """init_app twice for one app names the fix."""
    serve = ModelServe(app)
    with pytest.raises(RuntimeError, match=r"either ModelServe\(app\) or serve.init_app\(app\)"):
        serve.init_app(app)


def test_app_is_not_kept_alive() -> None:
    """An extension that outlives its apps, as in a test suite's factory, lets them go."""
    serve = ModelServe()
    serve.endpoint("/", cache=60)(double)
    app = Flask("short")
    serve.init_app(app)
    post(app, "/", number=1)
    gone = weakref.ref(app)
    del app
    gc.collect()
    assert gone() is None


def test_blueprint(app: Flask, serve: ModelServe) -> None:
    """An endpoint on a blueprint has its prefix, its before_request and its error handlers."""
    blueprint = Blueprint("api", __name__, url_prefix="/api")
    seen: list[str] = []
    blueprint.before_request(lambda: seen.append("before"))
    blueprint.register_error_handler(400, lambda error: ("the blueprint's own", 400))
    serve.endpoint("/double", blueprint=blueprint)(double)
    app.register_blueprint(blueprint)
    assert post(app, "/api/double", number=4).json == {"double": 8}
    assert seen == ["before"]
    assert post(app, "/api/double").text == "the blueprint's own"
    with app.test_request_context():
        assert app.url_for("api.double") == "/api/double"


def test_blueprint_registered_before_init_app() -> None:
    """The order of register_blueprint and init_app in a factory does not matter."""
    serve = ModelServe()
    blueprint = Blueprint("api", __name__)
    serve.endpoint("/double", blueprint=blueprint)(double)
    app = Flask("late")
    app.register_blueprint(blueprint, url_prefix="/v1")
    serve.init_app(app)
    assert post(app, "/v1/double", number=1).status_code == 200


def test_blueprint_registered_twice(app: Flask, serve: ModelServe) -> None:
    """A blueprint under two prefixes serves at both, each with metrics of its own."""
    blueprint = Blueprint("api", __name__)
    serve.endpoint("/double", blueprint=blueprint)(double)
    app.register_blueprint(blueprint, url_prefix="/v1")
    app.register_blueprint(blueprint, url_prefix="/v2", name="api2")
    post(app, "/v1/double", number=1)
    post(app, "/v2/double", number=1)
    metrics = app.test_client().get("/__metrics").text
    for endpoint in ("api.double", "api2.double"):
        assert f'modelserve_requests_total{{endpoint="{endpoint}",outcome="ok"}} 1.0' in metrics


def test_nested_blueprint(app: Flask, serve: ModelServe) -> None:
    """An endpoint on a nested blueprint has the prefixes of all."""
    outer = Blueprint("outer", __name__, url_prefix="/outer")
    inner = Blueprint("inner", __name__, url_prefix="/inner")
    serve.endpoint("/double", blueprint=inner)(double)
    outer.register_blueprint(inner)
    app.register_blueprint(outer)
    assert post(app, "/outer/inner/double", number=1).json == {"double": 2}


@pytest.mark.parametrize(
    ("options", "error", "says"),
    [
        ({"cahce": 60}, TypeError, "did you mean cache"),
        ({"nonsense": 1}, TypeError, "no option 'nonsense'"),
        ({"cache": 0}, ValueError, "positive number of seconds"),
        ({"cache": -1}, ValueError, "positive number of seconds"),
        ({"cache": float("nan")}, ValueError, "positive number of seconds"),
        ({"cache": float("inf")}, ValueError, "positive number of seconds"),
        ({"cache": True}, TypeError, "cache=60"),
        ({"cache": "60"}, TypeError, "cache=60"),
        ({"schema": 5}, TypeError, "is not a schema"),
        ({"schema": dict}, TypeError, "is not a schema"),
        ({"schema": "Request"}, TypeError, "is not a schema"),
        ({"response_schema": []}, TypeError, "response_schema=.* is not a schema"),
        ({"schema": pytest}, TypeError, "has no Request"),
        ({"methods": "GET"}, TypeError, r'write methods=\["GET"\]'),
        ({"version": 1}, TypeError, "write a string"),
        ({"version": "a\nb"}, ValueError, "printable ASCII"),
        ({"example": {"wrong": 1}}, ValueError, "example"),
    ],
)
def test_wrong_options_fail_at_decoration(
    serve: ModelServe, options: dict[str, Any], error: type[Exception], says: str
) -> None:
    """A wrong option fails when the function is decorated, and the message tells what to write."""
    with pytest.raises(error, match=says):
        serve.endpoint("/", **options)(double)


def test_wrong_options_fail_in_a_factory_too() -> None:
    """Without an app, too, a mistake shows where it was written."""
    with pytest.raises(TypeError, match="is not a schema"):
        ModelServe().endpoint("/", schema=5)(double)


def test_refused_endpoint_leaves_nothing_behind(app: Flask, serve: ModelServe) -> None:
    """After a refused decoration the corrected one is accepted."""
    with pytest.raises(TypeError):
        serve.endpoint("/", schema=5)(double)
    serve.endpoint("/")(double)
    assert post(app, "/", number=1).status_code == 200


def test_duplicate_rule_is_refused(serve: ModelServe) -> None:
    """Two endpoints at one rule and method are refused; at other methods they are not."""
    serve.endpoint("/")(double)
    with pytest.raises(ValueError, match="POST / is served by double already"):
        serve.endpoint("/", endpoint="other")(double)
    serve.endpoint("/", methods=["GET"], endpoint="get_double")(double)


def test_rule_of_the_app_is_refused(app: Flask, serve: ModelServe) -> None:
    """A rule that the app routes already is refused; its page at another method stays."""

    @app.get("/page")
    def page() -> str:
        return "<h1>page</h1>"

    with pytest.raises(ValueError, match="is a route of the app already"):
        serve.endpoint("/page", methods=["GET", "POST"])(double)
    serve.endpoint("/page", endpoint="double_page")(double)
    assert app.test_client().get("/page").text == "<h1>page</h1>"
    assert post(app, "/page", number=1).json == {"double": 2}


def test_duplicate_name_is_refused(serve: ModelServe) -> None:
    """One function at two rules needs two names, and the message says how to give them."""
    serve.endpoint("/one")(double)
    with pytest.raises(ValueError, match="endpoint='another_name'"):
        serve.endpoint("/two")(double)
    serve.endpoint("/two", endpoint="double_two")(double)


def test_name_of_the_app_is_refused(app: Flask, serve: ModelServe) -> None:
    """The name of one of the app's own views is refused before anything is routed."""
    app.add_url_rule("/page", "double", lambda: "page")
    with pytest.raises(ValueError, match="endpoint='another_name'"):
        serve.endpoint("/")(double)
    assert app.test_client().get("/page").text == "page"


def test_positional_only_parameters_are_refused(serve: ModelServe) -> None:
    """Arguments are given by name: a positional-only parameter is refused."""

    def function(number: float, /) -> None: ...

    with pytest.raises(TypeError, match="remove the '/'"):
        serve.endpoint("/")(function)


def test_lambda_needs_a_name(serve: ModelServe) -> None:
    """A lambda is asked for a name of its own."""
    with pytest.raises(ValueError, match="endpoint='a_name'"):
        serve.endpoint("/")(lambda number: number)


def test_class_with_arguments_is_refused(serve: ModelServe) -> None:
    """A class that needs arguments is refused: its instance can be served."""

    class Model:
        def __init__(self, path: str) -> None: ...
        def __call__(self) -> None: ...

    with pytest.raises(TypeError, match="decorate an instance"):
        serve.endpoint("/")(Model)


def test_class_without_call_is_refused(serve: ModelServe) -> None:
    """A class without __call__ is refused."""

    class Model: ...

    with pytest.raises(TypeError, match="no __call__"):
        serve.endpoint("/")(Model)


def test_unknown_config_key_is_refused(app: Flask) -> None:
    """A misspelt MODELSERVE_ key fails at set-up and the message lists the right ones."""
    app.config["MODELSERVE_PNIG_PATH"] = "/x"
    with pytest.raises(ValueError, match="MODELSERVE_PING_PATH"):
        ModelServe(app)


def test_config_path_without_slash_is_refused(app: Flask) -> None:
    """A service path without its slash fails at set-up."""
    app.config["MODELSERVE_PING_PATH"] = "ping"
    with pytest.raises(ValueError, match="'/ping'"):
        ModelServe(app)


def test_service_path_of_the_app_is_refused(app: Flask) -> None:
    """A service route never hides a route that the app has."""
    app.add_url_rule("/__ping", "own_ping", lambda: "mine")
    with pytest.raises(ValueError, match="MODELSERVE_PING_PATH"):
        ModelServe(app)
