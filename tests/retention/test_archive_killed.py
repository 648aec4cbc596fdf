"""Processes that archive are killed at any moment, two at a time, and a key is erased meanwhile (G1)."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from bridge.archive.files import unpacked_lines
from bridge.archive.places import place_of
from bridge.operate.audit import audit
from bridge.operate.erase import erase
from tests.retention.test_archive import archive, finish, in_archive
from tests.support.pruning import left
from tests.support.world import World

EVENTS = 2000
PRUNER = """
import sys
from bridge.archive.places import place_of
from bridge.retention import prune as module
from bridge.retention.archive import archiver
from bridge.store import Store
module.ARCHIVED_EVENTS, module.BATCH_EVENTS = 250, 25
print("ready", flush=True)
store = Store(sys.argv[1])
module.prune(store, before=None, keep=0, first=archiver(store, place_of(sys.argv[2])))
"""


def run_and_kill(database: str, archive: Path, *, after: float) -> int:
    """Let two processes archive for a while; return how many were still at it when they were killed."""
    command = [sys.executable, "-c", PRUNER, database, str(archive)]
    processes = [subprocess.Popen(command, stdout=subprocess.PIPE) for _ in range(2)]
    for process in processes:
        assert process.stdout is not None
        with process.stdout as said:
            assert said.readline()
    time.sleep(after)
    for process in processes:
        process.send_signal(signal.SIGKILL)
    codes = [process.wait(60) for process in processes]
    assert set(codes) <= {0, -signal.SIGKILL}
    return codes.count(-signal.SIGKILL)


@pytest.mark.slow
def test_g1_whenever_an_archiving_process_dies_each_event_is_in_the_log_or_in_the_archive(
    world: World, database: str, tmp_path: Path
) -> None:
    world.eyes.execute(
        "INSERT INTO fq.events (topic, key, payload) SELECT 'a', 'k' || (n %% 5), '{\"name\": \"bob\"}'"
        " FROM generate_series(1, %s) n",
        [EVENTS],
    )
    world.limit = EVENTS
    finish(world, window=EVENTS)
    place, kills, chance = place_of(str(tmp_path)), 0, random.Random(2)
    for nth in range(6):
        kills += run_and_kill(database, tmp_path, after=chance.random())
        assert sorted({*left(world), *in_archive(world, place)}) == list(range(1, EVENTS + 1))
        if nth == 2:
            erase(world.store, "k3", by="me", archive=place)
    assert kills
    archive(world, place)
    assert (left(world), in_archive(world, place)) == ([], list(range(1, EVENTS + 1)))
    assert audit(world.store, "c").contradictions == ()
    erase(world.store, "k4", by="me", archive=place)
    assert place.unfinished() == []
    files = [name for name in place.names() if name.endswith(".zst")]
    of_erased = [line for name in files for line in unpacked_lines(place, name) if '"k3"' in line or '"k4"' in line]
    assert of_erased and not any("bob" in line for line in of_erased)
