"""A short torture, and the proof that its checker sees what it is there to see (G1 to G7, G10).

`BRIDGE_TEST_TORTURE=300` makes each last that many seconds; `python -m tests.torture` has more options.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
import pytest

from tests.support.servers import need_postgres_programs
from tests.support.waiting import wait_until
from tests.torture.checker import check
from tests.torture.evidence import Evidence, Line
from tests.torture.sampler import Seen
from tests.torture.weather import Lock

SECONDS = float(os.environ.get("BRIDGE_TEST_TORTURE", "15"))
REST_SECONDS = 120
RARE_SECONDS = max(SECONDS, 40)  # a replica is made, and promoted, twice
REPOSITORY = Path(__file__).parents[2]


def start(directory: Path, *options: str) -> subprocess.Popen[str]:
    need_postgres_programs()
    return subprocess.Popen(
        [sys.executable, "-m", "tests.torture", "--verbose", "--logs", str(directory), *options],
        cwd=REPOSITORY,
        env={**os.environ, "COLUMNS": "160"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


@pytest.mark.torture
@pytest.mark.timeout(SECONDS + REST_SECONDS + 120)
@pytest.mark.parametrize("options", [["--seed", "1"], ["--seed", "2", "--restore"]], ids=" ".join)
def test_every_guarantee_holds_while_everything_is_killed_at_random(tmp_path: Path, options: list[str]) -> None:
    torture = start(
        tmp_path, "--seconds", str(SECONDS), "--rest-seconds", str(REST_SECONDS), "--kill-every", "1", *options
    )
    said, _ = torture.communicate()
    assert torture.returncode == 0, said
    assert "every guarantee held" in said


@pytest.mark.slow
@pytest.mark.timeout(SECONDS + REST_SECONDS + 120)
def test_every_guarantee_holds_on_rabbitmq_too(tmp_path: Path) -> None:
    options = ["--broker", "rabbitmq", "--seconds", str(SECONDS), "--rest-seconds", str(REST_SECONDS)]
    torture = start(tmp_path, *options, "--kill-every", "1", "--seed", "1")
    said, _ = torture.communicate()
    assert torture.returncode == 0, said
    assert "every guarantee held" in said


@pytest.mark.slow
@pytest.mark.timeout(RARE_SECONDS + REST_SECONDS + 240)
@pytest.mark.parametrize("broker", ["redis", "rabbitmq"])
def test_every_guarantee_holds_when_replicas_are_promoted_clocks_are_wrong_and_the_broker_refuses(
    tmp_path: Path, broker: str
) -> None:
    options = ["--broker", broker, "--seconds", str(RARE_SECONDS), "--rest-seconds", str(REST_SECONDS), "--seed", "1"]
    torture = start(tmp_path, *options, "--kill-every", "4", "--per-second", "8", "--promote", "--skew", "--refuse")
    said, _ = torture.communicate()
    assert torture.returncode == 0, said
    assert "every guarantee held" in said


@pytest.mark.torture
def test_nothing_is_left_of_a_torture_that_is_interrupted(tmp_path: Path) -> None:
    torture = start(tmp_path, "--seconds", "600", "--kill-every", "0.5")
    try:
        wait_until(lambda: len(running(tmp_path)) > 6, what="its workers run", timeout=90, poll_seconds=0.5)
    finally:
        torture.send_signal(signal.SIGINT)
        said, _ = torture.communicate(timeout=60)
    assert torture.returncode == 130, said
    wait_until(lambda: not running(tmp_path), what="all of its processes are gone", poll_seconds=0.5)


def running(directory: Path) -> list[str]:
    """Return the command lines of the processes that a torture in this directory has started, without its own."""
    found = []
    for process in psutil.process_iter():
        try:
            command = " ".join(process.cmdline())
            if "tests.torture" not in command and str(directory) in " ".join([command, *process.environ().values()]):
                found.append(command)
        except psutil.Error:
            continue
    return found


# The checker ----------------------------------------------------------------------------------------------------------


def evidence(
    record: str = "s1 s2 s3 s4",
    *,
    samples: str = "0:0 2:2 4:4",
    events: Mapping[int, str | None] = {1: "a", 2: "b", 3: "a", 4: None},
    parked: Mapping[int, int] = {},
    calm: bool = False,
    open: int = 0,
    odd: Sequence[int] = (),
    aside: Sequence[int] = (),
    locks: Sequence[Lock] = (),
    alarms: Sequence[str] = (),
    losses: int = 0,
    restored: int | None = None,
    **client: Any,
) -> Evidence:
    """Return what a run of four events leaves behind; every line of the record is one byte long.

    Args:
        record: `b1` begins event 1, `s1` is its success, `s1.3` its success in attempt 3, `s1@x` that of
            another event at its offset, of the same generation.
        samples: Cursor, and length of the record by then.
        events: Offsets and keys.
        parked: Offsets and attempts.
        calm: Whether nothing was killed.
        open: Number of deliveries that every sample sees.
        odd: Events that nobody can read.
        aside: Events that are parked as undeliverable.
        locks: Locks on clients' rows.
        alarms: What audits found.
        losses: How often the broker lost messages.
        restored: Samples from before the log was restored.
        **client: Columns of the client.
    """
    words = {"b": "start", "s": "success", "f": "failure"}
    lines = []
    for position, noted in enumerate(record.split(), start=1):
        name, _, written = noted.partition("@")
        offset, _, attempt = name[1:].partition(".")
        lines.append(Line(words[name[0]], "c", int(offset), int(attempt or 1), 1, written, 1, position))
    row = {"id": "c", "offset": 4, "dispatched": 4, "ordering": "key", "window": 2, "topics": ["#"], "max_attempts": 3}
    seen = [sample.split(":") for sample in samples.split()]
    rows = {n: SimpleNamespace(offset=n, attempts=tries, reason="failed") for n, tries in parked.items()}
    rows |= {n: SimpleNamespace(offset=n, attempts=1, reason="undeliverable: x") for n in aside}
    return Evidence(
        events={
            n: SimpleNamespace(offset=n, topic="t", key=key, odd=n in odd, written="") for n, key in events.items()
        },
        clients={"c": SimpleNamespace(**row | client)},
        parked={"c": rows},
        deliveries=Counter(),
        lanes=Counter(),
        record=lines,
        samples=[Seen("c", int(at), 4, 4, open, 1, [*rows], int(length)) for at, length in seen],
        alarms={"c": alarms},
        locks=locks,
        losses=losses,
        restored=restored,
        calm=calm,
    )


@pytest.mark.parametrize(
    "good",
    [
        evidence(),
        evidence("s2 s4 s1 s3", samples="0:2 2:3 4:4"),
        evidence("b1 b1 s1 s2 s1 s3 s4", samples="0:0 4:7"),
        evidence("s2 s3 s4", samples="4:3", parked={1: 3}),
        evidence("b1 b2 s1 s2 b3 b4 s3 s4", samples="4:8", calm=True),
        evidence("s3 s1 s2 s4", ordering="none", samples="4:4"),
        evidence(open=2),
        evidence("s1.4 s2 s3 s4", losses=1),
        evidence("s1 s2 s3 s4 s5", restored=0),
        evidence(samples="0:0 4:2 2:2 4:4", restored=2),
        evidence("s2 s3 s4", samples="4:3", odd=[1], aside=[1]),
        evidence(locks=[Lock("c", 3, 0), Lock("c", 3, 7), Lock("c", 0, 0), Lock("d", 3, 0)]),
    ],
)
def test_the_checker_finds_nothing_where_nothing_is_wrong(good: Evidence) -> None:
    assert check(good).violations == []


@pytest.mark.parametrize(
    ("guarantee", "bad"),
    [
        ("G1/G2 skipped", evidence("s1 s2 s4", samples="2:2")),
        ("G1 at rest", evidence(offset=3)),
        ("G6 identity", evidence("s4@x s1 s2 s3 s4", samples="4:5", restored=0)),
        ("G1/G2 skipped", evidence("s1 s2 s4 s3@x", samples="2:2", restored=0)),
        ("G2 unknown", evidence("s1 s2 s3 s4 s5")),
        ("G3 cursor", evidence(samples="0:0 3:2 4:4")),
        ("G3 cursor", evidence(samples="0:0 4:4 3:4")),
        ("G4 order", evidence("s3 s2 s1 s4", samples="4:4")),
        ("G4 order", evidence("s2 s1 s3 s4", ordering="strict", samples="4:4")),
        ("G5 window", evidence(open=3)),
        ("G5 window", evidence(open=2, ordering="strict")),
        ("G6 fenced", evidence("b1 b1 s1 s2 s3 s4", samples="4:6", calm=True)),
        ("G7 poison", evidence("s1.4 s2 s3 s4")),
        ("G7 poison", evidence("s2 s3 s4", samples="4:3", parked={1: 2})),
        ("G7 poison", evidence("s1 s2 s3 s4", parked={1: 3})),
        ("G10 set aside", evidence("s2 s3 s4", samples="4:3", odd=[1], parked={1: 3})),
        ("G10 set aside", evidence("b1 s2 s3 s4", samples="4:4", odd=[1], aside=[1])),
        ("G10 neighbours", evidence("s2 s3 s4", samples="4:3", aside=[1])),
        ("G1 audit", evidence(alarms=["missing: it is gone [3]", "missing: it is gone [3]"])),
        ("G10 locks", evidence(locks=[Lock("d", 3, 0), Lock("c", 3, 0), Lock("c", 3, 0)])),
    ],
)
def test_the_checker_names_the_guarantee_that_was_broken(guarantee: str, bad: Evidence) -> None:
    assert {name for name, _ in check(bad).violations} == {guarantee}
