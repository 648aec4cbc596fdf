"""What is out: a window that is full, keys that wait for their turn, and attempts that are to come."""

from __future__ import annotations

from collections.abc import Iterator

from bridge.model import task_id
from bridge.operate.explain.cause import Cause, delivery, mapping
from bridge.store.facts import Facts, Key, Open
from bridge.wording import counted, span


def window(facts: Facts) -> Iterator[Cause]:
    """As much is open as may be."""
    if facts.open >= facts.window and facts.oldest:
        yield Cause(
            kind="window-full",
            text=f"its window is full, {open_deliveries(facts, facts.oldest)}",
            do="wait for the fleet; is it stuck, or slower than the events come?",
            data={"open": facts.open, "window": facts.window, "oldest": delivery(facts, facts.oldest)},
        )


def keys(facts: Facts) -> Iterator[Cause]:
    """Keys whose next event waits for an earlier one."""
    for key in facts.keys:
        yield _key(facts, key)
    if facts.waiting > len(facts.keys):
        more = facts.waiting - len(facts.keys)
        said = counted(more, "more key waits for an event of its own", "more keys wait for events of theirs")
        yield Cause(kind="keys-wait", text=f"{said} that came earlier", data={"keys": more})


def _key(facts: Facts, key: Key) -> Cause:
    data = mapping(key)
    what = f"key {key.key!r}" if key.offset is None else f"key {key.key!r} waits with event {key.offset}"
    if key.blocker is None:
        return Cause(kind="key-next", text=f"{what}: nothing is in its way, it goes out with the next pass", data=data)
    if key.parked:
        redriven = ", which is to go out again when the window has room" if key.redrive else ""
        return Cause(
            kind="key-held",
            text=f"{what}: it is held by parked event {key.blocker} ({key.reason}){redriven}",
            do=None
            if key.redrive
            else f"`bridge redrive {facts.client} --offset {key.blocker}`, or `bridge discard` it",
            data=data,
        )
    task = task_id(facts.client, key.blocker, key.epoch or 1, key.attempt or 1)
    text = f"{what}: event {key.blocker} is open, attempt {key.attempt}, task {task}"
    return Cause(kind="key-blocked", text=text, data={**data, "task_id": task})


def retries(facts: Facts) -> Iterator[Cause]:
    """Events that wait for their next attempt."""
    if not facts.next_retry:
        return
    it = facts.next_retry
    due = f"in {span(it.due_seconds)}" if it.due_seconds > 0 else "as soon as a pump comes and its key is free"
    error = ": ".join(said for said in (it.error_type, it.error) if said) or "unknown"
    first = f"event {it.offset} is tried again"
    if facts.retrying > 1:
        first = f"{counted(facts.retrying, 'event')} are tried again, event {it.offset} first,"
    yield Cause(
        kind="retrying",
        text=f"{first} {due}, after attempt {it.attempt} failed; its error: {error}",
        data={"retrying": facts.retrying, "next": delivery(facts, it)},
    )


def open_deliveries(facts: Facts, oldest: Open) -> str:
    """How many deliveries are open, and the oldest of them, in words."""
    are, which = ("is", "it is") if facts.open == 1 else ("are", "the oldest is")
    of = counted(facts.window, "delivery", "deliveries")
    return f"{facts.open:,} of {of} {are} open; {which} {_open(facts, oldest)}"


def _open(facts: Facts, it: Open) -> str:
    task = task_id(facts.client, it.offset, it.epoch, it.attempt)
    which = f"event {it.offset}, attempt {it.attempt}, task {task}"
    if it.state == "retrying":
        return f"{which}, which waits for its next attempt"
    if it.state == "done":
        return f"{which}, whose handler's transaction is done and whose callback is on its way"
    lease = f"its lease has {span(it.due_seconds)} left" if it.due_seconds > 0 else "its lease has run out"
    return f"{which}, handed over {span(it.age_seconds)} ago; {lease}"
