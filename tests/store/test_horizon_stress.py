"""G2 under load: many writers of every kind, and readers that must see everything once and in order.

A reader that trusts what it sees follows the same load. It has to lose events: that shows that the load bites.
`BRIDGE_STRESS_SECONDS` makes the load longer.
"""

from __future__ import annotations

import os
import random
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from typing import Any

import psycopg
import pytest

from tests.conftest import Connect
from tests.support.databases import Databases

SECONDS = float(os.environ.get("BRIDGE_STRESS_SECONDS", "5"))
DEADLINE_SECONDS = SECONDS + 60  # how long to wait for the naive reader to lose something
WRITERS = 16
KEYS = 200
STRAGGLE_SECONDS = 1.0

Session = psycopg.Connection[Any]
Event = tuple[int, str | None, int]  # offset, key, the key's own count


class Reader(threading.Thread):
    """Follows the log: reads what lies between its cursor and what it takes for final."""

    def __init__(self, session: Session, final: str, ended: threading.Event) -> None:
        super().__init__(daemon=True)
        self.seen: list[Event] = []
        self.cursors: list[int] = [-1]
        self.error: BaseException | None = None
        self._session, self._final, self._ended = session, final, ended

    def run(self) -> None:
        try:
            while not self._ended.is_set():
                self.look()
                time.sleep(0.001)
            self.look()
        except BaseException as error:  # it belongs to the test, not to the thread
            self.error = error

    def look(self) -> None:
        row = self._session.execute(self._final.encode()).fetchone()
        assert row is not None
        if row[0] != self.cursors[-1]:
            between = """
                SELECT "offset", key, CAST(payload ->> 'count' AS integer) FROM fq.events
                 WHERE "offset" > %s AND "offset" <= %s ORDER BY "offset" """
            self.seen += self._session.execute(between, [self.cursors[-1], row[0]])
            self.cursors.append(row[0])


def write(session: Session, writer: int, ended: threading.Event) -> None:
    """Write until the load ends: transactions of every size and fate, some of them slow."""
    chance = random.Random(writer)
    for nth in count():
        if ended.is_set():
            return
        fate = chance.choices(["commit", "rollback", "savepoint", "prepare"], [6, 2, 2, 2])[0]
        straggles, own_key = chance.random() < 0.02, KEYS + writer
        # Sorted, so that there are no deadlocks; and a straggler stays away from keys that others wait for.
        keys = [own_key] if straggles else sorted(chance.choices(range(KEYS), k=chance.randint(1, 4)))
        session.execute("BEGIN")
        for key in keys:
            put(session, key)
        if fate == "savepoint":
            session.execute("SAVEPOINT s")
            put(session, own_key)
            session.execute("ROLLBACK TO s")
            put(session, own_key)
        if straggles:
            time.sleep(STRAGGLE_SECONDS)
        elif chance.random() < 0.3:
            time.sleep(chance.random() / 50)
        if fate == "prepare":
            name = f"{session.info.dbname} {writer} {nth}"
            session.execute(f"PREPARE TRANSACTION '{name}'".encode())
            time.sleep(chance.random() / 20)
            session.execute(f"{chance.choice(['COMMIT', 'ROLLBACK'])} PREPARED '{name}'".encode())
        else:
            session.execute(b"ROLLBACK" if fate == "rollback" else b"COMMIT")


def put(session: Session, key: int) -> None:
    """Append an event of a key, counted under the lock of a row, as the writers of one aggregate do."""
    session.execute(
        """WITH counted AS (UPDATE aggregates SET count = count + 1 WHERE key = %s RETURNING key, count)
           INSERT INTO fq.events (key, payload) SELECT key, jsonb_build_object('count', count) FROM counted""",
        [str(key)],
    )


@pytest.fixture
def foreign_transaction(_every_databases: Databases, connect: Connect) -> Iterator[Session]:
    """A transaction that has written elsewhere in the cluster and does not end."""
    with _every_databases.empty() as url:
        session = connect(url, autocommit=False)
        session.execute("CREATE TABLE orders (id integer)")
        session.execute("INSERT INTO orders VALUES (1)")
        yield session
        session.close()


def in_parallel(load: Callable[[threading.Event], None], until: Callable[[], bool]) -> None:
    """Run the load in every writer until its time is over and `until` says so."""
    ended, begun = threading.Event(), time.monotonic()
    with ThreadPoolExecutor(WRITERS) as pool:
        try:
            running = [pool.submit(load, ended) for _ in range(WRITERS)]
            while time.monotonic() - begun < SECONDS or not until():
                assert not any(writer.done() for writer in running), [w.exception() for w in running if w.done()]
                if time.monotonic() - begun > DEADLINE_SECONDS:
                    break
                time.sleep(0.05)
        finally:
            ended.set()
        for writer in running:
            writer.result()


@pytest.mark.torture
def test_g2_no_reader_skips_or_repeats_an_event_where_a_naive_one_loses_some(
    every_database: str, connect: Connect, foreign_transaction: Session
) -> None:
    world, ended, numbers = connect(every_database), threading.Event(), count()
    world.execute(
        "CREATE TABLE aggregates (key text PRIMARY KEY, count integer NOT NULL DEFAULT 0) WITH (fillfactor = 50)"
    )
    world.execute("INSERT INTO aggregates (key) SELECT CAST(g AS text) FROM generate_series(0, %s) g", [KEYS + WRITERS])
    sessions = [connect(every_database) for _ in range(WRITERS)]
    pump = Reader(connect(every_database), "SELECT fq.advance_horizon()", ended)
    plain = Reader(connect(every_database), "SELECT fq.read_horizon(0)", ended)
    naive = Reader(connect(every_database), 'SELECT coalesce(max("offset"), -1) FROM fq.events', ended)
    readers = [pump, plain, naive]

    def load(over: threading.Event) -> None:
        number = next(numbers)
        write(sessions[number], number, over)

    def naive_has_lost() -> bool:
        upto, seen = naive.cursors[-1], len(naive.seen)
        row = world.execute('SELECT count(*) FROM fq.events WHERE "offset" <= %s', [upto]).fetchone()
        return row is not None and int(row[0]) > seen

    for reader in readers:
        reader.start()
    try:
        in_parallel(load, until=naive_has_lost)
        moved_under_load = len(pump.cursors)
    finally:
        ended.set()
        for reader in readers:
            reader.join()
    assert [reader.error for reader in readers] == [None, None, None]

    committed = list(
        world.execute("""SELECT "offset", key, CAST(payload ->> 'count' AS integer) FROM fq.events ORDER BY 1""")
    )
    assert len(committed) > WRITERS
    assert pump.seen == committed
    assert plain.seen == committed
    assert len(naive.seen) < len(committed), "the load was too light: no reader could have lost anything"
    assert pump.cursors == sorted(set(pump.cursors))

    # Nothing stalled: the horizon moved all the time, and to the end, while a stranger's transaction was open.
    assert moved_under_load > 3
    assert foreign_transaction.info.transaction_status == psycopg.pq.TransactionStatus.INTRANS
    assert world.execute("SELECT fq.last_drawn()").fetchone() == (pump.cursors[-1],)

    # The events of a key came in the order in which their transactions committed, rolled back ones left no gap.
    counts: dict[str | None, list[int]] = {}
    for _, key, nth in pump.seen:
        counts.setdefault(key, []).append(nth)
    assert all(of_key == list(range(1, len(of_key) + 1)) for of_key in counts.values())
