"""Celery Event Bridge: events appended to a Postgres table become Celery tasks for every registered client.

The client's reading cursor moves when those tasks succeed, so a Celery fleet that exists today becomes a consumer
without changing a line.

A name is imported when it is first used: who only publishes, or asks the command line for its help, need not load all.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bridge.declare import client
    from bridge.errors import (
        AlreadyDone,
        BatchInterrupted,
        BridgeError,
        BrokerUnavailable,
        ClientConflict,
        ConfigurationError,
        IdTaken,
        InvalidClient,
        InvalidEvent,
        InvalidTarget,
        LogRewound,
        NotInstalled,
        SchemaError,
        StoreUnavailable,
        Unavailable,
        UnknownClient,
        UsageError,
    )
    from bridge.event import Event, NewEvent, Scheduled
    from bridge.installing import install
    from bridge.log.apublish import apublish, apublish_many
    from bridge.log.cloudevents import apublish_cloudevent, publish_cloudevent
    from bridge.log.publish import publish, publish_many
    from bridge.log.values import register_type
    from bridge.operate.operator import Operator
    from bridge.store.migrate import migrate
    from bridge.worker.transaction import transaction

__version__ = "0.1.0"

__all__ = [
    "AlreadyDone",
    "BatchInterrupted",
    "BridgeError",
    "BrokerUnavailable",
    "ClientConflict",
    "ConfigurationError",
    "Event",
    "IdTaken",
    "InvalidClient",
    "InvalidEvent",
    "InvalidTarget",
    "LogRewound",
    "NewEvent",
    "NotInstalled",
    "Operator",
    "Scheduled",
    "SchemaError",
    "StoreUnavailable",
    "Unavailable",
    "UnknownClient",
    "UsageError",
    "apublish",
    "apublish_cloudevent",
    "apublish_many",
    "client",
    "install",
    "migrate",
    "publish",
    "publish_cloudevent",
    "publish_many",
    "register_type",
    "transaction",
]

_NAMES = {
    "bridge.declare": ("client",),
    "bridge.errors": (
        "AlreadyDone",
        "BatchInterrupted",
        "BridgeError",
        "BrokerUnavailable",
        "ClientConflict",
        "ConfigurationError",
        "IdTaken",
        "InvalidClient",
        "InvalidEvent",
        "InvalidTarget",
        "LogRewound",
        "NotInstalled",
        "SchemaError",
        "StoreUnavailable",
        "Unavailable",
        "UnknownClient",
        "UsageError",
    ),
    "bridge.event": (
        "Event",
        "NewEvent",
        "Scheduled",
    ),
    "bridge.installing": ("install",),
    "bridge.log.apublish": (
        "apublish",
        "apublish_many",
    ),
    "bridge.log.cloudevents": (
        "apublish_cloudevent",
        "publish_cloudevent",
    ),
    "bridge.log.publish": (
        "publish",
        "publish_many",
    ),
    "bridge.log.values": ("register_type",),
    "bridge.operate.operator": ("Operator",),
    "bridge.store.migrate": ("migrate",),
    "bridge.worker.transaction": ("transaction",),
}
_HOME = {name: module for module, names in _NAMES.items() for name in names}
_MODULES = ("errors", "signals")  # that can be used without an import of their own

if not TYPE_CHECKING:  # else every name would count as known

    def __getattr__(name: str) -> object:
        """Import what a name stands for, once."""
        if name in _MODULES:
            return import_module(f"bridge.{name}")
        if name not in _HOME:
            raise AttributeError(f"module 'bridge' has no attribute {name!r}")
        found = globals()[name] = getattr(import_module(_HOME[name]), name)
        return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__, *_MODULES})
