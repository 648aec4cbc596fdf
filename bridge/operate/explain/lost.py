"""Messages that are lost, or will be: a queue that was purged, tasks that workers do not know, misspelt topics."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from bridge.operate.explain.cause import Cause
from bridge.store.facts import ClientFacts
from bridge.wording import counted

if TYPE_CHECKING:
    from bridge.operate.workers import WorkersSeen


def explain_lost(facts: ClientFacts, seen: WorkersSeen | None) -> Iterator[Cause]:
    """Say that events are open whose messages are in no queue and in no worker."""
    if seen is None or seen.trouble or seen.held is None or seen.messages or seen.callbacks:
        return
    if facts.batch > 1 and seen.held:  # the messages of batches can't be told apart
        return
    lost = facts.awaited - seen.held
    if seen.messages == 0 and lost > 0:
        events = counted(lost, "event is", "events are")
        yield Cause(
            kind="lost",
            severity="warning",
            text=f"{events} open, but queue {facts.queue!r} is empty and no worker has the task: the messages seem "
            "lost",
            do=f"`eventbridge recall {facts.client}` hands over again what is open; the bridge does so by itself soon, "
            "where it can see every worker, and else when the lease ends",
            data={"lost": lost, "open": facts.open, "held": seen.held},
        )


def explain_ignorant(facts: ClientFacts, seen: WorkersSeen | None) -> Iterator[Cause]:
    """Name the workers that drop a client's messages because they do not know its task."""
    if seen and seen.ignorant:
        all_of_them = len(seen.ignorant) == len(seen.consumers)
        does, drops = ("does", "drops") if len(seen.ignorant) == 1 else ("do", "drop")
        yield Cause(
            kind="unknown-task",
            severity="error" if all_of_them else "warning",
            text=f"{counted(len(seen.ignorant), 'worker')} of {len(seen.consumers)} on queue {facts.queue!r} "
            f"{does} not know {' or '.join(facts.tasks)}, and {drops} its messages: {', '.join(seen.ignorant)}",
            do="deploy code that has the task, or mend its name with "
            f"`eventbridge register {facts.client} --task NAME --replace-task`; what was dropped goes out again by "
            "itself, some seconds after a worker of the queue knows the task",
            data={"workers": list(seen.ignorant), "tasks": facts.tasks},
        )


def explain_without_bridge(facts: ClientFacts, seen: WorkersSeen | None) -> Iterator[Cause]:
    """Name the workers that are to report in-process and can't, because no bridge is installed in them."""
    if seen and seen.without_bridge and facts.report_by == "in-process":
        all_of_them = len(seen.without_bridge) == len(seen.consumers)
        has, handles = ("has", "it handles") if len(seen.without_bridge) == 1 else ("have", "they handle")
        yield Cause(
            kind="no-bridge-in-fleet",
            severity="error" if all_of_them else "warning",
            text=f"{counted(len(seen.without_bridge), 'worker')} of {len(seen.consumers)} on queue {facts.queue!r} "
            f"{has} no bridge installed, and the client asks for in-process reports: what {handles} is never answered: "
            f"{', '.join(seen.without_bridge)}",
            do="call bridge.install(app) in the fleet's app, or "
            f"`eventbridge register {facts.client} --report-by callback`",
            data={"workers": list(seen.without_bridge)},
        )


def explain_topics(facts: ClientFacts) -> Iterator[Cause]:
    """Say that no event of the log matches a client's topics."""
    if facts.matched is False:
        yield Cause(
            kind="unmatched",
            severity="info",
            text=f"no event in the log has ever matched its topics {', '.join(facts.topics)}",
            do="is one misspelt? `eventbridge tail` shows the topics of the log",
            data={"topics": facts.topics},
        )
