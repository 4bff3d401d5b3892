"""Routes by which a supervisor sees how a process is."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from werkzeug.exceptions import ServiceUnavailable

from .drain import drain
from .errors import problem

if TYPE_CHECKING:
    from flask import Flask
    from flask.typing import ResponseReturnValue

    from .config import Config
    from .warmup import WarmUp


def add_ping(app: Flask, config: Config) -> None:
    """Add ``/__ping``: 200 as long as the process answers at all."""
    if config.ping_path is None:
        return

    def modelserve_ping() -> dict[str, str]:
        return {"status": "ok"}

    app.add_url_rule(config.ping_path, view_func=modelserve_ping)


def add_ready(app: Flask, config: Config, warm_up: WarmUp) -> None:
    """Add ``/__ready``: 200 while all endpoints can answer, 503 before that and while it drains.

    Where nothing else has warmed the endpoints up, the first request to it does.
    """
    if config.ready_path is None:
        return

    def modelserve_ready() -> ResponseReturnValue:
        if drain.has_begun:
            return problem(ServiceUnavailable("The service is about to stop."), app.response_class)
        if warm_up.missing():
            warm_up.begin()
        missing = warm_up.missing()
        if not missing:
            return {"status": "ready"}, {"Cache-Control": "no-store"}
        error = ServiceUnavailable(
            "Some endpoints are not ready.", retry_after=math.ceil(warm_up.retry_after())
        )
        return problem(error, app.response_class, endpoints=missing)

    app.add_url_rule(config.ready_path, view_func=modelserve_ready)
