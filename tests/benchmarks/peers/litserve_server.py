"""LitServe: one worker, request and response validated by their types."""

import sys

import litserve

from tests.benchmarks.peers.language import Request, Response, detect


class Language(litserve.LitAPI):
    def setup(self, device: str) -> None:
        pass

    def decode_request(self, request: Request) -> Request:
        return request

    def predict(self, request: Request) -> dict[str, str | float]:
        return detect(request)

    def encode_response(self, output: dict[str, str | float]) -> Response:
        return Response(**output)


if __name__ == "__main__":
    server = litserve.LitServer(
        Language(api_path="/detect"), accelerator="cpu", workers_per_device=1
    )
    server.run(
        host="127.0.0.1",
        port=int(sys.argv[1]),
        num_api_servers=1,
        log_level="warning",
        generate_client_file=False,
        access_log=False,
    )
