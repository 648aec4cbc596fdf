"""Say what does not add up for a client, and at which offsets. Pure: no I/O."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from bridge.store.audit import Fault, Moment
from bridge.store.tally import Tally
from bridge.wording import counted

# What a contradiction means; its name is in `audit --json`.
KINDS = {
    "cursor-above-dispatched": "the cursor {offset} is above what was handed over, {dispatched}",
    "dispatched-above-horizon": "the log was handed over up to {dispatched}, above the horizon {horizon}",
    "horizon-above-log": "the horizon {horizon} is above the last offset that was drawn, {drawn}",
    "epoch-above-last": "the epoch {epoch} is above the last one that was given out",
    "ledger-above-dispatched": "the ledger begins at {counted_after}, above what was handed over, {dispatched}",
    "never-woken": "deliveries are open, and the pump is never to look at them",
    "full-of-nothing": "the window counts as full, and nothing is open whose end would change that",
    "open-not-in-log": "open, and not in the log",
    "open-wrong-key": "open under a key that is not the event's",
    "open-above-dispatched": "open, and above what was handed over, {dispatched}",
    "open-below-cursor": "open, and the cursor {offset} has passed it",
    "open-below-lowest": "open, and below where passes look for deliveries",
    "open-not-matching": "open, and does not match the topics",
    "open-of-no-epoch": "open in an epoch that the client does not have",
    "open-and-parked": "open and parked at once",
    "key-open-twice": "open, and another event of its key is open too",
    "lane-not-in-log": "next in a lane, and not in the log",
    "lane-wrong-key": "next in the lane of a key that is not the event's",
    "lane-above-dispatched": "next in a lane, and above what was handed over, {dispatched}",
    "lane-below-cursor": "next in a lane, and the cursor {offset} has passed it",
    "lane-not-matching": "next in a lane, and does not match the topics",
    "lane-never-ready": "waits in a lane for an event of its key, and there is none whose end would free it",
    "lane-overtaken": "next in a lane, and a later event of its key, or the same, is open",
    "lane-and-parked": "next in a lane, and parked",
    "parked-not-in-log": "parked, and not in the log: it can't be redriven",
    "parked-wrong-key": "parked under a key that is not the event's",
    "parked-above-dispatched": "parked, and above what was handed over, {dispatched}",
    "parked-of-no-epoch": "parked in an epoch that the client does not have",
    "aside-of-no-replay": "waits aside for a replay that is gone",
    "aside-not-passed": "waits aside for a replay that has not come so far",
    "aside-not-in-log": "waits aside for a replay, and not in the log",
    "replay-of-no-epoch": "a replay goes on here in an epoch that is not above the client's",
    "missing": "was open or parked, and is gone without an outcome",
    "surplus": "is open or parked, and no pass has made it so",
    "passed-over": "matches, and was never handed over",
    "too-often": "was handed over, and the log does not have it, or it waits for its first hand-over once more",
    "exchanged": "the numbers agree, and the offsets do not: some are gone, and as many others are there",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Contradiction:
    """Something that does not add up.

    Attributes:
        kind: One of `KINDS`.
        text: What it means.
        total: How many offsets it is about.
        offsets: The first of them. Of `missing`, `passed-over` and their like, empty where there are several: a sum
            names one only.
        among: Where `offsets` is empty: offsets above the cursor, some of which are those that it is about.
    """

    kind: str
    text: str
    total: int
    offsets: tuple[int, ...] = ()
    among: tuple[int, ...] = ()


def said(fault: Fault, moment: Moment) -> Contradiction:
    """Put a contradiction between rows into words."""
    return Contradiction(kind=fault.kind, text=_text(fault.kind, moment), total=fault.total, offsets=fault.offsets)


def ledger_against_rows(moment: Moment) -> Iterator[Contradiction]:
    """Compare the deliveries and parked events that there are with those that there must be."""
    yield from _compared(moment.there - moment.owed, moment, more="surplus", fewer="missing")


def ledger_against_log(moment: Moment, log: Tally) -> Iterator[Contradiction]:
    """Compare the events that were handed over, or wait in a lane, with those of the log that match."""
    yield from _compared(
        log - (moment.counted - moment.uncounted + moment.in_lanes), moment, more="passed-over", fewer="too-often"
    )


def _compared(difference: Tally, moment: Moment, *, more: str, fewer: str) -> Iterator[Contradiction]:
    number, total = difference
    if number == 0:
        if total:
            yield Contradiction(kind="exchanged", text=_text("exchanged", moment), total=1)
        return
    kind, found = (more, number) if number > 0 else (fewer, -number)
    offsets: tuple[int, ...] = ()
    among = moment.suspects if kind in ("missing", "passed-over") else ()
    if found == 1:
        offsets, among = (abs(int(total)),), ()
    elif len(among) == found and sum(among) == abs(total):
        offsets, among = among, ()
    text = _text(kind, moment) + ("" if offsets else f"; the sum of the {counted(found, 'offset')} is {abs(total):,}")
    yield Contradiction(kind=kind, text=text, total=found, offsets=offsets, among=among)


def _text(kind: str, moment: Moment) -> str:
    return KINDS[kind].format(
        offset=moment.offset,
        dispatched=moment.dispatched,
        horizon=moment.horizon,
        drawn=moment.drawn,
        epoch=moment.epoch,
        counted_after=moment.counted_after,
    )
