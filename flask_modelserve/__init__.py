"""Serve plain Python functions and trained models from an ordinary Flask app."""

from .batching import Batch
from .errors import (
    BadResponse,
    DeadlineExceeded,
    FieldError,
    InvalidRequest,
    ModelServeError,
    Overloaded,
)
from .extension import ModelServe

__all__ = [
    "BadResponse",
    "Batch",
    "DeadlineExceeded",
    "FieldError",
    "InvalidRequest",
    "ModelServe",
    "ModelServeError",
    "Overloaded",
]

__version__ = "0.1.0"
