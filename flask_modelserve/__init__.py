"""Serve plain Python functions and trained models from an ordinary Flask app."""

from .errors import BadResponse, FieldError, InvalidRequest, ModelServeError
from .extension import ModelServe

__all__ = [
    "BadResponse",
    "FieldError",
    "InvalidRequest",
    "ModelServe",
    "ModelServeError",
]

__version__ = "0.1.0"
