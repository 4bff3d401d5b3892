"""LitServe: one worker that is given batches."""

import sys

import litserve
from pydantic import BaseModel

from tests.benchmarks.peers.rows import MAX_SIZE, MAX_WAIT, model


class Request(BaseModel):
    x: list[float]


class Rows(litserve.LitAPI):
    def setup(self, device: str) -> None:
        pass

    def decode_request(self, request: Request) -> list[float]:
        return request.x

    def predict(self, rows: list[list[float]]) -> list[list[float]]:
        return model(rows)

    def encode_response(self, output: list[float]) -> list[float]:
        return output


if __name__ == "__main__":
    api = Rows(max_batch_size=MAX_SIZE, batch_timeout=MAX_WAIT, api_path="/rows")
    server = litserve.LitServer(api, accelerator="cpu", workers_per_device=1)
    server.run(
        host="127.0.0.1",
        port=int(sys.argv[1]),
        num_api_servers=1,
        log_level="warning",
        generate_client_file=False,
        access_log=False,
    )
