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
from bridge.install import install
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
