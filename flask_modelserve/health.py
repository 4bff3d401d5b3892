"""Routes by which a supervisor sees how a process is."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from flask import Flask

    from .config import Config


def add_ping(app: Flask, config: Config) -> None:
    """Add ``/__ping``: 200 as long as the process answers at all."""
    if config.ping_path is None:
        return

    def modelserve_ping() -> dict[str, str]:
        return {"status": "ok"}

    app.add_url_rule(config.ping_path, view_func=modelserve_ping)
