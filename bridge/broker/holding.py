"""Ask the workers of a broker which tasks they hold, by remote control, and whether all that can hold one answered.

A message that is in no queue may be in a worker: fetched, running, or scheduled for later. Where a worker may hold it
and does not say so, nothing is known about it, and `Seen.complete` says so.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

from celery import Celery
from kombu import Connection

from bridge.broker.asking import ask_all, heard_on
from bridge.broker.internals.connections import answered_within
from bridge.broker.internals.redis import polling_clients, unacked_messages
from bridge.broker.running import ACTIVE, Run, runs_in

logger = logging.getLogger("bridge")

HOLDING: Mapping[str, Mapping[str, Any]] = {"scheduled": {}, "reserved": {}, ACTIVE: {"safe": True}}
QUESTIONS = len(HOLDING) + 2  # to each worker, with those about its queues and tasks
UNACKED_MESSAGES = 5000  # that are looked through on Redis
DELAYED_QUEUES = 28  # that Celery makes on RabbitMQ for tasks with a countdown, where the fleet has quorum queues


class QueueSeen(NamedTuple):
    """A queue: how many messages wait in it, and how many consumers it has; None where the broker does not say."""

    messages: int
    consumers: int | None


class Answer(NamedTuple):
    """What one worker says: the queues that it consumes, the tasks that it knows, and those with a rate limit."""

    worker: str
    queues: frozenset[str]
    tasks: frozenset[str]
    limited: frozenset[str]


class Seen(NamedTuple):
    """What was seen of the workers.

    Attributes:
        complete: Whether every worker that can hold a message has answered, as far as the broker can tell.
        answers: What each worker says.
        held: The tasks that workers hold, by id: fetched, running, or scheduled for later; with the name of each, which
            is empty where only the broker tells.
        runs: Where each task runs that runs now, by id.
    """

    complete: bool
    answers: tuple[Answer, ...]
    held: Mapping[str, str]
    runs: Mapping[str, Run] = MappingProxyType({})

    def consumers(self, queue: str) -> list[Answer]:
        """Return the workers that consume a queue."""
        return [it for it in self.answers if queue in it.queues]


def look_at_queue(connection: Connection, queue: str, *, seconds: float) -> QueueSeen:
    """Look at a queue; one that does not exist has no messages and no consumers.

    Raises:
        The errors of kombu and of the broker's driver.
    """
    if connection.transport.driver_type == "redis":
        try:
            found = connection.default_channel.queue_declare(queue, passive=True)
        except connection.channel_errors:
            return QueueSeen(0, None)
        return QueueSeen(int(found.message_count), None)
    with answered_within(connection, seconds), connection.channel() as channel:
        try:
            found = channel.queue_declare(queue, passive=True)
        except connection.channel_errors:
            return QueueSeen(0, 0)
        return QueueSeen(int(found.message_count), int(found.consumer_count))


def ask_who_holds(app: Celery, connection: Connection, *, seconds: float) -> Seen:
    """Ask all workers; it takes a few seconds, and changes nothing.

    Args:
        app: Its name of the control exchange is the fleet's.
        connection: To the broker, and made for this one question.
        seconds: How long to wait for the answers to the first question; the others wait for as many answers.

    Raises:
        The errors of kombu and of the broker's driver.
    """
    on_redis = connection.transport.driver_type == "redis"
    # Before the first question: to read its answers is to poll as well.
    polling = polling_clients(connection.default_channel) if on_redis else 0
    with heard_on(connection) as heard:
        queues = ask_all(app, connection, "active_queues", {}, seconds=seconds, limit=heard)
    most = len(queues)
    registered = dict(
        ask_all(app, connection, "registered", {"taskinfoitems": ["rate_limit"]}, seconds=seconds, limit=most)
    )
    held, runs, complete = dict[str, str](), dict[str, Run](), most > 0 and len(registered) == most
    # In the order in which a task goes through them, so that none slips through between two questions.
    for command, arguments in HOLDING.items():
        found = ask_all(app, connection, command, arguments, seconds=seconds, limit=most)
        complete &= len(found) == most
        for request in (one.get("request", one) for _, theirs in found for one in theirs):
            held[str(request["id"])] = str(request["name"])
        if command == ACTIVE:
            runs = runs_in(found)
    if on_redis:
        unacked = unacked_messages(connection.default_channel, UNACKED_MESSAGES)
        complete &= heard is not None and int(heard) == most and polling <= most and unacked is not None
        held.update({id: held.get(id, "") for id in _ids(unacked or ())})
    return Seen(complete, tuple(_answer(name, theirs, registered.get(name, ())) for name, theirs in queues), held, runs)


def delayed_messages(connection: Connection, *, seconds: float) -> int:
    """Count the messages that RabbitMQ holds back for tasks with a countdown; other brokers hold none back."""
    if connection.transport.driver_type == "redis":
        return 0
    total = 0
    for level in range(DELAYED_QUEUES):
        with answered_within(connection, seconds), connection.channel() as channel:
            try:
                total += int(channel.queue_declare(f"celery_delayed_{level}", passive=True).message_count)
            except connection.channel_errors:
                return total
    return total


def _answer(worker: str, queues: Sequence[Mapping[str, Any]], registered: Sequence[str]) -> Answer:
    """Read what one worker says; a task with a rate limit is listed as `name [rate_limit=10/m]`."""
    names = {entry.partition(" [")[0]: "[" in entry for entry in registered}
    limited = frozenset(name for name, is_limited in names.items() if is_limited)
    return Answer(worker, frozenset(str(it["name"]) for it in queues), frozenset(names), limited)


def _ids(messages: Iterable[bytes]) -> Iterator[str]:
    """Return the task ids of messages as kombu keeps them on Redis until they are acknowledged."""
    for message in messages:
        try:
            yield str(json.loads(message)[0]["headers"]["id"])
        except (ValueError, KeyError, TypeError, IndexError):
            continue
