"""`python -m tests.torture.transfers --seconds 60 --seed N`: transfers between accounts while workers are killed at random.

The handler uses `bridge.transaction`. Afterwards every event of the log must be applied exactly once and every balance
must be the one that the log says; the check reads nothing but the log and the handler's own tables.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

import psycopg
from psycopg.types.json import Jsonb

from bridge.demo import servers as embedded
from bridge.model import Registration
from bridge.store import Store
from bridge.store.clients import register
from bridge.store.migrate import migrate
from tests.torture.processes import Process

ACCOUNTS = 50
PER_SECOND = 40
LEASE_SECONDS = 3.0
REST_SECONDS = 120.0
REPOSITORY = Path(__file__).parent.parent.parent
LEDGER = Path(__file__).parent / "ledger"

TABLES = """
CREATE TABLE accounts (id int PRIMARY KEY, balance bigint NOT NULL DEFAULT 0);
CREATE TABLE applied ("offset" bigint NOT NULL, attempt int NOT NULL);
"""
WRONG = """
SELECT e."offset", count(a."offset") AS times FROM fq.events e LEFT JOIN applied a ON a."offset" = e."offset"
 GROUP BY e."offset" HAVING count(a."offset") <> 1 ORDER BY 1
"""
UNBALANCED = """
SELECT a.id, a.balance, coalesce(sum(m.amount), 0) AS told
  FROM accounts a LEFT JOIN (
       SELECT (payload ->> 'to')::int AS id, (payload ->> 'amount')::bigint AS amount FROM fq.events
        UNION ALL
       SELECT (payload ->> 'from')::int, -(payload ->> 'amount')::bigint FROM fq.events) m ON m.id = a.id
 GROUP BY a.id, a.balance HAVING a.balance <> coalesce(sum(m.amount), 0)
"""


class Result(NamedTuple):
    """What came out; `wrong` are events not applied exactly once, `unbalanced` accounts that hold too much or little."""

    events: int
    kills: int
    repeated: int
    wrong: list[tuple[int, int]]
    unbalanced: list[tuple[int, int, int]]


def run(*, seconds: float, seed: int, directory: Path) -> Result:
    """Publish transfers and kill workers for a while, let it come to rest, and look at what the handler did."""
    choose = random.Random(seed)
    with ExitStack() as stack:
        database = stack.enter_context(embedded.postgres(directory))
        broker = stack.enter_context(embedded.redis(directory))
        store = Store(database)
        stack.callback(store.close)
        migrate(store.engine)
        eyes = stack.enter_context(psycopg.connect(database, autocommit=True))
        eyes.execute(TABLES)
        eyes.execute("INSERT INTO accounts SELECT generate_series(1, %s)", [ACCOUNTS])
        settings = {
            "task": "ledger.transfer",
            "queue": "ledger",
            "ack_timeout_seconds": LEASE_SECONDS,
            "max_attempts": 1000,
        }
        register(store, Registration(id="ledger", given=settings))
        environment = {"CELERY_BROKER_URL": broker, "BRIDGE_DATABASE_URL": database, "PYTHONPATH": str(REPOSITORY)}
        quiet = ["--loglevel", "INFO", "--without-gossip", "--without-mingle"]
        schedule = ["-B", "--schedule", str(directory / "schedule")]

        def process(name: str, app: str, home: Path, *arguments: str) -> Process:
            it = Process(
                name, ["-A", app, "worker", *quiet, *arguments], directory=home, environment=environment, logs=directory
            )
            stack.callback(it.kill)
            return it

        process("bridge", "bridge", REPOSITORY, "-Q", "bridge", "-c", "2", "-n", "bridge@%h", *schedule)
        fleet = [process(f"ledger {n}", "ledger", LEDGER, "-Q", "ledger", "-c", "2", "-n", f"l{n}@%h") for n in (1, 2)]
        kills = _torment(eyes, fleet, choose, seconds)
        _rest(eyes)
        return _result(eyes, kills)


def _torment(
    eyes: psycopg.Connection[tuple[object, ...]], fleet: list[Process], choose: random.Random, seconds: float
) -> int:
    """Publish and kill; how many were killed."""
    ends, kills, next_kill = time.monotonic() + seconds, 0, time.monotonic() + 3
    while time.monotonic() < ends:
        source, target = choose.sample(range(1, ACCOUNTS + 1), 2)
        payload = Jsonb({"from": source, "to": target, "amount": choose.randint(1, 1000)})
        eyes.execute(
            "INSERT INTO fq.events (topic, key, payload) VALUES ('transfer', %s, %s)", [f"account-{source}", payload]
        )
        if time.monotonic() > next_kill:
            victim = choose.choice(fleet)
            children = victim.children()
            if children and choose.random() < 0.6:
                choose.choice(children).kill()
            else:
                victim.restart()
            kills += 1
            next_kill = time.monotonic() + choose.uniform(0.5, 3)
        time.sleep(1 / PER_SECOND)
    for process in fleet:
        if not process.is_alive():
            process.restart()
    return kills


def _rest(eyes: psycopg.Connection[tuple[object, ...]]) -> None:
    """Wait until the client is done with the log, or for long enough; the check says what is missing."""
    ends = time.monotonic() + REST_SECONDS
    done = """SELECT c."offset" = (SELECT max("offset") FROM fq.events) FROM fq.clients c WHERE c.id = 'ledger'"""
    while time.monotonic() < ends:
        if eyes.execute(done).fetchone() == (True,):
            return
        time.sleep(0.2)


def _result(eyes: psycopg.Connection[tuple[object, ...]], kills: int) -> Result:
    events = eyes.execute("SELECT count(*) FROM fq.events").fetchone()
    repeated = eyes.execute("SELECT count(*) FROM applied WHERE attempt > 1").fetchone()
    wrong = eyes.execute(WRONG).fetchall()
    unbalanced = eyes.execute(UNBALANCED).fetchall()
    assert events and repeated
    return Result(int(str(events[0])), kills, int(str(repeated[0])), wrong, unbalanced)  # type: ignore[arg-type]


def main() -> int:
    """Parse the command line, run, and say what came out."""
    parser = argparse.ArgumentParser(prog="python -m tests.torture.transfers", description=__doc__)
    parser.add_argument("--seconds", type=float, default=60, help="how long to publish and to kill (default: 60)")
    parser.add_argument("--seed", type=int, default=1, help="of all random choices (default: 1)")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bridge-transfers-", ignore_cleanup_errors=True) as directory:
        result = run(seconds=asked.seconds, seed=asked.seed, directory=Path(directory))
    print(
        f"{result.events} transfers, {result.kills} kills, {result.repeated} applied by a later attempt; "
        f"not applied exactly once: {result.wrong or 'none'}; accounts that don't balance: {result.unbalanced or 'none'}"
    )
    return 1 if result.wrong or result.unbalanced else 0


if __name__ == "__main__":
    sys.exit(main())
