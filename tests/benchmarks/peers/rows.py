"""The batched model: 10 ms of waiting without the GIL for up to 32 rows, as on an accelerator."""

from __future__ import annotations

import ctypes

MAX_SIZE = 32
MAX_WAIT = 0.005
SECONDS = 0.010

# Not time.sleep, which gevent replaces: no server can make anything else of native code.
_usleep = ctypes.CDLL(None).usleep


def model(rows: list[list[float]]) -> list[list[float]]:
    """Answer each row with itself."""
    calls = -(-len(rows) // MAX_SIZE)
    _usleep(round(calls * SECONDS * 1e6))
    return rows
