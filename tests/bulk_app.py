"""The app that test_bulk.py scores files with, in processes of its own."""

from __future__ import annotations

import atexit
import os
import resource
import sys
import time
from pathlib import Path

from flask import Flask

from flask_modelserve import Batch, InvalidRequest, ModelServe

app = Flask(__name__)
serve = ModelServe(app)


@serve.endpoint("/slow", batch=Batch(8))
def slow(number: list[int], text: list[str]):
    """A model that is interrupted half-way, and whose answers depend on who shares its batch."""
    time.sleep(float(os.environ.get("BULK_APP_SECONDS", "0")))
    return [
        InvalidRequest("is unlucky") if each % 50 == 13 else {"number": sum(number), "text": said}
        for each, said in zip(number, text, strict=True)
    ]


@serve.endpoint("/echo", batch=Batch(8))
def echo(text: list[str]):
    return text


@serve.endpoint("/talkative")
def talkative(number: int):
    sys.stdout.write("hello\n")
    return number


@serve.endpoint("/deadly")
def deadly(number: int):
    if number == 5:
        os._exit(9)
    return number


@serve.endpoint("/process")
class Process:
    """Knows which process loaded it, and leaves a trace of that."""

    def __init__(self):
        (Path(os.environ["BULK_APP_FOLDER"]) / f"loaded-{os.getpid()}").touch()

    def __call__(self, number: int):
        return {"number": number, "double": 2 * number}


@atexit.register
def _tell_memory():
    if "BULK_APP_MEMORY" in os.environ:
        sys.stderr.write(f"\nmemory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss}\n")
