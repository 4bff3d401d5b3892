"""Checked by mypy and pyright, never run: what the test client's answers are."""

from __future__ import annotations

from typing import Any, assert_type

from flask import Flask
from pydantic import BaseModel

from flask_modelserve.testing import ServeClient, frozen_time, recorded_calls, without_cache


class Rent(BaseModel):
    rent: float


app = Flask(__name__)
client = ServeClient(app, headers={"X-Key": "secret"})

assert_type(client.ask("/rent", {"rooms": 2}, returns=Rent), Rent)
assert_type(client.ask("/rooms", returns=int), int)
assert_type(client.ask("/rent", {"rooms": 2}), Any)

with without_cache(app), frozen_time() as clock, recorded_calls(app, "/rent") as calls:
    clock.advance(60)
    assert_type(calls, list[dict[str, Any]])
