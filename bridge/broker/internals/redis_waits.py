"""Borrow from what kombu's consumers wait for on Redis: an answer to a poll of their queues, and broadcasts."""

from __future__ import annotations

import select
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

_HEARD = "bridge_heard_at"  # `time.monotonic()`, an attribute of the channels that are watched


def watch_arrivals(channel: Any, is_welcome: Callable[[str, bytes], bool]) -> None:
    """Show each message that a worker's Redis channel takes, before kombu opens it; one that is not welcome is gone.

    kombu opens it in the worker's event loop, where an error of any kind ends the worker. When it was answered last is
    remembered, for `heard_at`.

    Args:
        channel: The channel that a worker consumes on.
        is_welcome: Gets the queue's name and the message as it is stored.
    """
    client = channel.client
    parse = client.parse_response

    def watched(connection: Any, command_name: str, **options: Any) -> Any:
        found = parse(connection, command_name, **options)
        setattr(channel, _HEARD, time.monotonic())
        if command_name == "BRPOP" and found:
            queue = bytes(found[0]).decode(errors="replace").rsplit(channel.sep, 1)[0]
            if not is_welcome(queue, bytes(found[1])):
                return None  # as if nothing had come
        return found

    client.parse_response = watched


def is_polling(transport: Any) -> bool:
    """Tell whether a worker waits for an answer to a poll on its Redis; it does not while its pool is full."""
    return any(getattr(channel, "_in_poll", None) for channel in list(getattr(transport, "channels", ())))


def heard_at(transport: Any) -> float:
    """Return when a poll of a worker was answered last (`time.monotonic()`), as far as its channels are watched.

    An answer that has come and is not read yet counts as one of now: the worker's event loop may be busy.
    """
    heard = 0.0
    for channel in list(getattr(transport, "channels", ())):
        heard = max(heard, getattr(channel, _HEARD, 0.0))
        waiting = _waiting(channel, "client") if getattr(channel, "_in_poll", None) else None
        if waiting is not None and _is_readable(waiting):
            return time.monotonic()
    return heard


def poll_seconds(transport: Any) -> float:
    """Return how long the server lets a poll of a worker wait, unless a message comes."""
    return float(getattr(transport, "brpop_timeout", None) or 0)


def end_waits(transport: Any) -> int:
    """End what a worker waits for on its Redis, from another thread; return the number of connections.

    The sockets are shut down for reading and writing, and nothing else is touched: the worker's event loop finds them
    at their end, as if Redis had closed them, and connects anew. kombu up to 5.6 does not notice by itself that Redis
    has vanished, and a later one after some 50 seconds. What a live server answers afterwards is lost. Those that lie
    idle in a pool are ended as well: otherwise each would cost its time-out when it is taken from there.
    """
    ended = 0
    for channel in list(getattr(transport, "channels", ())):
        # As kombu has made them: one polls queues, the other hears broadcasts.
        for waiting in (_waiting(channel, "client"), _waiting(channel, "subclient"), *_idle(channel)):
            if waiting is not None:
                # That of TLS would forget its session, and what has come already could not be read any more.
                plain = socket.socket if isinstance(waiting, socket.socket) else type(waiting)
                with suppress(OSError):
                    plain.shutdown(waiting, socket.SHUT_RDWR)
                    ended += 1
    return ended


def _idle(channel: Any) -> list[Any]:
    """Return the sockets of connections that a channel's pools keep for later."""
    pools = [vars(channel).get(name) for name in ("_pool", "_async_pool")]
    return [getattr(it, "_sock", None) for pool in pools for it in list(getattr(pool, "_available_connections", ()))]


def _waiting(channel: Any, name: str) -> Any:
    """Return the socket of one of a channel's clients; None if it has none now."""
    return getattr(getattr(vars(channel).get(name), "connection", None), "_sock", None)


def _is_readable(waiting: Any) -> bool:
    """Tell whether something has come on a socket; another thread may close it meanwhile."""
    with suppress(OSError, ValueError):
        return bool(select.select([waiting], [], [], 0)[0])
    return False
