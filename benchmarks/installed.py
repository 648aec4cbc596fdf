"""The same fleet with the bridge installed in it: its workers settle outcomes themselves (commit = in-process)."""

from __future__ import annotations

import bridge
from benchmarks.fleet import app

bridge.install(app)

__all__ = ["app"]
