"""The marks: whether Postgres and the broker still remember each other."""

from __future__ import annotations

from collections.abc import Iterator

from bridge.mark import RESYNC
from bridge.operate.explain.cause import Cause, field_data
from bridge.store.facts import ClientFacts
from bridge.store.marks import MarkStatus
from bridge.wording import counted

STOPS = ("mark-ahead", "other-log", "other-broker")


def explain_marks(facts: ClientFacts) -> Iterator[Cause]:
    """Say that the database was set back, that the broker serves another log, or that it has lost messages."""
    for it in (it for it in facts.marks if it.bridge == facts.bridge):
        if it.trouble:
            yield _explain_trouble(it, it.trouble)
        elif it.recalling:
            times = counted(it.losses, "time", "times")
            text = f"the broker {it.broker} lost messages, {times} by now; what was open is being handed over again"
            yield Cause(kind="broker-lost", severity="warning", text=text, data=field_data(it))


def _explain_trouble(it: MarkStatus, text: str) -> Cause:
    data, do = field_data(it), advice_of(it.trouble_kind)
    if it.trouble_kind == "other-log":
        return Cause(kind="other-log", severity="error", text=text, do=do, data=data)
    if it.trouble_kind == "other-broker":
        return Cause(kind="other-broker", severity="error", text=text, do=do, data=data)
    return Cause(kind="mark-ahead", severity="error", text=text, do=do, data=data)


def advice_of(kind: str | None) -> str:
    """Say what to do about this kind of trouble."""
    return {
        "other-log": f"give one of the two logs another bridge_queue; if the other log is gone, {RESYNC}",
        "other-broker": "let all workers of this bridge use one broker, or give each broker's bridge a bridge_queue of "
        "its own",
    }.get(kind or "", RESYNC)
