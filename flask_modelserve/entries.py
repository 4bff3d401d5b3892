"""What stands in a store for one answer: bytes that say themselves whether they are right.

    magic and version | digest of key, time and body | time, a double | body

The digest is against accidents. Against those who may write to the store it is none: they can make
such entries, but only answers come of them.
"""

from __future__ import annotations

import struct
import time
from hashlib import sha256

# The last character is the format's version: workers of two versions may share a store.
MAGIC = b"msv1"

_TIME = struct.Struct(">d")
_TIME_AT = len(MAGIC) + 16  # half a digest is plenty
_BODY_AT = _TIME_AT + _TIME.size


def pack(key: str, body: bytes) -> bytes:
    """Make the entry for an answer that is kept now."""
    stamp = _TIME.pack(time.time())
    digest = sha256(key.encode() + stamp)  # where the processor helps, as fast as any of hashlib's
    digest.update(body)
    return b"".join((MAGIC, digest.digest()[:16], stamp, body))


def unpack(key: str, entry: object) -> tuple[bytes, float] | None:
    """Return an answer's body, and when it was kept, in seconds since the epoch.

    None stands for what is no entry of ours, was cut, or belongs to another key.
    """
    if type(entry) is not bytes or len(entry) < _BODY_AT:
        return None
    digest = sha256(key.encode())
    digest.update(memoryview(entry)[_TIME_AT:])
    if entry[:_TIME_AT] != MAGIC + digest.digest()[:16]:
        return None
    return entry[_BODY_AT:], _TIME.unpack_from(entry, _TIME_AT)[0]
