"""The demo: it ends green on real data, its comparison bites, and it leaves nothing running whatever happens."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from redis import Redis

from bridge import UsageError
from bridge.demo import facts, run
from bridge.demo.clients import CLIENTS
from bridge.demo.flights import flights
from tests.support.servers import need_postgres_programs
from tests.support.waiting import wait_until

MARK = "DEMO_OF_THIS_TEST"
PLAY = "from bridge.demo import run; raise SystemExit(run({events}))"

# Counted in the file with awk: departures, cancelled, sum and longest of the delays in minutes.
DELAYS_AT_JFK = {
    "9E": (1355, 64, 23152, 360),
    "AA": (1233, 3, 10095, 337),
    "B6": (3325, 2, 28390, 315),
    "DL": (1520, 2, 5890, 599),
    "EV": (105, 3, 1251, 266),
    "HA": (31, 0, 1686, 1301),
    "MQ": (570, 19, 5251, 853),
    "UA": (379, 1, 830, 293),
    "US": (228, 5, 1188, 164),
    "VX": (315, 1, 335, 246),
}


class Demo:
    """A demo in a process of its own."""

    def __init__(self, process: subprocess.Popen[bytes], mark: str, output: Path) -> None:
        self.process = process
        self._mark = mark
        self._output = output

    @property
    def output(self) -> str:
        """All that it has printed, in one line: where it wraps lines depends on the width."""
        return " ".join(self._output.read_text().split())

    def running(self) -> list[psutil.Process]:
        """Return all processes that it has started, found by a variable in their environment."""
        return [process for process in psutil.process_iter() if self._is_ours(process)]

    def child(self, part: str) -> psutil.Process:
        """Wait for a process whose command line contains `part`; return the oldest."""

        def find() -> list[psutil.Process]:
            try:
                found = [process for process in self.running() if part in " ".join(process.cmdline())]
                return sorted(found, key=lambda process: process.create_time())
            except psutil.Error:  # one has just ended
                return []

        return wait_until(find, timeout=60, what=f"{part} runs")[0]

    def wait_for(self, text: str) -> None:
        """Wait until it has printed this."""
        wait_until(lambda: text in self.output, timeout=120, what=f"the demo prints {text!r}")

    def wait_until_gone(self) -> None:
        """Wait until nothing is left of it."""
        wait_until(lambda: not self.running(), timeout=30, what="nothing is left running")

    def _is_ours(self, process: psutil.Process) -> bool:
        try:
            return process.environ().get(MARK) == self._mark and process.status() != psutil.STATUS_ZOMBIE
        except (psutil.Error, OSError):
            return False


@pytest.fixture
def play(tmp_path: Path) -> Iterator[Callable[..., Demo]]:
    """Return a factory of demos that start in an empty directory, with an empty home."""
    need_postgres_programs()
    home = tmp_path / "home"
    home.mkdir()
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    inherited = {name: os.environ[name] for name in ("PATH", "PYTHONPATH") if name in os.environ}
    started: list[Demo] = []

    def start(code: str) -> Demo:
        mark, output = uuid.uuid4().hex, tmp_path / f"output-{len(started)}"
        with output.open("wb") as out:
            process = subprocess.Popen(
                [sys.executable, "-c", code],
                cwd=home,
                env={**inherited, "HOME": str(home), "TMPDIR": str(temporary), "COLUMNS": "200", MARK: mark},
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        started.append(Demo(process, mark, output))
        return started[-1]

    yield start
    for demo in started:
        demo.process.kill()
        demo.process.wait()
        for process in demo.running():
            process.kill()
    assert not [*home.iterdir()], "the demo wrote into its directory or home"


def test_the_demo_ends_with_the_numbers_of_the_file_and_leaves_nothing_running(play: Callable[..., Demo]) -> None:
    demo = play(PLAY.format(events=500))
    assert demo.process.wait(200) == 0, demo.output
    assert "results are what the file says" in demo.output
    assert demo.running() == []


@pytest.mark.slow
def test_a_result_that_was_tampered_with_in_redis_fails_the_demo_and_is_named(play: Callable[..., Demo]) -> None:
    demo = play(
        """
from bridge.demo import facts, run
honest = facts.counted
def counted(redis):
    assert redis.hset("fleet:fleet-position:places", "N14228", "MARS") == 0, "this aircraft has no place yet"
    redis.hincrby("fleet:delays:sums", "B6", 1)
    return honest(redis)
facts.counted = counted
raise SystemExit(run(100))
"""
    )
    assert demo.process.wait(200) == 1, demo.output
    assert re.search(r"2 of \d+ results differ from the file", demo.output), demo.output
    assert "N14228 is MARS, not IAH" in demo.output
    assert "delays, carrier B6" in demo.output
    assert demo.running() == []


@pytest.mark.parametrize("number", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.slow)])
@pytest.mark.parametrize("part", ["initdb", "-n fleet2@", pytest.param("-A bridge", marks=pytest.mark.slow)])
def test_a_demo_that_is_told_to_stop_takes_everything_with_it(
    play: Callable[..., Demo], part: str, number: signal.Signals
) -> None:
    demo = play(PLAY.format(events=None))
    demo.child(part)
    demo.process.send_signal(number)
    assert demo.process.wait(60) == 130, demo.output
    assert demo.running() == []


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells children of their parent's death")
@pytest.mark.slow
def test_a_demo_that_is_killed_takes_everything_with_it(play: Callable[..., Demo]) -> None:
    demo = play(PLAY.format(events=None))
    demo.child("-A fleet")
    demo.wait_for("publishing: ")
    postgres = demo.child("postgres -D").cmdline()
    try:
        demo.process.kill()
        demo.process.wait()
        demo.wait_until_gone()
    finally:  # the demo can't remove it any more, and for root it is not below our own temporary directory
        shutil.rmtree(Path(postgres[postgres.index("-D") + 1]).parent)


@pytest.mark.slow
def test_a_worker_that_dies_is_named_with_its_log_and_fails_the_demo(play: Callable[..., Demo]) -> None:
    demo = play(PLAY.format(events=None))
    demo.child("-n fleet1@").kill()
    assert demo.process.wait(60) == 1, demo.output
    assert "the fleet worker 1 has ended with exit code -9" in demo.output
    assert demo.running() == []


def test_less_than_one_event_is_refused_before_anything_starts() -> None:
    with pytest.raises(UsageError, match="0 events"):
        run(0)


def test_the_file_holds_the_flights_of_january_in_order_of_time() -> None:
    everything = flights()
    departed = [flight for flight in everything if not flight.cancelled]
    assert len(everything) == 27_004
    assert len(departed) == 27_004 - 521
    assert sum(flight.delay or 0 for flight in departed) == 265_801
    assert sum(flight.miles for flight in everything) == 27_188_805
    assert sum(flight.diverted for flight in departed) == 85
    assert len({flight.tail for flight in departed}) == 3141
    assert sum(flight.tail is None for flight in everything) == 155
    assert all(flight.tail for flight in departed)
    times = [flight.time for flight in everything]
    assert times == sorted(times)
    assert times[0].isoformat() == "2013-01-01T10:17:00+00:00"


def test_a_flight_that_left_after_midnight_is_an_event_of_the_next_day() -> None:
    everything = flights()
    late = [flight for flight in everything if flight.time.hour < 5 <= flight.scheduled.hour]
    assert late
    assert all(flight.time.date() > flight.scheduled.date() for flight in late)
    payloads: list[Any] = [flight.event.payload for flight in late]
    assert all(payload["departed"] > payload["scheduled"] for payload in payloads)


def test_the_first_events_are_those_of_the_whole_file() -> None:
    assert flights(1000) == flights()[:1000]


def test_a_cancelled_flight_has_a_topic_of_its_own() -> None:
    topics = Counter(flight.event.topic for flight in flights())
    assert len(topics) == 62
    assert sum(count for topic, count in topics.items() if topic.endswith(".cancelled")) == 521
    assert sum(count for topic, count in topics.items() if topic.startswith("flight.JFK.")) == 9161


def test_expected_delays_are_those_that_awk_counts() -> None:
    expected = facts.expected(flights())["delays"]
    assert expected == {f"carrier {carrier}": facts.Delays(*known) for carrier, known in DELAYS_AT_JFK.items()}


def test_expected_facts_are_of_the_flights_that_were_published() -> None:
    few = facts.expected(flights(100))
    assert few["audit"]["distinct offsets"] == 100
    assert facts.expected(flights())["audit"]["distinct offsets"] == 27_004
    assert set(few) == {client.id for client in CLIENTS}


def test_equal_facts_pass_and_every_kind_of_difference_is_named() -> None:
    honest = facts.expected(flights(300))
    assert all(check.ok for check in facts.compare(honest, facts.expected(flights(300))))

    wrong = {client: dict(own) for client, own in honest.items()}
    wrong["fleet-position"]["out of order"] = 1
    wrong["fleet-position"]["last known places"] = {}
    wrong["audit"]["distinct offsets"] = 299
    del wrong["delays"]["carrier B6"]
    wrong["delays"]["carrier XX"] = facts.Delays(1, 0, 5, 5)
    differing = {(check.client, check.fact) for check in facts.compare(honest, wrong) if not check.ok}
    assert differing == {
        ("fleet-position", "out of order"),
        ("fleet-position", "last known places"),
        ("audit", "distinct offsets"),
        ("delays", "carrier B6"),
        ("delays", "carrier XX"),
    }


def test_the_fleet_neither_imports_the_bridge_nor_counts_an_event_twice_and_sees_what_comes_out_of_order(
    tmp_path: Path, redis_url: str
) -> None:
    shutil.copy(Path(facts.__file__).with_name("fleet.py"), tmp_path)
    code = """
import sys
import fleet
assert not [name for name in sys.modules if name.split(".")[0] in ("bridge", "psycopg", "sqlalchemy")]
flight = {"tail": "N1", "carrier": "B6", "origin": "JFK", "destination": "LAX"}
flight |= {"departed": "2013-01-01T10:07:00+00:00", "delay": 7, "arrival_delay": 0}
def event(offset):
    return {"offset": offset, "topic": "flight.JFK.B6", "payload": flight}
for task in (fleet.position, fleet.delays, fleet.audit):
    for offset in (2, 2, 1, 3):
        task(event(offset))
"""
    subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env={"PATH": os.environ["PATH"], "CELERY_BROKER_URL": redis_url},
        check=True,
    )
    with Redis.from_url(redis_url) as redis:
        got = facts.counted(redis)
        assert [facts.repeated(redis, client.id) for client in CLIENTS] == [1, 1, 1]
    assert got["fleet-position"]["landed"] == 3
    assert got["fleet-position"]["out of order"] == 1
    assert got["delays"] == {"carrier B6": facts.Delays(3, 0, 21, 7)}
    assert got["audit"] == {"distinct offsets": 3, "events per topic": {"flight.JFK.B6": 3}}
