"""Celery Event Bridge: events appended to a Postgres table become Celery tasks for every registered client.

The client's reading cursor moves when those tasks succeed, so a Celery fleet that exists today becomes a consumer
without changing a line.
"""

from bridge.declare import client
from bridge.errors import (
    AlreadyDone,
    BatchInterrupted,
    BridgeError,
    BrokerUnavailable,
    ClientConflict,
    ConfigurationError,
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
from bridge.event import Event, NewEvent
from bridge.install import install
from bridge.log.publish import apublish, apublish_many, publish, publish_many
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
    "InvalidClient",
    "InvalidEvent",
    "InvalidTarget",
    "LogRewound",
    "NewEvent",
    "NotInstalled",
    "Operator",
    "SchemaError",
    "StoreUnavailable",
    "Unavailable",
    "UnknownClient",
    "UsageError",
    "apublish",
    "apublish_many",
    "client",
    "install",
    "migrate",
    "publish",
    "publish_many",
    "transaction",
]
