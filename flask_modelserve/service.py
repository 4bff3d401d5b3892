"""Service routes: what people and programs that run the app look at, behind the app's guard."""

from __future__ import annotations

import functools
import inspect
from typing import TYPE_CHECKING, Any

from .hosts import every_host

if TYPE_CHECKING:
    from collections.abc import Callable

    from flask import Flask

    from .config import Config

    View = Callable[..., Any]


def add_service_route(
    app: Flask, config: Config, path: str | None, view: View, *, guarded: bool = True
) -> None:
    """Route to a view of our own, as the endpoint of its name.

    Args:
        app: The app.
        config: Holds the app's guard.
        path: The rule; None where the app has switched the route off.
        view: The view.
        guarded: Whether the guard decides who sees it. Probes are asked by programs that have no
            credentials, so theirs are not.

    Raises:
        TypeError: For a guard that is neither a check nor a decorator.
    """
    if path is None:
        return
    name = view.__name__
    if guarded and config.guard is not None:
        view = _guarded(app, config.guard, view)
    app.add_url_rule(path, endpoint=name, view_func=view, **every_host(app))


def _guarded(app: Flask, guard: View, view: View) -> View:
    """Put a view behind a guard: one that takes no argument is a check, any other a decorator."""
    if not _takes_a_view(guard):
        return _checked(app, guard, view)
    decorated = guard(view)
    if not callable(decorated):
        raise TypeError(
            f"MODELSERVE_GUARD = {guard!r} takes an argument, so it is used as a decorator, but "
            f"it returned {decorated!r}: return a view, or write a function without arguments "
            "that aborts or returns None"
        )
    guarded: View = decorated
    return guarded


def _takes_a_view(guard: View) -> bool:
    try:
        inspect.signature(guard).bind(None)
    except TypeError:
        return False
    except ValueError:  # some of those written in C have no signature
        return True
    return True


def _checked(app: Flask, check: View, view: View) -> View:
    """Call a check before a view, as Flask calls its ``before_request`` functions."""
    call = app.ensure_sync(check)

    @functools.wraps(view)
    def checked(**arguments: Any) -> Any:
        refusal = call()
        if refusal is None:
            return view(**arguments)
        if isinstance(refusal, bool):  # of both values one would be taken for the other
            raise TypeError(
                f"MODELSERVE_GUARD = {check!r} returned {refusal}: return None to let a request "
                "through, and abort(403), or return a response, to refuse it"
            )
        return refusal

    return checked
