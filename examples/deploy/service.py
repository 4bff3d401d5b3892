"""Reads handwritten digits, set up as for production: cached, batched, limited, warmed up."""

from __future__ import annotations

from typing import Annotated, Any

from flask import Flask
from pydantic import BaseModel, Field
from sklearn.datasets import load_digits  # type: ignore[import-untyped]  # it ships no types
from sklearn.ensemble import RandomForestClassifier  # type: ignore[import-untyped]

from flask_modelserve import Batch, ModelServe

SEVEN = """
  0  0  7  8 13 16 15  1
  0  0  7  7  4 11 12  0
  0  0  0  0  8 13  1  0
  0  4  8  8 15 15  6  0
  0  2 11 15 15  4  0  0
  0  0  0 16  5  0  0  0
  0  0  9 15  1  0  0  0
  0  0 13  5  0  0  0  0
"""

app = Flask(__name__)
# What differs between a laptop, Compose and Kubernetes comes from the environment: FLASK_CACHE_TYPE
# sets app.config["CACHE_TYPE"].
app.config.from_prefixed_env()
serve = ModelServe(app)


class Image(BaseModel):
    """Eight rows of eight pixels, from 0 for white to 16 for black."""

    pixels: list[Annotated[float, Field(ge=0, le=16)]] = Field(min_length=64, max_length=64)


@serve.endpoint(
    "/digit",
    schema=Image,
    batch=Batch(max_size=32, max_wait=0.02),
    cache=300,
    timeout=2,
    version="1",
    example={"pixels": [int(pixel) for pixel in SEVEN.split()]},
)
class Digit:
    """A random forest, which learns when it is made: once per process, after the fork."""

    def __init__(self) -> None:
        images, digits = load_digits(return_X_y=True)
        # n_jobs=1: threads of its own only get in the way of calls this short.
        self.model = RandomForestClassifier(n_jobs=1, random_state=0)
        self.model.fit(images, digits)

    def __call__(self, pixels: list[list[float]]) -> list[dict[str, Any]]:
        probabilities = self.model.predict_proba(pixels)
        return [{"digit": row.argmax(), "probability": row.max()} for row in probabilities]
