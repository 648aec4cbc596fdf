"""The store: the event log and its clients in Postgres. Only this package runs SQL.

The one exception is the demo, which sets up its own throw-away database (`demo/installation.py`).
"""

from bridge.store.connect import Store

__all__ = ["Store"]
