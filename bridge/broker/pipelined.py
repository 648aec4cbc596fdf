"""One round trip for many messages, where kombu (5.7 and later) and its transport can."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from kombu import Producer


@contextmanager
def pipelined(producer: Producer, size: int) -> Iterator[None]:
    """Hold back the messages that are published within, and send them together, if that is possible."""
    if size > 1 and getattr(producer, "supports_batch_publish", False):
        with producer.batch(size):
            yield
    else:
        yield
