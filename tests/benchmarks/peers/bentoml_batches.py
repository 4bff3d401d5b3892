"""BentoML: one batchable service with one worker.

It learns how long to wait by itself, and its max_latency_ms is when requests are given up: with
5 ms there it would answer most of them with 503.
"""

import bentoml

from .rows import MAX_SIZE, model


@bentoml.service(workers=1, logging={"access": {"enabled": False}})
class Rows:
    @bentoml.api(route="/rows", batchable=True, max_batch_size=MAX_SIZE)
    def rows(self, x: list[float]) -> list[float]:
        return [row for [row] in model([[row] for row in x])]
