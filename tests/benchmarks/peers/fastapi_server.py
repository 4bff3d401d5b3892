"""FastAPI: one app whose function is `def`, and one whose function is `async def`."""

from __future__ import annotations

from fastapi import FastAPI

from .language import Request, Response, detect

threaded = FastAPI()
asynchronous = FastAPI()


@threaded.post("/detect", response_model=Response)
def detect_in_thread(request: Request) -> dict[str, str | float]:
    return detect(request)


@asynchronous.post("/detect", response_model=Response)
async def detect_in_loop(request: Request) -> dict[str, str | float]:
    return detect(request)
