"""Reads handwritten digits, set up as for production: cached, batched, limited, warmed up."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import numpy as np
from flask import Flask
from pydantic import BaseModel, Field

from flask_modelserve import Batch, ModelServe

WEIGHTS = Path(__file__).with_name("weights.csv")  # train.py makes it
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
    """A softmax regression, whose weights are loaded once per process, after the fork."""

    def __init__(self) -> None:
        weights = np.loadtxt(WEIGHTS, delimiter=",")
        self.weights, self.bias = weights[:-1], weights[-1]

    def __call__(self, pixels: list[list[float]]) -> list[dict[str, Any]]:
        scores = np.array(pixels) @ self.weights + self.bias
        likely = np.exp(scores - scores.max(axis=1, keepdims=True))
        probabilities = likely / likely.sum(axis=1, keepdims=True)
        return [
            {"digit": row.argmax(), "probability": round(float(row.max()), 2)}
            for row in probabilities
        ]
