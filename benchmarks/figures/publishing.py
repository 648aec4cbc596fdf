"""Publishing: `bridge.publish` in the caller's own transaction, against `.delay()`."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import psycopg

from benchmarks.bench import TASK, Bench, Servers
from benchmarks.fleet import QUEUE
from benchmarks.log import as_argument, event
from benchmarks.measure import interleaved, rate
from benchmarks.peers import pgqueuer, procrastinate
from benchmarks.result import Figure, Row, Target
from benchmarks.sizes import Sizes
from bridge import publish as publish_one
from bridge import publish_many

DELAY = ".delay() per event"
MANY = 1000
PEERS = (procrastinate, pgqueuer)
TARGETS = {
    "bridge.publish, a transaction per event": 3,
    "bridge.publish, one transaction": 3,
    f"publish_many, {MANY} a transaction": 50,
}


def measure(servers: Servers, sizes: Sizes) -> Figure:
    """Publish the same events in every possible way; nothing consumes them."""
    figure = Figure(name="publishing")
    with servers.bench() as bench, psycopg.connect(bench.database_url) as connection:
        each, one, many = TARGETS
        contenders: dict[str, Callable[[], float]] = {
            each: lambda: _each(bench, sizes.slow),
            one: lambda: _one(connection, sizes.slow),
            many: lambda: _many(bench, sizes.pump),
            DELAY: lambda: _delay(bench, sizes.slow),
        }
        for peer in PEERS:
            if reason := peer.missing():
                figure.notes.append(f"{peer.NAME} is skipped: {reason}")
                continue
            contenders[f"{peer.NAME}, one by one"] = partial(peer.publish, bench, sizes.slow)
            contenders[f"{peer.NAME}, {MANY} a batch"] = partial(peer.publish, bench, sizes.pump, batch=True)
        interleaved(contenders, rounds=1)  # to warm up
        found = interleaved(contenders, rounds=sizes.rounds)
    figure.raw["events_per_second"] = dict(found)
    figure.setup = {"events_one_by_one": sizes.slow, "events_in_batches": sizes.pump, "connection": "psycopg"}
    base = found.pop(DELAY)
    for name, rates in found.items():
        targets = (Target(least=TARGETS[name]),) if name in TARGETS else ()
        figure.rows.append(Row.of_rates(name, rates, base, DELAY, targets=targets))
    figure.notes.append("Postgres runs without fsync: on a disk that syncs, a transaction per event costs a sync each")
    return figure


def _each(bench: Bench, events: int) -> float:
    made = [event(number) for number in range(events)]

    def work() -> None:
        for topic, payload, key, *_ in made:
            publish_one(bench.eyes, topic, payload, key=key)

    return rate(events, work)


def _one(connection: psycopg.Connection[object], events: int) -> float:
    made = [event(number) for number in range(events)]

    def work() -> None:
        for topic, payload, key, *_ in made:
            publish_one(connection, topic, payload, key=key)
        connection.commit()

    return rate(events, work)


def _many(bench: Bench, events: int) -> float:
    made = [event(number) for number in range(events)]

    def work() -> None:
        for first in range(0, events, MANY):
            publish_many(bench.eyes, made[first : first + MANY])

    return rate(events, work)


def _delay(bench: Bench, events: int) -> float:
    task = bench.app().tasks[TASK]
    arguments = [as_argument(number) for number in range(events)]
    task.delay(arguments[0])

    def work() -> None:
        for argument in arguments:
            task.delay(argument)

    found = rate(events, work)
    bench.redis.delete(QUEUE)
    return found
