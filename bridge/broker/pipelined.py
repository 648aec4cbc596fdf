"""One round trip for many messages, where kombu (5.7 and later) and its transport can."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from kombu import Producer


@contextmanager
def pipelined(producer: Producer, size: int, *, wanted: bool = True) -> Iterator[bool]:
    """Hold back the messages that are published within, and send them together, if that is wanted and possible.

    Yields:
        Whether they are held back. Where one of them is refused then, it is not known which of the others are taken.
    """
    if wanted and size > 1 and getattr(producer, "supports_batch_publish", False):
        with producer.batch(size):
            yield True
    else:
        yield False
