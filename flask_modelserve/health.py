"""Routes by which a supervisor sees how a process is."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from flask import request
from werkzeug.exceptions import ServiceUnavailable

from .drain import drain
from .errors import problem
from .request_id import request_id_of
from .service import add_service_route

if TYPE_CHECKING:
    from flask import Flask
    from flask.typing import ResponseReturnValue

    from .config import Config
    from .warmup import WarmUp


def add_ping(app: Flask, config: Config) -> None:
    """Add ``/__ping``: 200 as long as the process answers at all."""

    def modelserve_ping() -> dict[str, str]:
        return {"status": "ok"}

    add_service_route(app, config, config.ping_path, modelserve_ping, guarded=False)


def add_ready(app: Flask, config: Config, warm_up: WarmUp) -> None:
    """Add ``/__ready``: 200 while all endpoints can answer, 503 before that and while it drains.

    Where nothing else has warmed the endpoints up, the first request to it does.
    """

    def modelserve_ready() -> ResponseReturnValue:
        request_id = request_id_of(request.environ)
        if drain.has_begun:
            stopping = ServiceUnavailable("The service is about to stop.")
            return problem(stopping, app.response_class, request_id)
        if warm_up.missing():
            warm_up.begin()
        missing = warm_up.missing()
        if not missing:
            return {"status": "ready"}, {"Cache-Control": "no-store"}
        error = ServiceUnavailable(
            "Some endpoints are not ready.", retry_after=math.ceil(warm_up.retry_after())
        )
        return problem(error, app.response_class, request_id, endpoints=missing)

    add_service_route(app, config, config.ready_path, modelserve_ready, guarded=False)
