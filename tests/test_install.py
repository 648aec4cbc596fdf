"""Beat starts the pump once an interval, and does not spin for it."""

from __future__ import annotations

import pickle
from datetime import UTC, datetime, timedelta

import pytest
from celery import Celery
from celery.schedules import schedule

from bridge.install import EARLY_SECONDS, Every

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def every(seconds: float) -> Every:
    return Every(seconds, nowfun=lambda: NOW, app=Celery(set_as_current=False))


@pytest.mark.parametrize(
    ("ago", "due", "next"),
    [(0.5, False, 0.5), (0.97, False, 0.03), (0.99, True, 1.0), (1.0, True, 1.0), (9.0, True, 1.0)],
)
def test_an_interval_is_over_where_beat_would_spin_for_its_end(ago: float, due: bool, next: float) -> None:
    state = every(1.0).is_due(NOW - timedelta(seconds=ago))
    assert state.is_due is due
    assert state.next == pytest.approx(next)


def test_beat_wakes_before_the_end_and_no_earlier_than_that_is_taken_for_it() -> None:
    from celery.beat import Scheduler

    early = -Scheduler(Celery(set_as_current=False), lazy=True).adjust(1.0) + 1.0
    assert 0 < early < EARLY_SECONDS


def test_an_interval_is_one_for_every_scheduler_and_can_be_kept_on_disk() -> None:
    kept = pickle.loads(pickle.dumps(Every(2)))
    assert isinstance(kept, schedule)
    assert kept == schedule(2)
    assert isinstance(kept, Every)
