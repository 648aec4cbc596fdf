"""When the workers are asked what they run: often at first, and never more than a broker should carry."""

from __future__ import annotations

import itertools

import pytest

from bridge.watch.pace import (
    ANSWERS_A_SECOND,
    CLOSE_EVERY_SECONDS,
    CLOSE_SECONDS,
    LONGEST_REST_SECONDS,
    Pace,
    bounded_rest,
)


def asked_within(seconds: float, *, workers: int, soon: bool = False) -> list[float]:
    """Return when the workers are asked while outcomes are awaited all the time, and somebody looks each 50 ms."""
    pace, moments = Pace(0.0), list[float]()
    for now in (n / 20 for n in range(int(seconds * 20) + 1)):
        pace.awaits(True, now=now)
        if pace.is_due(now=now):
            moments.append(now)
            pace.asked(workers, now=now, soon=soon)
    return moments


def test_questions_come_close_to_each_other_at_first_and_seldom_later() -> None:
    moments = asked_within(600, workers=2)
    gaps = [after - before for before, after in itertools.pairwise(moments)]
    assert moments[0] == 0
    assert max(gaps[:20]) == pytest.approx(CLOSE_EVERY_SECONDS)
    assert gaps[-1] == pytest.approx(LONGEST_REST_SECONDS, abs=0.06)


@pytest.mark.parametrize("soon", [False, True])
def test_many_workers_are_asked_so_seldom_that_their_answers_are_few(soon: bool) -> None:
    moments = asked_within(60, workers=1000, soon=soon)
    assert len(moments) <= 1 + 60 * ANSWERS_A_SECOND / 1000 + 1


def test_nobody_is_asked_while_nothing_is_awaited_and_all_begins_anew_afterwards() -> None:
    pace = Pace(0.0)
    assert not pace.is_due(now=0)
    pace.awaits(True, now=1)
    pace.asked(2, now=1 + CLOSE_SECONDS + 100, soon=False)
    assert not pace.is_due(now=1 + CLOSE_SECONDS + 101)
    pace.awaits(False, now=200)
    assert not pace.is_due(now=300)
    pace.awaits(True, now=300)
    assert pace.is_due(now=300)


@pytest.mark.parametrize(
    ("seconds", "took", "rest"), [(0.5, 0.001, 0.5), (-3.0, 0.001, 0.1), (0.15, 0.01, 0.5), (30.0, 0.01, 30.0)]
)
def test_looks_take_a_fiftieth_of_the_time_at_most(seconds: float, took: float, rest: float) -> None:
    assert bounded_rest(seconds, took=took) == pytest.approx(rest)


def test_while_a_message_may_come_back_that_took_its_workers_along_somebody_looks_each_second() -> None:
    pace = Pace(0.0)
    pace.awaits(True, now=0)
    pace.asked(2, now=500, soon=False, most_seconds=1.0)
    assert not pace.is_due(now=500.9) and pace.is_due(now=501)
