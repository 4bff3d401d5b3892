from __future__ import annotations

from functools import wraps
from typing import TYPE_CHECKING, Any

import pytest
from flask import Flask, Response, abort, request
from flask_httpauth import HTTPBasicAuth
from prometheus_flask_exporter import PrometheusMetrics

from flask_modelserve import ModelServe

if TYPE_CHECKING:
    from collections.abc import Callable

    from flask.testing import FlaskClient


def guarded(guard: Any) -> FlaskClient:
    """Make an app with a guard, which lets those through who know the word."""
    app = Flask(__name__)
    app.config["MODELSERVE_GUARD"] = guard
    ModelServe(app).endpoint("/one", endpoint="one")(lambda: 1)
    return app.test_client()


def knows() -> bool:
    return request.args.get("word") == "sesame"


def aborting() -> None:
    if not knows():
        abort(403)


def returning() -> Any:
    return None if knows() else ("Go away", 403)


def responding() -> Any:
    return None if knows() else Response("Go away", 403)


async def asynchronous() -> None:
    aborting()


def decorator(view: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(view)
    def decorated(*args: Any, **kwargs: Any) -> Any:
        return view(*args, **kwargs) if knows() else ("Go away", 403)

    return decorated


def nameless(view: Callable[..., Any]) -> Callable[..., Any]:
    return lambda: view() if knows() else ("Go away", 403)


class Decorating:
    def __call__(self, view: Callable[..., Any]) -> Callable[..., Any]:
        return decorator(view)

    def check(self) -> None:
        aborting()


each_guard = pytest.mark.parametrize(
    "guard",
    [
        aborting, returning, responding, asynchronous, lambda: abort(403) if not knows() else None,
        decorator, nameless, Decorating(), Decorating().check,
    ],
)  # fmt: skip


@each_guard
def test_guard(guard: Any) -> None:
    """A guard decides who sees the metrics: a check without arguments, or a decorator."""
    client = guarded(guard)
    refused, allowed = client.get("/__metrics"), client.get("/__metrics?word=sesame")
    assert refused.status_code == 403
    assert b"modelserve" not in refused.data
    assert allowed.status_code == 200
    assert "modelserve_requests_total" in allowed.text


@each_guard
def test_what_is_not_guarded(guard: Any) -> None:
    """Probes have no credentials, and endpoints have guards of their own: both stay open."""
    client = guarded(guard)
    assert client.get("/__ping").status_code == 200
    assert client.post("/one", json={}).status_code == 200


@pytest.mark.parametrize("options", [None, {}, {"optional": False}])
def test_guard_of_flask_httpauth(options: dict[str, Any] | None) -> None:
    """Flask-HTTPAuth's login_required is a guard as it stands, and called with options."""
    auth = HTTPBasicAuth()
    auth.verify_password(lambda user, password: user if password == "sesame" else None)
    client = guarded(auth.login_required if options is None else auth.login_required(**options))
    assert client.get("/__metrics").status_code == 401
    assert client.get("/__metrics", auth=("ann", "wrong")).status_code == 401
    assert client.get("/__metrics", auth=("ann", "sesame")).status_code == 200


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS", "POST"])
def test_no_method_gets_past(method: str) -> None:
    """No method shows a guarded page to those who are refused."""
    answer = guarded(aborting).open("/__metrics", method=method)
    assert b"modelserve" not in answer.data
    assert answer.status_code == {"OPTIONS": 200, "POST": 405}.get(method, 403)


@pytest.mark.parametrize("verdict", [True, False])
def test_guard_that_returns_a_verdict(verdict: bool, caplog: pytest.LogCaptureFixture) -> None:
    """True and False let nobody through, since both could mean either; the log says what to do."""
    assert guarded(lambda: verdict).get("/__metrics").status_code == 500
    assert "return None to let a request through" in caplog.text


@pytest.mark.parametrize("guard", ["login_required", 1, True])
def test_guard_that_is_none(guard: Any) -> None:
    """What can't be called is refused when the app is set up."""
    with pytest.raises(TypeError, match=r"MODELSERVE_GUARD.*write a decorator"):
        guarded(guard)


@pytest.mark.parametrize("guard", [lambda view: None, lambda view: ("no", 403), lambda view=1: 0])
def test_decorator_that_returns_no_view(guard: Any) -> None:
    """A guard with an argument that returns no view is refused when the app is set up."""
    with pytest.raises(TypeError, match="takes an argument, so it is used as a decorator"):
        guarded(guard)


def test_two_apps() -> None:
    """One app's guard leaves the other's routes alone."""
    closed, opened = guarded(aborting), guarded(None)
    assert closed.get("/__metrics").status_code == 403
    assert opened.get("/__metrics").status_code == 200


def test_guard_with_an_exporter_of_the_apps_own() -> None:
    """Our metrics are guarded also where the app has an exporter."""
    app = Flask("theirs")
    app.config["MODELSERVE_GUARD"] = aborting
    PrometheusMetrics(app, path=None)
    ModelServe(app)
    assert app.test_client().get("/__metrics").status_code == 403
