"""Which task an event goes to. Topic patterns are AMQP's: `*` is exactly one word, `#` any number of words, none too.

The database filters by the same rule (`fq.topics_filter`); a test holds the two against each other.
"""

from __future__ import annotations

import re
from functools import lru_cache

from bridge.model import Client

_WORDS = {"*": r"\.[^.]+", "#": r"(?:\.[^.]+)*"}


@lru_cache(maxsize=4096)
def matches(pattern: str, topic: str) -> bool:
    """Whether a topic matches an AMQP topic pattern."""
    parts = (_WORDS.get(word, re.escape("." + word)) for word in pattern.split("."))
    return re.fullmatch("".join(parts), "." + topic) is not None


def task_for(client: Client, topic: str) -> str:
    """Name of the task that takes this topic: the first route that matches, else the client's task."""
    return next((task for pattern, task in client.routes if matches(pattern, topic)), client.task)
