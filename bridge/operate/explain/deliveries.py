"""Deliveries: a window that is full, keys that wait for an earlier event, and attempts that are still to come."""

from __future__ import annotations

from collections.abc import Iterator

from bridge.model import task_id
from bridge.operate.explain.cause import Cause, delivery_data, field_data
from bridge.store.facts import ClientFacts, OpenDelivery, WaitingKey
from bridge.wording import counted, span


def explain_window(facts: ClientFacts) -> Iterator[Cause]:
    """Say that as many deliveries are open as the window allows."""
    if facts.open >= facts.window and facts.oldest:
        yield Cause(
            kind="window-full",
            severity="warning",
            text=f"its window is full, {say_open(facts, facts.oldest)}",
            do="wait for the fleet; is it stuck, or slower than the events come?",
            data={"open": facts.open, "window": facts.window, "oldest": delivery_data(facts, facts.oldest)},
        )


def explain_keys(facts: ClientFacts) -> Iterator[Cause]:
    """Say which keys' next events wait for an earlier one."""
    for key in facts.keys:
        yield _explain_key(facts, key)
    if facts.waiting > len(facts.keys):
        more = facts.waiting - len(facts.keys)
        said = counted(more, "more key waits for an earlier event of its own", "more keys wait for earlier events")
        yield Cause(kind="keys-wait", severity="warning", text=said, data={"keys": more})


def _explain_key(facts: ClientFacts, key: WaitingKey) -> Cause:
    data = field_data(key)
    which = f"key {key.key!r}" if key.offset is None else f"key {key.key!r} waits with event {key.offset}"
    if key.blocker is None:
        text = f"{which}: nothing is in its way, it goes out with the next pass"
        return Cause(kind="key-next", severity="info", text=text, data=data)
    if key.parked:
        redriven = ", which is to go out again when the window has room" if key.redrive else ""
        chosen = f"{facts.client} --offset {key.blocker}"
        return Cause(
            kind="key-held",
            severity="warning",
            text=f"{which}: it is held by parked event {key.blocker} ({key.reason}){redriven}",
            do=None if key.redrive else f"`eventbridge redrive {chosen}`, or `eventbridge discard {chosen}`",
            data=data,
        )
    task = task_id(facts.client, key.blocker, key.epoch or 1, key.attempt or 1)
    text = f"{which}: event {key.blocker} is open, attempt {key.attempt}, task {task}"
    return Cause(kind="key-blocked", severity="warning", text=text, data={**data, "task_id": task})


def explain_retries(facts: ClientFacts) -> Iterator[Cause]:
    """Say which events wait for their next attempt."""
    if not facts.next_retry:
        return
    it = facts.next_retry
    due = f"in {span(it.due_seconds)}" if it.due_seconds > 0 else "as soon as a pump comes and its key is free"
    error = ": ".join(said for said in (it.error_type, it.error) if said) or "unknown"
    after = f"after attempt {it.attempt} failed; its error: {error}"
    if not it.attempt:
        after = "because the broker did not take it"
    elif not it.failed:
        after = f"because the message of attempt {it.attempt} was lost, or somebody recalled it: no attempt is counted"
    first = f"event {it.offset} is tried again"
    if facts.retrying > 1:
        first = f"{counted(facts.retrying, 'event')} are tried again, event {it.offset} first,"
    yield Cause(
        kind="retrying",
        severity="warning",
        text=f"{first} {due}, {after}",
        data={"retrying": facts.retrying, "next": delivery_data(facts, it)},
    )


def say_open(facts: ClientFacts, oldest: OpenDelivery) -> str:
    """Say how many deliveries are open, and which is the oldest of them."""
    are, which = ("is", "it is") if facts.open == 1 else ("are", "the oldest is")
    of = counted(facts.window, "delivery", "deliveries")
    return f"{facts.open:,} of {of} {are} open; {which} {_say_delivery(facts, oldest)}"


def _say_delivery(facts: ClientFacts, it: OpenDelivery) -> str:
    task = task_id(facts.client, it.offset, it.epoch, it.attempt)
    which = f"event {it.offset}, attempt {it.attempt}, task {task}"
    if it.state == "retrying":
        return f"{which}, which waits for its next attempt"
    if it.state == "done":
        return f"{which}, whose handler's transaction is done and whose callback is on its way"
    first = f" (first {span(it.age_seconds)} ago)" if it.attempt > 1 else ""
    return f"{which}, handed over {span(it.sent_seconds)} ago{first}; {_say_lease(it)}"


def _say_lease(it: OpenDelivery) -> str:
    """Say when its lease ends; one that has run out while the message waits is renewed, which is no attempt."""
    if it.waited_seconds is not None and it.waits:
        return f"its lease is over, but {span(it.waited_seconds)} ago its message could still be waiting in the queue"
    left = f"its lease has {span(it.due_seconds)} left" if it.due_seconds > 0 else "its lease has run out"
    return f"its message has left the queue late, {left}" if it.waited_seconds is not None else left
