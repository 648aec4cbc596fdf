"""Run all that an installation has, feed it a month of flights, and compare what comes out with the file.

Nothing is imitated: Postgres and Redis are servers, the bridge and the fleet are Celery workers in processes
of their own, and the events are published while these run. Whatever happens, all that was started is stopped.
"""

from __future__ import annotations

import shutil
import signal
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from datetime import timedelta
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

from redis import Redis, RedisError
from rich.console import Console
from rich.text import Text

from bridge import embedded
from bridge.demo import facts
from bridge.demo.clients import CLIENTS, QUEUE
from bridge.demo.flights import Flight, flights
from bridge.demo.processes import Workers
from bridge.demo.progress import Progress, Standing, verdict
from bridge.errors import BridgeError, UsageError
from bridge.store import Store
from bridge.store.clients import register, status
from bridge.store.log import publish_many
from bridge.store.migrate import migrate

FLEET = Path(__file__).with_name("fleet.py")
FLEET_PROCESSES = 2
BATCH = 500  # events of one transaction
BATCH_SECONDS = 0.2  # a month in some ten seconds, so that publishing and consuming can be seen side by side
LOOK_SECONDS = 0.4
STALLED_SECONDS = 60
NEW_YORK = timedelta(hours=-5)
STOPPED = 130

# What a fleet of fast tasks would set: on two cores the gossip of the workers costs more than it tells.
WORKER = ("--without-gossip", "--without-mingle", "--without-heartbeat", "--loglevel", "WARNING")


def run(events: int | None = None) -> int:
    """Play the demo; prints what happens and what came out.

    Args:
        events: How many flights, from the beginning of the month; None for all 27,004.

    Returns:
        An exit code: 0 if every result is as the file says, 1 if not or if something died, 130 on Ctrl-C.

    Raises:
        UsageError: `events` is below 1, or a server program is missing; nothing runs.
    """
    if events is not None and events < 1:
        raise UsageError(f"the demo can't publish {events} events: ask for 1 or more")
    console = Console()
    try:
        with _stopped_by_signals():
            return _play(console, flights(events))
    except KeyboardInterrupt:
        console.print("stopped; nothing is left running")
        return STOPPED
    except UsageError:
        raise
    except (BridgeError, RedisError) as error:
        console.print(Text(f"the demo has failed: {error}", style="red"), soft_wrap=True)
        return 1


def _play(console: Console, published: Sequence[Flight]) -> int:
    count = f"· {len(published):,} departures from New York, January 2013"
    console.print(Text("Celery Event Bridge", style="bold"), count)
    console.print(Text("starting Postgres, Redis, the bridge, and a Celery fleet", style="dim"))
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bridge-demo-")))
        database_url = stack.enter_context(embedded.postgres(directory))
        broker_url = stack.enter_context(embedded.redis(directory))
        redis = stack.enter_context(Redis.from_url(broker_url, socket_timeout=30))
        store = Store(database_url, role="demo")
        stack.callback(store.close)
        migrate(store.engine)
        for client in CLIENTS:
            register(store, client.registration)
        workers = stack.enter_context(Workers(directory))
        _start(workers, directory, database_url=database_url, broker_url=broker_url)
        began = time.monotonic()
        _feed(console, store, workers, published)
        seconds = time.monotonic() - began
        checks = [
            *facts.compare(facts.expected(published), facts.counted(redis)),
            *_cursors(store, len(published)),
        ]
        repeated = sum(facts.repeated(redis, client.id) for client in CLIENTS)
    verdict(console, checks, caption=f"delays: {facts.DELAYS_SHOWN}")
    return _conclude(console, checks, published, seconds=seconds, repeated=repeated)


def _start(workers: Workers, directory: Path, *, database_url: str, broker_url: str) -> None:
    """Start the bridge, and a fleet whose only file is its own."""
    schedule = str(directory / "beat-schedule")
    workers.start(
        "bridge worker",
        (
            "-A",
            "bridge",
            "worker",
            "-B",
            "-Q",
            "bridge",
            "-n",
            "bridge@%h",
            "-c",
            "2",
            "-s",
            schedule,
            *WORKER,
        ),
        directory=directory,
        environment={
            "BRIDGE_DATABASE_URL": database_url,
            "CELERY_BROKER_URL": broker_url,
            "BRIDGE_LINGER_SECONDS": "2",  # a pump that lingers longer would make us wait for its end
        },
    )
    home = directory / "fleet"
    home.mkdir()
    shutil.copy(FLEET, home)
    workers.start(
        "fleet worker",
        ("-A", "fleet", "worker", "-Q", QUEUE, "-n", "fleet@%h", "-c", str(FLEET_PROCESSES), *WORKER),
        directory=home,
        environment={"CELERY_BROKER_URL": broker_url},
    )


def _feed(console: Console, store: Store, workers: Workers, published: Sequence[Flight]) -> None:
    """Publish the flights while the workers run, and wait until every client is done with all of them.

    Raises:
        BridgeError: a worker has died, or nothing moves any more; the message ends with the logs.
    """
    totals = {client.id: sum(map(client.wants, published)) for client in CLIENTS}
    wanted = dict.fromkeys(totals, 0)
    sent, offset = 0, -1
    progress_at = publish_at = look_at = time.monotonic()
    finished = 0
    with Progress(console) as progress:
        while True:
            if sent < len(published) and time.monotonic() >= publish_at:
                publish_at = time.monotonic() + BATCH_SECONDS
                batch = published[sent : sent + BATCH]
                offset = _publish(store, batch)
                sent += len(batch)
                for client in CLIENTS:
                    wanted[client.id] += sum(map(client.wants, batch))
            if time.monotonic() >= look_at:
                workers.check()
                rows = {row["client"]: row for row in status(store)}
                done = sent == len(published) and all(row["offset"] >= offset for row in rows.values())
                standings = [
                    Standing(
                        client=client.id,
                        total=totals[client.id],
                        published=wanted[client.id],
                        dispatched=rows[client.id]["delivered"],
                        done=rows[client.id]["succeeded"],
                    )
                    for client in CLIENTS
                ]
                progress.show(standings, note=_note(published, sent), last=done)
                if done:
                    return
                look_at = time.monotonic() + LOOK_SECONDS
                before, finished = finished, sum(standing.done for standing in standings)
                if finished != before:
                    progress_at = time.monotonic()
                elif time.monotonic() > progress_at + STALLED_SECONDS:
                    raise BridgeError(_stalled(rows, offset) + workers.tails())
            time.sleep(0.02)


def _publish(store: Store, batch: Sequence[Flight]) -> int:
    """Append flights to the log, in one transaction of ours; the offset of the last one."""
    with store.transaction() as connection:
        return publish_many(connection, [flight.event for flight in batch])[-1]


def _stalled(rows: Mapping[str, Mapping[str, Any]], offset: int) -> str:
    behind = "; ".join(
        f"{id} stands at {row['offset']}" + (f" ({row['trouble']})" if row["trouble"] else "")
        for id, row in rows.items()
        if row["offset"] < offset
    )
    return f"nothing was done for {STALLED_SECONDS} seconds: the last event is {offset}, {behind}"


def _note(published: Sequence[Flight], sent: int) -> str:
    if sent == len(published):
        return "all flights are published"
    return f"publishing: {published[max(0, sent - 1)].time + NEW_YORK:%-d January %H:%M}"


def _cursors(store: Store, count: int) -> Iterator[facts.Check]:
    """What the bridge itself says: that every cursor is at the end, and that no event was set aside."""
    for row in status(store):
        yield facts.check(row["client"], "cursor", count, row["offset"])
        yield facts.check(row["client"], "parked events", 0, row["parked"])


def _conclude(
    console: Console,
    checks: Sequence[facts.Check],
    published: Sequence[Flight],
    *,
    seconds: float,
    repeated: int,
) -> int:
    tasks = sum(client.wants(flight) for client in CLIENTS for flight in published)
    console.print(
        f"{len(published):,} events to {len(CLIENTS)} clients, {tasks:,} tasks in {seconds:.1f} s: "
        f"{len(published) / seconds:,.0f} events/s, {tasks / seconds:,.0f} tasks/s"
    )
    if repeated:
        console.print(f"{repeated:,} events came more than once and were counted once")
    wrong = [check for check in checks if not check.ok]
    if not wrong:
        console.print(Text(f"all {len(checks)} results are what the file says", style="bold green"))
        return 0
    console.print(Text(f"{len(wrong)} of {len(checks)} results differ from the file:", style="bold red"))
    for check in wrong:
        console.print(Text(f"  {check.client}, {check.fact}: expected {check.expected}, got {check.got}", style="red"))
    return 1


@contextmanager
def _stopped_by_signals() -> Iterator[None]:
    """Let SIGTERM and a closed terminal unwind as Ctrl-C does, or they would leave everything running."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(number: int, frame: FrameType | None) -> NoReturn:
        raise KeyboardInterrupt

    before = {number: signal.signal(number, stop) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
