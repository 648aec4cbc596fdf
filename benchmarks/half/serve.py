"""Turns in this process: passes, settling, INSERT and publishing."""

from __future__ import annotations

import logging
import sys
import threading
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

from .loops import Loops
from .timing import Cost
from .trees import names

EVENTS = 20_000  # of a turn of passes, of settling, or of one large INSERT
SINGLE = 5_000  # INSERTs of one row
PUBLISHED = 3_000  # events that are published one by one
LOOKS = 20
INSERT = "INSERT INTO fq.events (topic, key, payload) VALUES ('order.created', 'key', '{\"number\": 1}')"
INSERT_MANY = """
INSERT INTO fq.events (topic, key, payload)
SELECT 'order.created', 'key ' || n % 1000, jsonb_build_object('number', n) FROM generate_series(1, 20000) n
"""


class Half(Loops):
    """Measures figures with the packages of its tree."""

    def run(self) -> None:
        """Measure until standard input ends."""
        logging.getLogger("bridge").setLevel(logging.ERROR)  # that a turn has emptied the broker is no news
        print("ready", flush=True)
        for line in sys.stdin:
            name, _, kind = line.strip().partition(", ")
            print(*getattr(self, "_" + name.replace(" ", "_"))(kind), flush=True)

    def _pump(self, kind: str) -> Cost:
        client = self._bench.client(start=0, window=EVENTS, ordering="key" if kind else "none")
        found = self._timed(lambda: self._callbacks.hand_over(self._bench, self._bridge, client, EVENTS))
        self._forget(client)
        return found

    def _settle(self, kind: str) -> Cost:
        ordering = "key" if kind else "none"
        client, stopping = self._bench.client(start=0, window=EVENTS, ordering=ordering), threading.Event()
        self._callbacks.hand_over(self._bench, self._bridge, client, EVENTS)
        assert self._callbacks.prefill(self._bench, self._bridge, client) == EVENTS
        queue = self._bridge.settings.queue
        work = partial(self._names.collect, self._bridge, queue=queue, others="others", stopping=stopping)

        def settle() -> None:
            thread = threading.Thread(target=work)
            thread.start()
            self._wait_for(client, EVENTS)
            stopping.set()
            thread.join()

        found = self._timed(settle)
        self._forget(client)
        return found

    def _insert(self, kind: str) -> Cost:
        def insert() -> None:
            eyes = self._bench.eyes
            eyes.execute("BEGIN")
            for _ in range(1 if kind else SINGLE):
                eyes.execute(INSERT_MANY if kind else INSERT)
            eyes.execute("ROLLBACK")

        return self._timed(insert)

    def _publish(self, kind: str) -> Cost:
        from bridge import publish, publish_many

        event: Any = import_module("benchmarks.log").event
        made = [event(number) for number in range(EVENTS if kind else PUBLISHED)]

        def work() -> None:
            eyes = self._bench.eyes
            eyes.execute("BEGIN")
            for first in range(0, len(made), 1000):
                some = made[first : first + 1000]
                if kind:
                    publish_many(eyes, some)
                else:
                    for topic, payload, key, *_ in some:
                        publish(eyes, topic, payload, key=key)
            eyes.execute("ROLLBACK")

        return self._timed(work)

    def _marks(self, _: str) -> Cost:
        def looks() -> None:
            for _ in range(LOOKS):
                self._look()

        return self._timed(looks)


def serve(directory: str, postgres_url: str, redis_url: str, broker_url: str = "") -> None:
    """Be one tree's half, on servers that run already. Without a URL of another broker, the Redis is the broker."""
    found = names()
    given: dict[str, Any] = {"broker_url": lambda: broker_url} if broker_url else {}
    servers = found.servers(postgres_url, redis_url, Path(directory), **given)
    with getattr(servers, found.with_log)(EVENTS) as bench:
        Half(found, bench).run()
