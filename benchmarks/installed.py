"""The same fleet with the bridge installed in it: its workers can settle outcomes themselves."""

from __future__ import annotations

import bridge
from benchmarks.fleet import app

bridge.install(app)

__all__ = ["app"]
