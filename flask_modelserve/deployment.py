"""Deployment: how gunicorn will run an app, as gunicorn's own loading of its settings has it.

The settings are read by running this file in a new process, which imports nothing of the package:
a config module may have to come before it, and does what it does at a start.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

_DEFAULT = "python:flask_modelserve.gunicorn"


@dataclass(frozen=True, slots=True)
class Deployment:
    """What matters of gunicorn's settings.

    Attributes:
        config: Where they come from, besides options and environment.
        worker_class: Its name, as gunicorn has it.
        workers: Processes.
        threads: Of each.
        connections: That a worker on greenlets answers at a time.
        timeout: Seconds after which a silent worker is killed.
        reload: Whether workers restart when code changes.
        metrics_folder: Where the workers share metrics (``PROMETHEUS_MULTIPROC_DIR``).
        can_write_metrics: Whether they can; a config may make the folder, for as long as it runs.
    """

    config: str
    worker_class: str
    workers: int
    threads: int
    connections: int
    timeout: int
    reload: bool
    metrics_folder: str | None
    can_write_metrics: bool

    @classmethod
    def read(cls, options: Sequence[str]) -> Deployment:
        """Read the settings that gunicorn would have with these options, here and now.

        Raises:
            RuntimeError: When gunicorn refuses them.
        """
        done = subprocess.run(  # noqa: S603 - this file, with the user's own options
            [sys.executable, "-P", __file__, *options],
            capture_output=True,
            text=True,
            check=False,
        )
        lines = done.stdout.splitlines()
        if done.returncode or not lines:
            raise RuntimeError(f"gunicorn refuses its settings:\n{done.stderr.strip()}")
        return cls(**json.loads(lines[-1]))  # a config file may print lines of its own

    @property
    def concurrency(self) -> int:
        """Requests that a worker answers at a time."""
        if "event" in self.worker_class.lower():  # gevent, eventlet
            return self.connections
        return self.threads if self.is_threaded else 1

    @property
    def is_threaded(self) -> bool:
        """Whether a worker answers on several threads."""
        return "thread" in self.worker_class.lower()

    def __str__(self) -> str:
        workers = f"{self.workers} {self.worker_class} worker{'s'[: self.workers > 1]}"
        threads = f" of {self.threads} threads" if self.is_threaded else ""
        return f"gunicorn with {workers}{threads} ({self.config})"


def _print_settings() -> None:
    """Have gunicorn load its settings by this process's arguments, and print what matters."""
    from gunicorn.app.base import Application
    from gunicorn.config import get_default_config_file

    class Settings(Application):  # type: ignore[misc]  # gunicorn ships no types
        """Loads settings, and no app."""

        source = "gunicorn's defaults"

        def init(self, parser: Any, opts: Any, args: Any) -> None:  # noqa: ARG002 - gunicorn's signature
            named = parser.parse_args(self.cfg.get_cmd_args_from_env()).config
            opts.config = opts.config or named or get_default_config_file()
            opts.config = opts.config or _DEFAULT
            here = f"{Path.cwd()}{os.sep}"
            self.source = (opts.config or self.source).removeprefix(here)

    settings = Settings()
    cfg = settings.cfg
    folder = {**os.environ, **cfg.env}.get("PROMETHEUS_MULTIPROC_DIR")
    deployment = Deployment(
        config=settings.source,
        worker_class=cfg.worker_class_str,
        workers=cfg.workers,
        threads=cfg.threads,
        connections=cfg.worker_connections,
        timeout=cfg.timeout,
        reload=bool(cfg.reload),
        metrics_folder=folder,
        can_write_metrics=folder is not None and os.access(folder, os.W_OK),
    )
    sys.stdout.write(f"\n{json.dumps(asdict(deployment))}\n")


if __name__ == "__main__":
    _print_settings()
