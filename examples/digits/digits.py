"""Reads handwritten digits, by a random forest: in batches, and one by one to compare."""

from __future__ import annotations

from typing import Annotated, Any

from flask import Flask
from pydantic import BaseModel, Field
from sklearn.datasets import load_digits
from sklearn.ensemble import RandomForestClassifier

from flask_modelserve import Batch, ModelServe

LEARNED = 1_500  # of the 1,797 images: the others are there to see how well it reads

app = Flask(__name__)
serve = ModelServe(app)


class Image(BaseModel):
    """Eight rows of eight pixels, from 0 for white to 16 for black."""

    pixels: list[Annotated[float, Field(ge=0, le=16)]] = Field(min_length=64, max_length=64)


class Forest:
    """Learns when it is made: once per process, by the first request."""

    def __init__(self) -> None:
        images, digits = load_digits(return_X_y=True)
        # n_jobs=1: threads of its own only get in the way of calls this short.
        self.model = RandomForestClassifier(n_jobs=1, random_state=0)
        self.model.fit(images[:LEARNED], digits[:LEARNED])

    def read(self, images: list[list[float]]) -> list[dict[str, Any]]:
        probabilities = self.model.predict_proba(images)
        return [{"digit": row.argmax(), "probability": row.max()} for row in probabilities]


@serve.endpoint("/digit", schema=Image, batch=Batch(max_size=32, max_wait=0.02))
class Digit(Forest):
    def __call__(self, pixels: list[list[float]]) -> list[dict[str, Any]]:
        return self.read(pixels)


# One at a time: threads that read at once are slower, and scikit-learn's warning filters, which
# each call changes, are not safe with them.
@serve.endpoint("/alone", schema=Image, max_concurrency=1)
class Alone(Forest):
    def __call__(self, pixels: list[float]) -> dict[str, Any]:
        [answer] = self.read([pixels])
        return answer
