"""The app whose memory test_warmup_servers.py measures: a model, loaded in one of two ways."""

from __future__ import annotations

import gc
import os
from typing import Any

import numpy as np
from flask import Flask

from flask_modelserve import ModelServe

app = Flask(__name__)
serve = ModelServe(app)
BYTES = int(os.environ["MEMORY_APP_MEGABYTES"]) * 2**20


def load() -> Any:
    """Make numbers in one array, or objects of Python, each an entry of a table."""
    if os.environ["MEMORY_APP_MODEL"] == "array":
        return np.ones(BYTES // 8)
    return {f"word {each}": [float(each)] for each in range(BYTES // 208)}


class Model:
    def __init__(self) -> None:
        self.parameters = load()

    def __call__(self) -> int:
        assert len(self.parameters)
        gc.collect()
        return os.getpid()


serve.endpoint("/", example={}, endpoint="model")(
    Model if os.environ["MEMORY_APP_LOADS"] == "per process" else Model()
)
