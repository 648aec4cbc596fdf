"""What follows from two marks: each row of the table in `bridge/marks/compare.py`, without any server."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from bridge.mark import HELD, NOTHING_SEEN, Held, Mark, Seen
from bridge.marks.compare import Ahead, Fine, First, Lost, OtherBroker, OtherLog, Pending, Unseen, compare
from bridge.store.marks import LogFacts, OurMark

HERE, THERE = "redis://here/0", "redis://there/0"
FACTS = LogFacts(log="log", generation=2, pruned=-1, dispatched=40, horizon=50, system=7, timeline=1, started="1")
OURS = OurMark(
    broker=HERE,
    broker_id="b",
    count=9,
    nonce="n9",
    before="n8",
    fresh=False,
    system=7,
    timeline=1,
    seen=Seen(30, 3000),
    holder="me",
    serving=True,
    seen_seconds=1,
    lost_at=None,
    trouble=None,
)
NEW = replace(
    OURS, broker_id=None, count=0, nonce=None, before=None, system=None, timeline=None, seen=NOTHING_SEEN, serving=False
)
THEIRS = Mark(log="log", generation=2, bridge="bridge", broker_id="b", system=7, timeline=1, count=9, nonce="n9")
BEHIND = replace(THEIRS, count=8, nonce="n8")
ELSEWHERE = replace(OURS, broker=THERE, broker_id="x", count=700, nonce="n700")
LEFT = replace(ELSEWHERE, seen_seconds=60)


def verdict(ours: list[OurMark], theirs: Mark | Held | None, **known: Any) -> type:
    return type(compare(replace(FACTS, **known.pop("facts", {})), ours, theirs, broker=HERE, **known))


@pytest.mark.parametrize(
    ("ours", "theirs", "known", "expected"),
    [
        # in good order
        (NEW, None, {}, First),
        (OURS, THEIRS, {}, Fine),
        (OURS, replace(THEIRS, system=8, timeline=3), {}, Fine),
        (OURS, BEHIND, {}, Pending),
        (replace(OURS, fresh=True), None, {}, Pending),
        (replace(OURS, fresh=True), replace(THEIRS, broker_id="old", count=2, nonce="n2"), {}, Pending),
        (OURS, HELD, {}, Unseen),
        # the broker lost something
        (OURS, None, {}, Lost),
        (OURS, replace(THEIRS, count=7, nonce="n7"), {}, Lost),
        (OURS, replace(THEIRS, count=8, nonce="n8", broker_id="old"), {}, Lost),
        # the database did
        (OURS, replace(THEIRS, count=10, nonce="n10"), {}, Ahead),
        (OURS, replace(THEIRS, nonce="another"), {}, Ahead),
        (OURS, replace(BEHIND, nonce="another"), {}, Ahead),
        (OURS, replace(THEIRS, generation=3), {}, Ahead),
        (NEW, THEIRS, {}, Ahead),
        (OURS, THEIRS, {"remembered": 11}, Ahead),
        (OURS, None, {"remembered": 11}, Ahead),
        (OURS, HELD, {"remembered": 11}, Ahead),
        # another log
        (OURS, replace(THEIRS, log="another"), {}, OtherLog),
        (NEW, replace(THEIRS, log="another"), {}, OtherLog),
    ],
)
def test_g1_g6_each_pair_of_marks_has_one_meaning(
    ours: OurMark, theirs: Mark | Held | None, known: dict[str, Any], expected: type
) -> None:
    assert verdict([ours], theirs, **known) is expected


@pytest.mark.parametrize(
    ("seen", "event", "facts", "expected"),
    [
        (Seen(45, 4500), Seen(45, 4500), {}, Fine),
        (Seen(45, 4500), Seen(45, 4600), {}, Ahead),
        (Seen(45, 4500), None, {}, Ahead),
        (Seen(45, 4500), None, {"dispatched": 45}, Fine),  # the database had it, and somebody has deleted it
        (Seen(45, 4500), None, {"pruned": 45}, Fine),
        (Seen(30, 3000), None, {"dispatched": -1}, Fine),  # it is in the database's own mark
        (Seen(), None, {}, Fine),
    ],
)
def test_g6_an_event_that_the_broker_has_seen_is_in_the_log_or_was_deleted(
    seen: Seen, event: Seen | None, facts: dict[str, Any], expected: type
) -> None:
    assert verdict([OURS], replace(THEIRS, seen=seen), event=event, facts=facts) is expected


@pytest.mark.parametrize(
    ("other", "theirs", "silent", "expected"),
    [
        (ELSEWHERE, None, (), OtherBroker),
        (ELSEWHERE, None, (THERE,), OtherBroker),  # it was renewed a second ago by Postgres' clock
        (LEFT, None, (), OtherBroker),  # the clock may have been set: let us watch it ourselves
        (LEFT, None, (THERE,), Lost),
        (replace(LEFT, seen_seconds=-3600), None, (THERE,), Lost),  # the clock was set back
        (replace(LEFT, serving=False), None, (), First),
        (ELSEWHERE, replace(THEIRS, broker_id="x", count=700, nonce="n700"), (), Fine),  # one broker, two addresses
    ],
)
def test_g6_a_broker_is_left_when_nobody_renews_its_mark_and_never_before(
    other: OurMark, theirs: Mark | None, silent: tuple[str, ...], expected: type
) -> None:
    assert verdict([NEW, other], theirs, silent=silent) is expected


def test_a_mark_is_read_as_it_was_written_and_anything_else_is_none() -> None:
    assert Mark.from_json(replace(THEIRS, seen=Seen(45, 4500)).to_json()) == replace(THEIRS, seen=Seen(45, 4500))
    text_for_count = THEIRS.to_json().replace('"count": 9', '"count": "9"')
    wrong: list[str | bytes] = [b"", b"{}", b"[]", b"1", b"\xff", b'{"log": 1}', text_for_count, b"[" * 100_000]
    impossible: list[dict[str, Any]] = [
        {"count": 2**63},
        {"count": -1},
        {"generation": 10**9},
        {"generation": -1},
        {"timeline": 2**64},
        {"seen": Seen(2**63, 1)},
        {"seen": Seen(-2, 1)},
    ]
    wrong += [replace(THEIRS, **values).to_json() for values in impossible]
    assert [Mark.from_json(text) for text in wrong] == [None] * len(wrong)
