"""MOSEC: one worker that is given batches; msgspec validates each row."""

from __future__ import annotations

import msgspec
from mosec import Server, Worker

from tests.benchmarks.peers.rows import MAX_SIZE, MAX_WAIT, model


class Request(msgspec.Struct):
    x: list[float]


class Rows(Worker):
    def deserialize(self, data: bytes) -> list[float]:
        return msgspec.json.decode(data, type=Request).x

    def serialize(self, data: list[float]) -> bytes:
        return msgspec.json.encode(data)

    def forward(self, data: list[list[float]]) -> list[list[float]]:
        return model(data)


if __name__ == "__main__":
    wait = round(MAX_WAIT * 1000)
    server = Server()
    server.append_worker(Rows, max_batch_size=MAX_SIZE, max_wait_time=wait, route="/rows")
    server.run()
