"""Borrow from the record that kombu's channels on Redis keep of what is taken and not acknowledged."""

from __future__ import annotations

from typing import Any

from kombu.transport import virtual
from kombu.utils.json import dumps, loads

from bridge.broker.conformance import Differs


def set_bookkeeping(channel: Any, qos: Any) -> None:
    """Let this take the place of the channel's `QoS`, before the first message arrives."""
    channel._qos = qos


def retire(qos: Any) -> None:
    """Keep a `QoS` that was replaced from putting back messages when the process ends.

    It has none; but kombu would close its channel's bookkeeping a second time.
    """
    qos._on_collect.cancel()


def record_of(message: Any) -> str:
    """Return what kombu stores of a message in a worker's hands: the message as it came, exchange and routing key."""
    where = message.delivery_info
    record: str = dumps([message._raw, where["exchange"], where["routing_key"]])
    return record


def in_hand(qos: Any, delivery_tag: str) -> Any:
    """Return the message with this tag that a worker has in its hands; None if it has none."""
    return qos._delivered.get(delivery_tag)


def try_bookkeeping(channel: Any) -> None:
    """Try out kombu's bookkeeping, without a word to Redis; raise any exception if it differs from what was seen."""
    kept, qos = channel.qos, virtual.QoS(channel, 1)
    retire(qos)
    properties = {"delivery_tag": "tried", "delivery_info": {"exchange": "", "routing_key": "tried"}}
    message = channel.Message({"headers": {}, "properties": properties}, channel=channel)
    qos.append(message, "tried")
    if in_hand(qos, "tried") is not message or qos.can_consume():
        raise Differs("a QoS does not hold the message that it was given")
    qos.ack("tried")
    if not qos.can_consume():
        raise Differs("a QoS does not let go of a message that is done")
    if loads(record_of(message))[1:] != ["", "tried"]:
        raise Differs("a message does not say where it came from")
    set_bookkeeping(channel, qos)
    try:
        if channel.qos is not qos:
            raise Differs("a channel does not take another QoS")
    finally:
        set_bookkeeping(channel, kept)
