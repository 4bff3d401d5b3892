"""The app that test_stores_servers.py has served: a model that takes 50 ms, cached in Redis."""

from __future__ import annotations

import time
from typing import Any

from flask import Flask

from flask_modelserve import ModelServe

app = Flask(__name__)
app.config.from_prefixed_env("STORES_APP")


@ModelServe(app).endpoint("/", cache=60)
def model(number: int) -> dict[str, Any]:
    time.sleep(0.05)
    return {"number": number, "double": 2 * number}


# With --preload this is before the fork: no worker may share the connection that it makes.
assert app.test_client().post("/", json={"number": 1}).json == {"number": 1, "double": 2}
