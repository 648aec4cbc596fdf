"""The processes that do the work: the pump, the broker, and the workers on both sides of it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from bridge.contract import unreadable_queue
from bridge.operate.explain.cause import Cause
from bridge.store.facts import ClientFacts
from bridge.wording import counted, span

if TYPE_CHECKING:
    from bridge.operate.workers import WorkersSeen


SILENT_SECONDS = 20  # beat comes every ten seconds or so; this long without a pump is no accident


def explain_broker(facts: ClientFacts, seen: WorkersSeen | None) -> Iterator[Cause]:
    """Say that the broker could not be asked: then no tick arrives either."""
    if seen and seen.trouble:
        do = "give it memory or disk" if seen.is_short else "start it, or mend broker_url"
        do += "; the bridge waits for it and loses nothing"
        if facts.open:
            do += f"; should it come back without its messages, `eventbridge recall {facts.client}` sends them again"
        yield Cause(kind="broker-away", severity="error", text=seen.trouble, do=do)


def explain_pump(facts: ClientFacts, seen: WorkersSeen | None, *, lingers: bool) -> Iterator[Cause]:
    """Say that no pump comes, unless it is known that no worker is there to run one."""
    silent = facts.pump_silent_seconds
    if silent is not None and silent < SILENT_SECONDS:
        return
    if seen is not None and not seen.bridge_workers and seen.answered:
        return  # `no-bridge-worker` says why
    overdue = (facts.unread_seconds or 0) > SILENT_SECONDS and facts.open < facts.window and not facts.holders
    if not lingers and not (overdue and facts.state == "active"):
        return
    last = "no pump has ever run" if silent is None else f"no pump has run for {span(silent)}"
    if not lingers:
        last = f"an event has waited for {span(facts.unread_seconds or 0)}, and no pump has taken it"
    do = "is `celery beat` running, and a worker that consumes the bridge's queue?"
    if seen is not None and seen.bridge_workers:
        do = "is `celery beat` running? A worker consumes the bridge's queue: what does its log say?"
    elif seen is None:
        do += " The broker was not asked."
    yield Cause(
        kind="no-pump",
        severity="error",
        text=f"{last}: nothing is handed over to any client",
        do=do,
        data={"silent_seconds": silent},
    )


def explain_workers(facts: ClientFacts, seen: WorkersSeen, bridge_queue: str) -> Iterator[Cause]:
    """Say what the broker and its workers say of themselves."""
    others = f" ({counted(seen.answered, 'worker')} answered)" if seen.answered else " (no worker answered at all)"
    data: dict[str, Any] = {"queue": facts.queue, "messages": seen.messages, "answered": seen.answered}
    messages = counted(seen.messages or 0, "message waits", "messages wait")
    waiting = f", in which {messages}" if seen.messages else ""
    if not seen.consumers:
        yield Cause(
            kind="no-consumer",
            severity="error",
            text=f"no worker consumes queue {facts.queue!r}{waiting}{others}",
            do=f"start a worker of the fleet with `-Q {facts.queue}`; workers without remote control don't answer",
            data=data,
        )
    elif seen.messages:
        yield Cause(
            kind="backlog",
            severity="warning",
            text=f"{messages} in queue {facts.queue!r} for {counted(len(seen.consumers), 'worker')}",
            do="start more workers, or make the handler faster; the window bounds how many messages the bridge adds",
            data={**data, "consumers": seen.consumers},
        )
    if not seen.bridge_workers:
        yield Cause(
            kind="no-bridge-worker",
            severity="error",
            text=f"no worker consumes the bridge's own queue {bridge_queue!r}{others}: no outcome is settled",
            do=f"start a bridge worker, such as `celery -A bridge worker -B -Q {bridge_queue} -c 2`",
            data={"queue": bridge_queue, "answered": seen.answered},
        )
    if seen.messages is None or not seen.keeps_order:
        yield Cause(
            kind="waiting-unseen",
            severity="info",
            text="this broker does not say what waits in a queue: a lease also runs out while its message waits",
            do="let the lease (`--ack-timeout`) cover the longest wait, such as the fleet's longest absence",
        )


def explain_unreadable(seen: WorkersSeen, bridge_queue: str) -> Iterator[Cause]:
    """Say that messages were set aside."""
    if seen.unreadable:
        aside = unreadable_queue(bridge_queue)
        number = counted(seen.unreadable, "message is", "messages are")
        yield Cause(
            kind="unreadable",
            severity="warning",
            text=f"{number} set aside on queue {aside!r}: no worker can read it, or Postgres refuses what it reports",
            do="the bridge worker's log says why; find their sender, then purge the queue",
            data={"queue": aside, "messages": seen.unreadable},
        )
