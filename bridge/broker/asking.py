"""Ask the workers of a broker by remote control: one question to many, within a time; it changes nothing."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any

from celery import Celery
from kombu import Connection

from bridge.broker.internals.connections import answered_within
from bridge.broker.internals.redis import listeners_counted

BROKER_SECONDS = 2.0  # for what the broker itself answers, however short the wait for the workers is


class _EnoughAnswers(Exception):
    """All answers that are waited for have come."""


class Heard:
    """How many have heard a question; known once it is asked.

    Without it, nobody would know when the last answer has come; and on Redis, a wait that ends without an answer takes
    up to a second more, because the command that waits is still under way.

    Args:
        counts: What `listeners_counted` fills.
    """

    def __init__(self, counts: Sequence[int]) -> None:
        self._counts = counts

    def __index__(self) -> int:
        return sum(self._counts)

    def __bool__(self) -> bool:
        return bool(self._counts)


@contextmanager
def heard_on(connection: Connection) -> Iterator[Heard | None]:
    """Count who hears what is asked meanwhile, where the broker says it: on Redis."""
    if connection.transport.driver_type != "redis":
        yield None
        return
    with listeners_counted(connection.default_channel) as counts:
        yield Heard(counts)


def ask_all(
    app: Celery,
    connection: Connection,
    command: str,
    arguments: Mapping[str, Any],
    *,
    seconds: float,
    limit: int | Heard | None,
    workers: Sequence[str] | None = None,
) -> list[tuple[str, Any]]:
    """Return the answers of all workers: pairs of name and answer; those of workers of the same name are all there.

    Args:
        app: Its name of the control exchange is the fleet's.
        connection: To the broker.
        command: A command of Celery's remote control that only looks.
        arguments: Of the command.
        seconds: Longest wait for answers.
        limit: Wait for no more than so many answers; None: for all that come in time.
        workers: Ask only these; None: all.
    """
    if limit == 0:
        return []
    mailbox = app.control.mailbox(connection)
    mailbox.accept = [*(mailbox.accept or ()), "json"]  # Celery's answers are JSON, whatever the app accepts
    mailbox.producer_pool = None  # else it would ask through a connection of the app's pool, which tries for ever
    mailbox.unclaimed = defaultdict(deque)  # else late answers to all questions would be kept for ever
    replies = list[Any]()

    def heard(reply: Any) -> None:
        replies.append(reply)
        if limit and len(replies) >= int(limit):
            raise _EnoughAnswers

    # kombu's own limit counts late answers to the question before as well, so one of them would stay unheard.
    with answered_within(connection, max(2 * seconds, BROKER_SECONDS)), suppress(_EnoughAnswers):
        if workers:
            mailbox.call(list(workers), command, dict(arguments), timeout=seconds, callback=heard)
        else:
            mailbox.multi_call(command, dict(arguments), timeout=seconds, callback=heard)
    found = [answer for reply in replies for answer in reply.items()]
    return [(worker, answer) for worker, answer in found if not (isinstance(answer, dict) and "error" in answer)]
