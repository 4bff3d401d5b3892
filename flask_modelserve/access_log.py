"""What gunicorn logs of each request: a line, or a JSON object."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

from gunicorn.glogging import Logger, SafeAtoms

LINE_FORMAT = '%(t)s %(h)s "%(r)s" %(s)s %(b)s bytes %(L)s s %({x-request-id}o)s'

# Names of the object's members, and gunicorn's of what they hold.
_MEMBERS = {
    "time": "t",
    "remote": "h",
    "method": "m",
    "path": "U",
    "query": "q",
    "status": "s",
    "bytes": "B",
    "seconds": "L",
    "user_agent": "a",
    "request_id": "{x-request-id}o",
    "process": "P",
}
_PAIRS = ", ".join(f'"{name}": %({atom})s' for name, atom in _MEMBERS.items())
JSON_FORMAT = "{" + _PAIRS + "}"


class JsonAtoms(SafeAtoms):  # type: ignore[misc]  # gunicorn has no types
    """The values of a request as JSON, null for those that it does not have."""

    def __init__(self, atoms: Any) -> None:
        dict.__init__(self, atoms)

    def __getitem__(self, atom: str) -> str:
        value = self.get(atom.lower() if atom.startswith("{") else atom, "-")
        return "null" if value == "-" else json.dumps(value, default=str)


class JsonLogger(Logger):  # type: ignore[misc]  # gunicorn has no types
    """Logs requests as JSON, in the format of the setting ``access_log_format``."""

    atoms_wrapper_class = JsonAtoms

    def atoms(self, resp: Any, req: Any, environ: Any, request_time: Any) -> Any:
        atoms: Any = super().atoms(resp, req, environ, request_time)
        atoms["s"] = int(atoms["s"]) if atoms["s"].isdecimal() else atoms["s"]
        atoms["L"] = request_time.total_seconds()
        atoms["P"] = int(atoms["p"].strip("<>"))
        return atoms

    def now(self) -> str:
        """Return the time as RFC 3339 has it."""
        return datetime.now(UTC).isoformat(timespec="milliseconds")
