"""MOSEC: one worker; it validates nothing by itself, so msgspec, which comes with it, does."""

from __future__ import annotations

import msgspec
from mosec import Server, Worker


class Value(msgspec.Struct):
    body: str = ""


class Extracted(msgspec.Struct):
    value: Value | None = None


class Enrichments(msgspec.Struct):
    extracted: Extracted | None = None


class Request(msgspec.Struct):
    id: str = ""
    title: str = ""
    body: str = ""
    enrichments: Enrichments | None = None


class Response(msgspec.Struct):
    version: str
    language: str
    confidence: float
    error: str


class Language(Worker):
    def deserialize(self, data: bytes) -> Request:
        return msgspec.json.decode(data, type=Request)

    def serialize(self, data: dict[str, str | float]) -> bytes:
        return msgspec.json.encode(msgspec.convert(data, Response))

    def forward(self, data: Request) -> dict[str, str | float]:
        return {"version": "1.4.2", "language": "en", "confidence": 0.98, "error": ""}


if __name__ == "__main__":
    server = Server()
    server.append_worker(Language, num=1, route="/detect")
    server.run()
