"""Publish in hard ways: roll back, use savepoints, and keep transactions open."""

from __future__ import annotations

import json
import random
import threading
import time
from typing import Any

import psycopg

from tests.torture import poison

PUT = "INSERT INTO fq.events (topic, key, payload) VALUES (%s, %s, CAST(%s AS jsonb))"
TOPICS = ["order.created"] * 6 + ["order.paid"] * 3 + ["line.started", "other.thing"]
KEYS = [None, None, None, *(f"key {number}" for number in range(8))]
ROLLED_BACK = 0.2
SAVEPOINT = 0.2
HELD_OPEN = 0.05
LONGEST_SECONDS = 1.0


class Publishers:
    """Threads that publish until they are told to stop.

    Args:
        url: The database.
        seed: Of their random choices.
        number: Number of publishers at once.
        per_second: Events a second of all of them together, including those that are rolled back.
        calm: Publish no event that its handler fails on.
        poison: Share of the events that nobody could read; as many again are read with difficulty.
    """

    def __init__(self, url: str, *, seed: int, number: int, per_second: float, calm: bool, poison: float) -> None:
        self._url, self._calm, self._poison = url, calm, poison
        self._pause_seconds = 3 * number / per_second  # three events in a transaction on average
        self._stopping = threading.Event()
        self.errors: list[BaseException] = []
        self.rolled_back = 0
        if not calm:  # or else a short run may have none by chance
            with psycopg.connect(url) as connection:
                connection.execute(PUT, ("order.paid", None, '{"poison": true}'))
        self._threads = [
            threading.Thread(target=self._run, args=(random.Random(f"{seed} {nth}"),), daemon=True)
            for nth in range(number)
        ]
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Let each publisher end its transaction, and wait for that."""
        self._stopping.set()
        for thread in self._threads:
            thread.join(30)

    def _run(self, choose: random.Random) -> None:
        while not self._stopping.wait(choose.uniform(0, 2 * self._pause_seconds)):
            try:
                with psycopg.connect(self._url) as connection:
                    while not self._stopping.wait(choose.uniform(0, 2 * self._pause_seconds)):
                        self._publish(connection, choose)
            except (
                psycopg.OperationalError,
                psycopg.errors.ReadOnlySqlTransaction,
            ):  # or a new session
                continue
            except BaseException as error:
                self.errors.append(error)
                return

    def _publish(self, connection: psycopg.Connection[Any], choose: random.Random) -> None:
        for _ in range(choose.randint(1, 5)):
            connection.execute(PUT, self._event(choose))
            if choose.random() < SAVEPOINT:
                with connection.transaction(force_rollback=choose.random() < 0.5):
                    connection.execute(PUT, self._event(choose))
            if choose.random() < HELD_OPEN:
                time.sleep(choose.uniform(0, LONGEST_SECONDS))
        if choose.random() < ROLLED_BACK:
            connection.rollback()
            self.rolled_back += 1
        else:
            connection.commit()

    def _event(self, choose: random.Random) -> tuple[str, str | None, str]:
        return choose.choice(TOPICS), choose.choice(KEYS), "{}" if self._calm else self._payload(choose)

    def _payload(self, choose: random.Random) -> str:
        kind = choose.random()
        if kind < self._poison:
            return poison.odd_event(choose)
        return poison.edgy_event(choose) if kind < 2 * self._poison else json.dumps(trouble(choose))


def trouble(choose: random.Random) -> dict[str, Any]:
    """Return a payload that tells the handler what to do: mostly nothing special."""
    kind = choose.random()
    if kind < 0.05:
        return {"slow": round(choose.uniform(0.05, 0.5), 2)}
    if kind < 0.053:
        return {"slow": 5.5}  # longer than the lease: its success comes late
    if kind < 0.12:
        return {"fails": choose.randint(1, 2)}
    if kind < 0.13:
        return {"dies": True}
    if kind < 0.14:
        return {"poison": True}
    if kind < 0.17:
        return {"error": choose.choice(poison.EXCEPTIONS)}
    return {}
