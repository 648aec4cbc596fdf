"""Let py-amqp read messages whose properties are no properties: publishers may send any bytes there."""

from __future__ import annotations

from functools import wraps
from typing import Any

from amqp.serialization import PROPERTY_CLASSES

BASIC = 60  # the class of messages in AMQP


def tolerate_properties() -> None:
    """Let a message whose properties can't be decoded come without any; later calls do nothing.

    py-amqp would raise in the middle of it, which ends the connection, and the broker gives the message to the next.
    """
    decode = PROPERTY_CLASSES[BASIC]
    if hasattr(decode, "__wrapped__"):
        return

    @wraps(decode)
    def tolerant(buffer: Any, offset: int) -> tuple[dict[str, Any], int]:
        try:
            found: tuple[dict[str, Any], int] = decode(buffer, offset)
        except Exception:  # of any type: text that is none, a time beyond all times, tables without an end
            return {}, len(buffer)
        return found

    PROPERTY_CLASSES[BASIC] = tolerant
