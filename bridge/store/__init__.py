"""The store: the event log and its clients in Postgres. Nothing outside this package runs SQL."""

from bridge.store.connect import Store

__all__ = ["Store"]
