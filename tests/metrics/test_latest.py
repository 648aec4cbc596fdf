"""A look that hangs makes nobody wait for long, and nobody looks twice at a time."""

from __future__ import annotations

import threading

import pytest

from bridge.metrics.latest import Latest
from tests.support.waiting import wait_until

LONG_SECONDS = 60.0


def test_a_look_stands_for_those_that_follow_until_it_is_old() -> None:
    now, looks = [0.0], list[int]()

    def look() -> int:
        looks.append(1)
        return len(looks)

    latest = Latest(look, fresh_seconds=1.0, clock=lambda: now[0])
    assert [latest.get(within_seconds=LONG_SECONDS) for _ in range(3)] == [1, 1, 1]
    now[0] = 1.0
    assert latest.get(within_seconds=LONG_SECONDS) == 2


def test_a_look_that_hangs_is_waited_for_once_and_is_not_begun_twice() -> None:
    go_on, looks = threading.Event(), list[int]()

    def look() -> str:
        looks.append(1)
        go_on.wait(LONG_SECONDS)
        return "seen"

    latest = Latest(look, fresh_seconds=LONG_SECONDS)
    assert latest.get(within_seconds=0.05) is None
    assert latest.get(within_seconds=0.05) is None
    assert len(looks) == 1
    go_on.set()
    wait_until(lambda: latest.get(within_seconds=LONG_SECONDS) == "seen", what="the look is over")
    assert len(looks) == 1


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_look_that_fails_has_seen_nothing_and_the_next_one_may() -> None:
    now, answers = [0.0], [ZeroDivisionError(), None]

    def look() -> str:
        if error := answers.pop(0):
            raise error
        return "seen"

    latest = Latest(look, fresh_seconds=1.0, clock=lambda: now[0])
    assert latest.get(within_seconds=LONG_SECONDS) is None
    now[0] = 1.0
    assert latest.get(within_seconds=LONG_SECONDS) == "seen"
    wait_until(
        lambda: all(thread.name != "bridge-metrics-look" for thread in threading.enumerate()),
        what="the error is told while this test runs",
    )
