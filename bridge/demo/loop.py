"""Run all that an installation has, feed it a month of flights, and compare what comes out with the file.

Nothing is imitated: Postgres and Redis are servers, the bridge and the fleet are Celery workers in processes
of their own, and the events are published while these run. Whatever happens, all that was started is stopped.
"""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

from redis import Redis, RedisError
from rich.console import Console
from rich.text import Text

from bridge.demo import facts, servers
from bridge.demo.clients import CLIENTS, QUEUE
from bridge.demo.feed import feed
from bridge.demo.flights import Flight, flights
from bridge.demo.processes import Workers
from bridge.demo.progress import Progress, verdict
from bridge.demo.stopping import Stopping
from bridge.errors import BridgeError, UsageError
from bridge.store import Store
from bridge.store.clients import register
from bridge.store.migrate import migrate
from bridge.store.status import read_status
from bridge.wording import counted

FLEET = Path(__file__).with_name("fleet.py")
FLEET_WORKERS = 2
STOPPED = 130

# What a fleet of fast tasks would set: on two cores the gossip of the workers costs more than it tells.
WORKER = "--without-gossip --without-mingle --without-heartbeat --loglevel WARNING"


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
        with Stopping() as stopping:
            return _play(console, flights(events), stopping)
    except KeyboardInterrupt:
        console.print("stopped; nothing is left running")
        return STOPPED
    except UsageError:
        raise
    except (BridgeError, RedisError) as error:
        console.print(Text(f"the demo has failed: {error}", style="red"), soft_wrap=True)
        return 1


def _play(console: Console, published: Sequence[Flight], stopping: Stopping) -> int:
    count = f"· {counted(len(published), 'departure')} from New York, January 2013"
    console.print(Text("Celery Event Bridge", style="bold"), count)
    console.print(Text("starting Postgres, Redis, the bridge and a Celery fleet of two workers", style="dim"))
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bridge-demo-")))
        with stopping.held():
            database_url = stack.enter_context(servers.postgres(directory))
            broker_url = stack.enter_context(servers.redis(directory))
        redis = stack.enter_context(Redis.from_url(broker_url, socket_timeout=30))
        store = Store(database_url, role="demo")
        stack.callback(store.close)
        migrate(store.engine)
        for client in CLIENTS:
            register(store, client.registration)
        workers = stack.enter_context(Workers(directory))
        with stopping.held():
            _start(workers, directory, database_url=database_url, broker_url=broker_url)
        began = time.monotonic()
        with Progress(console) as progress:
            feed(store, workers, published, progress, stopping)
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
    workers.start(
        "bridge worker",
        f"-A bridge worker -B -Q bridge -n bridge@%h --concurrency 2 --schedule beat-schedule {WORKER}",
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
    for number in range(1, FLEET_WORKERS + 1):
        workers.start(
            f"fleet worker {number}",
            # One process each, as in containers: handing such short tasks on to a pool costs as much as they do.
            f"-A fleet worker -Q {QUEUE} -n fleet{number}@%h --pool solo {WORKER}",
            directory=home,
            environment={"CELERY_BROKER_URL": broker_url},
        )


def _cursors(store: Store, count: int) -> Iterator[facts.Check]:
    """What the bridge itself says: that every cursor is at the end, and that no event was set aside."""
    for row in read_status(store):
        yield facts.check(row.client, "cursor", count, row.offset)
        yield facts.check(row.client, "parked events", 0, row.parked)


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
        f"{counted(len(published), 'event')} to {len(CLIENTS)} clients, {counted(tasks, 'task')} in {seconds:.1f} s: "
        f"{len(published) / seconds:,.0f} events/s, {tasks / seconds:,.0f} tasks/s"
    )
    if repeated:
        said = counted(repeated, "event came more than once and was", "events came more than once and were")
        console.print(f"{said} counted once")
    wrong = [check for check in checks if not check.ok]
    if not wrong:
        console.print(Text(f"all {len(checks)} results are what the file says", style="bold green"))
        return 0
    differ = "differs" if len(wrong) == 1 else "differ"
    console.print(Text(f"{len(wrong)} of {len(checks)} results {differ} from the file:", style="bold red"))
    for check in wrong:
        console.print(Text(f"  {check.client}, {check.fact}: expected {check.expected}, got {check.got}", style="red"))
    return 1
