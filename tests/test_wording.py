"""Numbers and durations in words, and every sentence of `explain` with a one, with a two, and with many."""

from __future__ import annotations

import re
from datetime import UTC, datetime

import pytest

from bridge.operate.explain import explain
from bridge.operate.workers import WorkersSeen
from bridge.store.facts import ClientFacts, OpenDelivery, RunningReplay, WaitingKey
from bridge.store.locks import Holder
from bridge.store.status import MOST_EVENTS_COUNTED
from bridge.wording import counted, span

NOUNS = "event|delivery|deliverie|key|message|worker|transaction|time"
PLURAL_ONE = re.compile(rf"\b1 (\w+ )?({NOUNS})s\b|\b1 .*\b(are|have|wait|hold|come)\b")
SINGULAR_MANY = re.compile(rf"\b(2|3|100,000) (\w+ )?({NOUNS})\b")
NOW = datetime(2026, 1, 31, 12, tzinfo=UTC)


@pytest.mark.parametrize(("number", "said"), [(0, "0 events"), (1, "1 event"), (2, "2 events"), (1200, "1,200 events")])
def test_one_is_singular_and_any_other_number_plural(number: int, said: str) -> None:
    assert counted(number, "event") == said


def test_the_verb_agrees_with_the_number() -> None:
    assert counted(1, "event waits", "events wait") == "1 event waits"
    assert counted(0, "event waits", "events wait") == "0 events wait"


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0, "0 s"),
        (0.25, "0.2 s"),
        (59.6, "60 s"),
        (60, "1 min"),
        (90, "90 s"),
        (120, "2 min"),
        (3600, "1 h"),
        (5400, "90 min"),
        (86_400, "1 d"),
        (200_000, "2.3 d"),
    ],
)
def test_a_duration_is_told_in_one_unit(seconds: float, said: str) -> None:
    assert span(seconds) == said


def standing(number: int, *, task: str | None = "fleet.handle", state: str = "active", window: int = 9) -> ClientFacts:
    """A client of which everything that can be counted is there so many times."""
    delivery = OpenDelivery(
        offset=4,
        epoch=1,
        attempt=1,
        state="sent",
        key=None,
        age_seconds=3,
        sent_seconds=3,
        due_seconds=60,
        waited_seconds=None,
        waits=False,
        failed=False,
        error_type=None,
        error=None,
    )
    holder = Holder(
        pid=7, application=None, role=None, client=None, state=None, age_seconds=3, query_start=None, query=None,
        gid=None, prepared_at=None,
    )  # fmt: skip
    key = WaitingKey(key="a", offset=5, blocker=4, epoch=1, attempt=1, parked=False, reason=None, redrive=None)
    return ClientFacts(
        client="c", bridge="bridge", task=task, tasks=[task or ""], queue="celery", topics=["#"], batch=1,
        awaited=number, state=state, state_reason=None, state_by="me", report_by="callback",
        state_at=NOW, ordering="key", window=window, offset=3, dispatched=9, max_attempts=number, trouble=None,
        trouble_at=None, horizon=10, drawn=20, pump_silent_seconds=600, read_only=False, in_recovery=False,
        clock_ahead_seconds=None, clock_host=None, open=number, retrying=number, parked=2 * number, held=number,
        redriving=number, waiting=number + 1, unread=number, unread_seconds=3,
        oldest=delivery, next_retry=delivery, keys=(key,), holders=(holder,) * (3 + min(number, 3)),
        replays=(RunningReplay(id=1, epoch=2, next=3, upto=9, per_second=1, sent=number, aside=number),),
    )  # fmt: skip


@pytest.mark.parametrize("number", [1, 2, MOST_EVENTS_COUNTED])
@pytest.mark.parametrize("state", ["active", "draining", "halted"])
@pytest.mark.parametrize("task", ["fleet.handle", None])
@pytest.mark.parametrize("full", [False, True])
@pytest.mark.parametrize("consumed", [False, True])
def test_every_sentence_agrees_with_its_number(
    number: int, state: str, task: str | None, full: bool, consumed: bool
) -> None:
    names = tuple(f"w{n}" for n in range(min(number, 3)))
    seen = WorkersSeen(answered=number, consumers=names if consumed else (), messages=number)
    facts = standing(number, state=state, task=task, window=number if full else 2 * number)
    causes = explain(facts, seen)
    said = [sentence for cause in causes for sentence in (cause.text, cause.do or "")]
    wrong = PLURAL_ONE if number == 1 else SINGULAR_MANY
    assert [sentence for sentence in said if wrong.search(sentence)] == []
    if task is not None:
        assert any(sentence.startswith(f"{number:,} event") or f"least {number:,}" in sentence for sentence in said)


def test_what_stands_in_explain_of_a_single_one_reads_well() -> None:
    seen = WorkersSeen(answered=1, consumers=("w",), messages=1)
    said = [cause.text for cause in explain(standing(1, state="draining", window=1), seen)]
    assert "1 message waits in queue 'celery' for 1 worker" in said
    assert "1 younger transaction holds the horizon too" in said
    assert "1 more key waits for an earlier event of its own" in said
    assert "1 event is parked; the cursor has passed it" in said
    assert "1 event that matches is not handed over yet, it is 3 s old" in said
    assert any("is full, 1 of 1 delivery is open; it is event 4, attempt 1" in sentence for sentence in said)
