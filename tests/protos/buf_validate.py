"""``buf.validate`` for google.protobuf classes, out of the protovalidate package.

Its generated module for google.protobuf is only on Buf's own registry. All that such a module does
is to add its file to the default pool, and protovalidate has that file too.
"""

from __future__ import annotations

import sys
from types import ModuleType

from google.protobuf import (  # the rules' file imports four of their files
    descriptor_pb2,
    descriptor_pool,
    duration_pb2,
    field_mask_pb2,
    timestamp_pb2,
)
from protovalidate import ViolationPb

_IMPORTED = (descriptor_pb2, duration_pb2, field_mask_pb2, timestamp_pb2)


def install() -> None:
    """Make ``from buf.validate import validate_pb2`` work, as generated modules write it."""
    if "buf.validate.validate_pb2" in sys.modules:
        return
    file = ViolationPb.desc().file
    descriptor_pool.Default().AddSerializedFile(file.proto.to_binary())
    for name in ("buf", "buf.validate", "buf.validate.validate_pb2"):
        module = sys.modules[name] = ModuleType(name)
        parent, _, child = name.rpartition(".")
        if parent:
            setattr(sys.modules[parent], child, module)
