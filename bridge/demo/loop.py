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

from redis import RedisError
from rich.console import Console
from rich.text import Text

from bridge.demo import facts
from bridge.demo.clients import CLIENTS, QUEUE
from bridge.demo.feed import feed
from bridge.demo.flights import Flight, flights
from bridge.demo.installation import Installation
from bridge.demo.progress import Progress, verdict
from bridge.demo.servers import run_postgres, run_redis
from bridge.demo.stopping import Stopping
from bridge.demo.workers import worker_command
from bridge.errors import BridgeError, UsageError
from bridge.store.migrate import migrate
from bridge.store.status import read_status
from bridge.wording import counted

FLEET = Path(__file__).with_name("fleet.py")
FLEET_WORKERS = 2
STOPPED = 130

OPTIONS = ["--without-heartbeat"]  # as a fleet of fast tasks would set it


def run(events: int | None = None) -> int:
    """Play the demo; print what happens and what came out.

    Args:
        events: Number of flights, from the beginning of the month; None for all 27,004.

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
            database_url = stack.enter_context(run_postgres(directory))
            broker_url = stack.enter_context(run_redis(directory))
        installation = Installation(database_url, broker_url, directory, role="demo")
        stack.callback(installation.close)
        migrate(installation.store.engine)
        for client in CLIENTS:
            installation.register(client.id, **client.settings)
        with stopping.held():
            _start_workers(installation)
        began = time.monotonic()
        with Progress(console) as progress:
            feed(installation, published, progress, stopping)
        seconds = time.monotonic() - began
        checks = [
            *facts.compare(facts.expected(published), facts.counted(installation.redis)),
            *_cursors(installation, len(published)),
        ]
        repeated = sum(facts.repeated(installation.redis, client.id) for client in CLIENTS)
    verdict(console, checks, caption=f"delays: {facts.DELAYS_SHOWN}")
    return _conclude(console, checks, published, seconds=seconds, repeated=repeated)


def _start_workers(installation: Installation) -> None:
    """Start the bridge, and a fleet whose only file is its own."""
    installation.start_bridge(
        "bridge worker",
        options=OPTIONS,
        # A pump that lingers longer would make us wait for its end.
        environment={"BRIDGE_INTERVAL_SECONDS": "1", "BRIDGE_LINGER_SECONDS": "2"},
    )
    home = installation.directory / "fleet"
    home.mkdir()
    shutil.copy(FLEET, home)
    for number in range(1, FLEET_WORKERS + 1):
        # One process each, as in containers: handing such short tasks on to a pool costs as much as they do.
        command = worker_command(
            "fleet", node=f"fleet{number}", queues=[QUEUE], pool="solo", concurrency=1, options=OPTIONS
        )
        installation.processes.start(f"fleet worker {number}", command, directory=home)


def _cursors(installation: Installation, count: int) -> Iterator[facts.Check]:
    """Compare what the bridge itself says: every cursor is at the end, and no event was parked."""
    for row in read_status(installation.store):
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
