"""Writers: 32 connections insert events, with a bridge running beside them and without one."""

from __future__ import annotations

import re
import shutil
import subprocess
import threading
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from statistics import median
from urllib.parse import urlsplit

import psycopg

from benchmarks.bench import Bench, Servers
from benchmarks.log import TOPIC, as_json
from benchmarks.measure import interleaved, rate
from benchmarks.result import Figure, Row, Target
from benchmarks.running import fleet, start_bridge
from benchmarks.sizes import Sizes
from bridge.demo.servers import postgres_versions
from bridge.errors import BridgeError

CONNECTIONS = 32
SHARE = 0.3  # of what the machine can write: then there are cores left for a bridge and a fleet
INSERT = f"INSERT INTO fq.events (topic, key, payload) VALUES ('{TOPIC}', 'order-' || %s, '{as_json(1)}')"
ALONE = "no bridge"
TOLD = {
    "full": "bridge running, its client's window full",
    "elsewhere": "bridge running, passing over events of other topics",
    "serving": "bridge and a fleet working on the same cores",
}


def measure(servers: Servers, sizes: Sizes) -> Figure:
    """Write as fast as it goes, then at a rate that leaves room on the machine."""
    program = pgbench()
    figure = Figure(name="writers", setup={"connections": CONNECTIONS, "seconds": sizes.writer_seconds})
    figure.setup["load"] = "pgbench" if program else "threads of Python, whose own limit this may be"
    with servers.bench() as bench:
        write = partial(_pgbench, bench, program) if program else partial(_threads, bench)
        beside: dict[str, Callable[[], float]] = {ALONE: lambda: write(sizes.writer_seconds)}
        for state in TOLD:
            beside[state] = partial(_beside, bench, state, partial(write, sizes.writer_seconds))
        found = interleaved(beside, rounds=min(3, sizes.rounds))
        base = found.pop(ALONE)
        figure.raw["inserts_per_second"] = {ALONE: base, **found}
        for state, rates in found.items():
            targets = (Target(least=0.95),) if state == "full" else ()
            figure.rows.append(
                Row.of_rates(f"writers at full speed, {TOLD[state]}", rates, base, ALONE, targets=targets)
            )
        if program:
            limit = int(median(base) * SHARE)
            limited = partial(write, sizes.writer_seconds, limit=limit)
            pair = interleaved({ALONE: limited, "serving": partial(_beside, bench, "serving", limited)}, rounds=1)
            figure.raw["inserts_per_second_limited"] = pair
            row = Row.of_rates(
                f"writers at {limit:,}/s, {TOLD['serving']}",
                pair["serving"],
                pair[ALONE],
                ALONE,
                targets=(Target(least=0.95),),
            )
            figure.rows.append(row)
    figure.notes.append(
        "at full speed the writers alone fill the cores: what a bridge or a fleet computes there, they lose"
    )
    return figure


def pgbench() -> Path | None:
    """Return the load generator of a Postgres at hand, None if there is none."""
    for place in reversed(postgres_versions().values()):
        if (found := place / "pgbench").exists():
            return found
    found_elsewhere = shutil.which("pgbench")
    return Path(found_elsewhere) if found_elsewhere else None


def _beside(bench: Bench, state: str, write: Callable[[], float]) -> float:
    with ExitStack() as stack:
        processes = stack.enter_context(fleet(bench) if state == "serving" else bench.processes)
        topics = ["other.#"] if state == "elsewhere" else ["#"]
        start = -1 if state == "full" else bench.last()
        client = bench.client(start=start, topics=topics)
        start_bridge(bench)
        found = write()
        processes.check()
    bench.forget(client)
    return found


def _pgbench(bench: Bench, program: Path, seconds: int, *, limit: int = 0) -> float:
    url = urlsplit(bench.database_url)
    script = bench.directory / "insert.pgbench"
    script.write_text("\\set n random(1, 1000000000)\n" + INSERT.replace("%s", ":n") + ";\n")
    command = [str(program), "-h", "127.0.0.1", "-p", str(url.port), "-U", "postgres", "-n", "-M", "prepared"]
    command += ["-f", str(script), "-c", str(CONNECTIONS), "-j", "2", "-T", str(seconds)]
    command += ["-R", str(limit)] if limit else []
    told = subprocess.run([*command, url.path[1:]], capture_output=True, text=True, check=False)
    if not (match := re.search(r"tps = ([\d.]+)", told.stdout)):
        raise BridgeError(f"pgbench has failed: {told.stderr.strip()[-500:]}")
    return float(match[1])


def _threads(bench: Bench, seconds: int) -> float:
    """Do the same with threads, where there is no pgbench."""
    written = [0] * CONNECTIONS
    stopping = threading.Event()

    def write(nth: int) -> None:
        with psycopg.connect(bench.database_url, autocommit=True) as connection:
            while not stopping.is_set():
                connection.execute(INSERT.encode(), (str(written[nth]),))
                written[nth] += 1

    threads = [threading.Thread(target=write, args=(nth,)) for nth in range(CONNECTIONS)]

    def work() -> None:
        for thread in threads:
            thread.start()
        stopping.wait(seconds)
        stopping.set()
        for thread in threads:
            thread.join()

    return sum(written) * rate(1, work)
