"""Look at a broker for `doctor` and `health`: what it is, whether it keeps what it has, and how its queues are made.

It changes nothing. Whatever a broker does not tell is None.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, NamedTuple

import redis
from kombu import Connection
from redis.exceptions import ResponseError

from bridge.broker.internals.connections import answered_within
from bridge.broker.internals.redis import connection_pool, polling_clients

NOT_FOUND, LOCKED, MISMATCH = 404, 405, 406
INEQUIVALENT = re.compile(r"inequivalent arg '(?P<name>[^']*)'.*?current is (?:the value )?'?(?P<value>\w+)", re.DOTALL)


class RedisSeen(NamedTuple):
    """A Redis, or a server that speaks like one.

    Attributes:
        role: `master` or `slave`.
        cluster: Whether it is part of a cluster.
        appends: Whether it writes an append-only file.
        saves: When it writes a snapshot, as `3600 1 300 100`; empty: never; None: it does not tell.
        writes_fail: Why it takes no writes, or would lose them.
        policy: What it removes when it is full, such as `noeviction`; None: it does not tell.
        limit: Most bytes that it may use; 0: no limit.
        used: Bytes that it uses.
        replicas: How many replicas follow it.
        pollers: Clients of this database that poll queues, as kombu's consumers do; None: it does not tell.
    """

    role: str
    cluster: bool
    appends: bool
    saves: str | None
    writes_fail: str
    policy: str | None
    limit: int
    used: int
    replicas: int
    pollers: int | None


class QueueMade(NamedTuple):
    """A queue of RabbitMQ.

    Attributes:
        exists: Whether it is there.
        messages: How many messages wait in it.
        consumers: How many consumers it has.
        durable: Whether it survives a restart of the broker; None: not known.
        kind: `classic`, `quorum` or another type; empty: not known.
    """

    exists: bool
    messages: int = 0
    consumers: int = 0
    durable: bool | None = None
    kind: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class BrokerSeen:
    """What a broker says of itself.

    Attributes:
        kind: `redis`, `amqp`, or what kombu calls the transport.
        product: Its name, such as Valkey.
        version: Its version; empty where it does not tell.
        clock_ahead_seconds: By how much its clock is ahead of this machine's; None where it does not tell.
        visibility_timeout_seconds: After what time this app has an unacknowledged message delivered again; None where
            the transport has no such thing.
        redis: If it is one.
        queues: The queues that were asked for, by name, where it is a RabbitMQ.
        unreadable: How many messages were set aside; None where it does not tell, or was not asked.
    """

    kind: str
    product: str
    version: str = ""
    clock_ahead_seconds: float | None = None
    visibility_timeout_seconds: float | None = None
    redis: RedisSeen | None = None
    queues: Mapping[str, QueueMade] = field(default_factory=dict)
    unreadable: int | None = None


def look_at_broker(connection: Connection, *, queues: Sequence[str], seconds: float) -> BrokerSeen:
    """Ask the broker what it is.

    Args:
        connection: To the broker, connected.
        queues: Names of queues to look at, where it is a RabbitMQ.
        seconds: Longest wait for each answer.

    Raises:
        The errors of kombu and of the broker's driver.
    """
    kind = str(connection.transport.driver_type)
    if kind == "redis":
        return _redis(connection.default_channel)
    if kind == "amqp":
        told = connection.connection.server_properties
        made = {queue: _queue(connection, queue, seconds=seconds) for queue in queues}
        return BrokerSeen(kind=kind, product=_text(told, "product"), version=_text(told, "version"), queues=made)
    return BrokerSeen(kind=kind, product=kind)


def ping(connection: Connection, *, seconds: float) -> None:
    """See that the broker answers.

    Raises:
        The errors of kombu and of the broker's driver.
    """
    if str(connection.transport.driver_type) == "redis":
        redis.Redis(connection_pool=connection_pool(connection.default_channel)).ping()
        return
    with answered_within(connection, seconds), connection.channel():
        pass


def _redis(channel: Any) -> BrokerSeen:
    client = redis.Redis(connection_pool=connection_pool(channel))
    before = time.time()
    told = _unless_refused(client.time)
    now = (before + time.time()) / 2
    info: Any = _unless_refused(client.info) or {}
    seen = RedisSeen(
        role=str(info.get("role", "master")),
        cluster=bool(info.get("cluster_enabled", 0)),
        appends=bool(info.get("aof_enabled", 0)),
        saves=_setting(client, "save"),
        writes_fail="; ".join(_writes_fail(client, info)),
        policy=info.get("maxmemory_policy") or _setting(client, "maxmemory-policy"),
        limit=int(info.get("maxmemory", 0)),
        used=int(info.get("used_memory", 0)),
        replicas=int(info.get("connected_slaves", 0)),
        pollers=_unless_refused(partial(polling_clients, channel)),
    )
    valkey = info.get("valkey_version") or (info.get("server_name") == "valkey" and info.get("redis_version"))
    return BrokerSeen(
        kind="redis",
        product="Valkey" if valkey else "Redis",
        version=str(valkey or info.get("redis_version", "")),
        clock_ahead_seconds=None if told is None else int(told[0]) + int(told[1]) / 1e6 - now,
        visibility_timeout_seconds=float(channel.visibility_timeout),
        redis=seen,
    )


def _writes_fail(client: Any, info: Mapping[str, Any]) -> Iterator[str]:
    if info.get("rdb_last_bgsave_status", "ok") != "ok" and _setting(client, "stop-writes-on-bgsave-error") != "no":
        yield "its last snapshot failed, and until one succeeds it takes no writes (stop-writes-on-bgsave-error)"
    if info.get("aof_enabled") and info.get("aof_last_write_status", "ok") != "ok":
        yield "it can't write its append-only file"
    if info.get("loading"):
        yield "it is still reading its file"


def _setting(client: Any, name: str) -> str | None:
    """Return a setting of Redis; None where it may not be asked, as with most that are hosted."""
    found = _unless_refused(lambda: client.config_get(name))
    return None if found is None or name not in found else str(found[name])


def _unless_refused(ask: Any) -> Any:
    try:
        return ask()
    except ResponseError:  # no permission, or no such command
        return None


def _queue(connection: Connection, name: str, *, seconds: float) -> QueueMade:
    """Look at a queue of RabbitMQ; how it is made shows in what the broker says to a plain declaration of it."""
    try:
        with answered_within(connection, seconds), connection.channel() as channel:
            found = channel.queue_declare(name, passive=True)
    except connection.channel_errors as error:
        return QueueMade(exists=getattr(error, "reply_code", None) == LOCKED)  # another connection's alone: it is there
    durable, kind = _made(connection, name, seconds=seconds)
    return QueueMade(True, int(found.message_count), int(found.consumer_count), durable, kind)


def _made(connection: Connection, name: str, *, seconds: float) -> tuple[bool | None, str]:
    """Return whether a queue that is there is durable, and its type."""
    try:
        with answered_within(connection, seconds), connection.channel() as channel:
            channel.queue_declare(name, durable=True, auto_delete=False)
    except connection.channel_errors as error:
        if getattr(error, "reply_code", None) != MISMATCH:
            return None, ""  # this user may not declare it
        # The broker compares durability first, then arguments, and has no code for what differs: only its text says.
        found = INEQUIVALENT.search(str(error))
        if found is None or found["name"] == "auto_delete":
            return None, ""
        if found["name"] == "durable":
            return False, ""
        return True, found["value"] if found["name"] == "x-queue-type" else ""
    return True, "classic"


def _text(told: Mapping[Any, Any], name: str) -> str:
    found = told.get(name, "")
    return found.decode(errors="replace") if isinstance(found, bytes) else str(found)
