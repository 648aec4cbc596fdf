"""Borrow from py-amqp's channels."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import amqp


def on_publish(channel: Any, count: Callable[[str], object], uncount: Callable[[], object]) -> None:
    """Call `count` with the exchange of each message that is published on a channel; Celery's events are among them.

    The broker numbers all of them. One that was not counted would shift every number after it, and so would one that
    py-amqp refused to write: then `uncount` is called. A message is counted before, because with Celery's option
    `confirm_publish` py-amqp hears the answer before it returns.
    """
    publish = channel.basic_publish

    def counted(msg: Any, exchange: str = "", *args: Any, **kwargs: Any) -> Any:
        count(exchange)
        try:
            return publish(msg, exchange, *args, **kwargs)
        except (OSError, amqp.AMQPError):  # the broker may have it, or has refused it
            raise
        except Exception:
            uncount()
            raise

    channel.basic_publish = counted


def ask_for_confirms(
    channel: Any,
    *,
    on_ack: Callable[[int, bool], None],
    on_nack: Callable[[int, bool], None],
    on_return: Callable[[Exception, str, str, Any], None],
) -> None:
    """Switch a channel to confirm mode, and hear the broker's answers."""
    channel.confirm_select()
    channel.events["basic_ack"].add(on_ack)
    channel.events["basic_nack"].add(on_nack)
    channel.events["basic_return"].add(on_return)


def on_blocked(connection: Any, call: Callable[[bool], object]) -> None:
    """Call `call` when the broker says that it reads no more of what is published, or reads on.

    Args:
        connection: Of py-amqp.
        call: Takes whether it has stopped: it is short of memory or disk.
    """
    connection.on_blocked = lambda *_: call(True)
    connection.on_unblocked = lambda *_: call(False)


def can_be_published(message: Any) -> bool:
    """Tell whether py-amqp can write out a message's properties; not all that it reads can be written."""
    try:
        message._serialize_properties()
    except Exception:
        return False
    return True


def receive(channel: Any, seconds: float) -> bool:
    """Read from the broker once, and call what waits for it; return False if nothing came for `seconds`.

    Raises:
        ConnectionError: the connection was closed.
    """
    if channel.connection is None:
        raise ConnectionError("the connection is closed")
    try:
        channel.connection.drain_events(timeout=seconds)
    except TimeoutError:
        return False
    return True


def try_confirms() -> None:
    """Try out on a channel without a connection that answers can be heard; raise any exception if not."""
    channel = amqp.Channel(amqp.Connection("not-connected"), 1)
    channel.confirm_select = lambda: None
    ask_for_confirms(channel, on_ack=print, on_nack=print, on_return=print)
    on_publish(channel, print, print)


def keep_bytes(channel: Any) -> None:
    """Get the bodies of messages as bytes: a message that is passed on must be, byte for byte, the one that came."""
    channel.auto_decode = False
