"""Choose the task that an event goes to, and the events that share its message.

Topic patterns are AMQP's: `*` is exactly one word, `#` any number of words, none too.
The database filters by the same rule (`fq.topics_filter`); a test holds the two against each other.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache

from bridge.model import Client, Delivery
from bridge.settings.headers import OTHER_TRACE_NAMES

_WORDS = {"*": r"\.[^.]+", "#": r"(?:\.[^.]+)*"}


@lru_cache(maxsize=4096)
def matches(pattern: str, topic: str) -> bool:
    """Tell whether a topic matches an AMQP topic pattern."""
    parts = (_WORDS.get(word, re.escape("." + word)) for word in pattern.split("."))
    return re.fullmatch("".join(parts), "." + topic) is not None


def task_for(client: Client, topic: str) -> str:
    """Return the name of the task that takes this topic: the first route that matches, else the client's task."""
    if not client.routes:
        return client.task
    return next((task for pattern, task in client.routes if matches(pattern, topic)), client.task)


def is_batch(client: Client, parcel: Sequence[Delivery]) -> bool:
    """Tell whether a message carries a list of events, perhaps of one; a task called for each gets one alone bare."""
    return client.batch > 1 and (client.batch_as == "list" or len(parcel) > 1)


def pack(client: Client, deliveries: Sequence[Delivery]) -> Iterator[tuple[str, Sequence[Delivery]]]:
    """Yield what goes out as one message: task name, and one delivery, or up to `batch` of them ordered by offset.

    Only deliveries of one task, epoch and attempt share a message, because they share its callbacks. The parts of a
    batch that failed stay apart.
    """
    if client.batch == 1:
        for delivery in deliveries:
            yield task_for(client, delivery.topic), (delivery,)
        return
    groups: dict[tuple[str, int, int, int | None], list[Delivery]] = {}
    for delivery in sorted(deliveries, key=lambda delivery: delivery.offset):
        which = (task_for(client, delivery.topic), delivery.epoch, delivery.attempt, delivery.part)
        groups.setdefault(which, []).append(delivery)
    for (task, *_), group in groups.items():
        for first in range(0, len(group), client.batch):
            yield task, group[first : first + client.batch]


def headers_of(parcel: Sequence[Delivery]) -> Mapping[str, str]:
    """Return the headers that a message gets from its events: of several events, those in which all of them agree.

    The trace is that of the first one.
    """
    first = parcel[0].headers
    if len(parcel) == 1 or not first:
        return first
    return {
        name: text
        for name, text in first.items()
        if name in OTHER_TRACE_NAMES or all(it.headers.get(name) == text for it in parcel)
    }
