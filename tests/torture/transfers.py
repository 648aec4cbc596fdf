"""`python -m tests.torture.transfers --seconds 60 --seed N`: move money while workers are killed at random.

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

from bridge.demo.installation import Installation
from bridge.demo.process import Process
from bridge.demo.servers import run_postgres, run_redis
from bridge.demo.workers import worker_command
from bridge.store.migrate import migrate
from tests.torture.run import THIS_TREE
from tests.torture.victims import children

ACCOUNTS = 50
PER_SECOND = 40
LEASE_SECONDS = 3.0
REST_SECONDS = 120.0
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
    """The results of one run.

    Attributes:
        events: Events of the log.
        kills: Processes that were killed.
        repeated: Events that a later attempt than the first has applied.
        wrong: Events that were not applied exactly once, each with how often.
        unbalanced: Accounts with a wrong balance: id, balance, balance that the log says.
    """

    events: int
    kills: int
    repeated: int
    wrong: list[tuple[int, int]]
    unbalanced: list[tuple[int, int, int]]


def run(*, seconds: float, seed: int, directory: Path) -> Result:
    """Publish transfers and kill workers for a while, let it come to rest, and check the handler's tables."""
    choose = random.Random(seed)
    with ExitStack() as stack:
        database, broker = (
            stack.enter_context(run_postgres(directory)),
            stack.enter_context(run_redis(directory)),
        )
        installation = Installation(database, broker, directory, role="torture", environment=THIS_TREE)
        stack.callback(installation.close)
        stack.callback(installation.processes.kill)  # runs first: nothing here is worth a warm shutdown
        migrate(installation.store.engine)
        eyes = installation.eyes
        eyes.execute(TABLES)
        eyes.execute("INSERT INTO accounts SELECT generate_series(1, %s)", [ACCOUNTS])
        installation.register(
            "ledger",
            task="ledger.transfer",
            queue="ledger",
            ack_timeout_seconds=LEASE_SECONDS,
            max_attempts=1000,
        )
        installation.start_bridge(log_level="INFO")
        fleet = [_start_fleet(installation, number) for number in (1, 2)]
        kills = _torment(eyes, fleet, choose, seconds)
        _rest(installation)
        return _result(eyes, kills)


def _start_fleet(installation: Installation, number: int) -> Process:
    command = worker_command("ledger", node=f"ledger{number}", queues=["ledger"], log_level="INFO")
    environment = {"BRIDGE_DATABASE_URL": installation.database_url}
    return installation.processes.start(f"ledger {number}", command, directory=LEDGER, environment=environment)


def _torment(
    eyes: psycopg.Connection[tuple[object, ...]], fleet: list[Process], choose: random.Random, seconds: float
) -> int:
    """Publish and kill; return how many were killed."""
    ends, kills, next_kill = time.monotonic() + seconds, 0, time.monotonic() + 3
    while time.monotonic() < ends:
        source, target = choose.sample(range(1, ACCOUNTS + 1), 2)
        payload = Jsonb({"from": source, "to": target, "amount": choose.randint(1, 1000)})
        eyes.execute(
            "INSERT INTO fq.events (topic, key, payload) VALUES ('transfer', %s, %s)", [f"account-{source}", payload]
        )
        if time.monotonic() > next_kill:
            victim = choose.choice(fleet)
            found = children(victim)
            if found and choose.random() < 0.6:
                choose.choice(found).kill()
            else:
                victim.restart()
            kills += 1
            next_kill = time.monotonic() + choose.uniform(0.5, 3)
        time.sleep(1 / PER_SECOND)
    for process in fleet:
        if process.exit_code is not None:
            process.restart()
    return kills


def _rest(installation: Installation) -> None:
    """Wait until the client is done with the log, or for long enough: the check names the events that are missing."""
    ends = time.monotonic() + REST_SECONDS
    while not installation.is_done() and time.monotonic() < ends:
        time.sleep(0.2)


def _result(eyes: psycopg.Connection[tuple[object, ...]], kills: int) -> Result:
    events = eyes.execute("SELECT count(*) FROM fq.events").fetchone()
    repeated = eyes.execute("SELECT count(*) FROM applied WHERE attempt > 1").fetchone()
    wrong = eyes.execute(WRONG).fetchall()
    unbalanced = eyes.execute(UNBALANCED).fetchall()
    assert events and repeated
    return Result(int(str(events[0])), kills, int(str(repeated[0])), wrong, unbalanced)  # type: ignore[arg-type]


def main() -> int:
    """Parse the command line, run, and print the result; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.torture.transfers", description=__doc__)
    parser.add_argument("--seconds", type=float, default=60, help="how long to publish and to kill (default: 60)")
    parser.add_argument("--seed", type=int, default=1, help="of all random choices (default: 1)")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bridge-transfers-", ignore_cleanup_errors=True) as directory:
        result = run(seconds=asked.seconds, seed=asked.seed, directory=Path(directory))
    print(
        f"{result.events} transfers, {result.kills} kills, {result.repeated} applied by a later attempt; "
        f"not applied exactly once: {result.wrong or 'none'}; "
        f"accounts with a wrong balance: {result.unbalanced or 'none'}"
    )
    return 1 if result.wrong or result.unbalanced else 0


if __name__ == "__main__":
    sys.exit(main())
