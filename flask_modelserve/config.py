"""The config keys of the extension, read once in ``init_app``."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

PREFIX = "MODELSERVE_"


@dataclass(frozen=True, slots=True)
class Config:
    """Every key with its default; a field ``ping_path`` is ``app.config["MODELSERVE_PING_PATH"]``.

    Paths are those of the service routes; None switches a route off. Sizes are in bytes,
    times in seconds.
    """

    ping_path: str | None = "/__ping"
    ready_path: str | None = "/__ready"
    metrics_path: str | None = "/__metrics"
    openapi_path: str | None = "/__openapi.json"
    docs_path: str | None = "/__docs"
    openapi_info: Mapping[str, Any] | None = None
    guard: Callable[..., Any] | None = None
    max_body_bytes: int | None = 16_777_216
    json_logs: bool = False
    traces: bool = True
    cache_max_bytes: int = 1_000_000  # memcached takes 1 MiB, key and overhead included
    cache_timeout_seconds: float = 0.25
    cache_retry_seconds: float = 5.0

    @classmethod
    def read(cls, config: Mapping[str, Any]) -> Config:
        """Take the keys that an app sets.

        Raises:
            TypeError: For a guard that can't be called, or a size or switch of another type.
            ValueError: For a ``MODELSERVE_`` key that does not exist, or a path without its slash.
        """
        known = {PREFIX + field.name.upper(): field.name for field in fields(cls)}
        given = {key: value for key, value in config.items() if key.startswith(PREFIX)}
        unknown = sorted(given.keys() - known.keys())
        if unknown:
            raise ValueError(
                f"app.config has {', '.join(unknown)}, which flask_modelserve does not know; "
                f"its keys are {', '.join(sorted(known))}"
            )
        for key, value in given.items():
            if key.endswith("_PATH") and not (value is None or str(value).startswith("/")):
                raise ValueError(
                    f"app.config[{key!r}] = {value!r}: write a path such as '/{value}'"
                )
        values = cls(**{known[key]: value for key, value in given.items()})
        values._refuse_wrong_types()
        return values

    def _refuse_wrong_types(self) -> None:
        if not (self.guard is None or callable(self.guard)):
            raise TypeError(
                f"app.config['MODELSERVE_GUARD'] = {self.guard!r}: write a decorator, such as "
                "login_required, or a function that aborts or returns None"
            )
        size = self.max_body_bytes
        if size is not None and (isinstance(size, bool) or not isinstance(size, int) or size < 1):
            raise TypeError(
                f"app.config['MODELSERVE_MAX_BODY_BYTES'] = {size!r}: write a whole number of "
                "bytes, such as 16_777_216, or None for no limit"
            )
        for key, switch in (("JSON_LOGS", self.json_logs), ("TRACES", self.traces)):
            if not isinstance(switch, bool):
                raise TypeError(f"app.config['{PREFIX}{key}'] = {switch!r}: write True or False")

    def paths(self) -> dict[str, str]:
        """Return the paths of the service routes that are on, by their keys."""
        values = {PREFIX + f.name.upper(): getattr(self, f.name) for f in fields(self)}
        return {key: value for key, value in values.items() if key.endswith("_PATH") and value}
