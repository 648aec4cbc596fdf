"""Who does the work, and how: the pump, beat, bridge workers, and for each client the workers that run its tasks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from bridge.broker.accepting import accepts, is_known
from bridge.broker.fleet import TaskSeen, WorkerSeen
from bridge.contract import COMMIT, MAP, ticks_queue
from bridge.operate.doctor.facts import Facts
from bridge.operate.doctor.finding import MOST_NAMED, Check, Fault, Level, some
from bridge.store.checkup import ClientSeen
from bridge.store.losses import COLLECTOR_HOLDS_SECONDS
from bridge.wording import counted, one_line, span

SILENT_SECONDS = 10.0  # a pump comes every second or so


def _celery(facts: Facts) -> Iterator[Fault]:
    app = facts.app
    if app.eager:
        yield Fault(
            "at-risk",
            "task_always_eager is on: whoever starts the pump would run it in its own process, beat too",
            "set task_always_eager = False",
        )
    if not accepts(app.accept_content, "json"):
        yield Fault(
            "at-risk",
            f"accept_content is {one_line(list(app.accept_content or ()))}, and the bridge's ticks and callbacks are "
            "JSON: a bridge worker of this app does not start",
            "add 'json' to accept_content",
        )
    for name, why in app.slow_ways.items():
        yield Fault("warning", f"{name} is off: {one_line(why)}", "please report this line to the bridge's authors")


def _bridge_worker(facts: Facts) -> Iterator[Fault]:
    queue = facts.settings.queue
    if not _bridge_workers(facts):
        yield from _nobody(facts, queue, f"the bridge's own queue {queue!r}", "no outcome is settled", at_risk=True)
        return
    silent = facts.processes.collector_seconds
    if (
        not facts.stopped
        and facts.settings.collector
        and facts.brk.kind in ("redis", "amqp")
        and (silent is None or silent > COLLECTOR_HOLDS_SECONDS)
    ):
        since = "none has ever been at work" if silent is None else f"none has been at work for {span(silent)}"
        yield Fault(
            "at-risk",
            f"a worker consumes queue {queue!r}, and no collector settles outcomes: {since}",
            "what does the log of the bridge worker say? It needs bridge_database_url, and bridge.install(app)",
        )


def _bridge_workers(facts: Facts) -> list[WorkerSeen]:
    queue = facts.settings.queue
    return facts.workers.consumers(queue, ticks_queue(queue))  # a collector leaves the worker only the second


def _pump(facts: Facts) -> Iterator[Fault]:
    if facts.stopped:
        yield Fault("unknown", "not judged: what stops it is told by another check")
        return
    settings, silent = facts.settings, facts.processes.pump_seconds
    patience = max(SILENT_SECONDS, 3 * settings.interval_seconds)
    if silent is not None and silent < patience:
        return
    if not facts.why_not("workers") and not _bridge_workers(facts):
        yield Fault("unknown", "not judged: no worker is there to run it")
        return
    last = "no pump has ever run" if silent is None else f"no pump has run for {span(silent)}"
    yield Fault(
        "at-risk" if facts.served else "warning",
        f"{last}: nothing is handed over to any client",
        f"is `celery beat` running, and a worker with `-Q {settings.queue}`? What do their logs say?",
    )


def _pump_fine(facts: Facts) -> str:
    silent = max(0.0, facts.processes.pump_seconds or 0)
    return "a pump is at work" if silent < 1 else f"a pump was at work {span(silent)} ago"


def _beats(facts: Facts) -> Iterator[Fault]:
    beats = facts.processes.beats
    if len(beats) > 1:
        yield Fault(
            "warning",
            f"{counted(len(beats), 'beat')} start the pump: {', '.join(map(one_line, beats[:MOST_NAMED]))}. That does "
            "the pump no harm; your own entries in the schedule run as often",
            "stop all but one: `celery beat` once, or `-B` on one worker only",
            {"beats": list(beats)},
        )


def _consumers(facts: Facts) -> Iterator[Fault]:
    for client in facts.served:
        made = facts.brk.queues.get(client.queue)
        if facts.workers.consumers(client.queue) or (made is not None and made.consumers):
            continue
        what = f"queue {_quoted(client.queue)} of client {client.id}"
        active = client.state in ("active", "draining")
        yield from _nobody(facts, client.queue, what, "its events wait", at_risk=active, client=client.id)


def _nobody(facts: Facts, queue: str, what: str, so: str, *, at_risk: bool, client: str = "") -> Iterator[Fault]:
    """Say that no worker is seen to consume a queue; where others are silent, one of them may."""
    data = {"queue": one_line(queue), "client": client} if client else {"queue": one_line(queue)}
    silent = _silent(facts)
    answered = counted(len(facts.workers.workers), "worker") + " answered"
    if silent > 0:
        text = f"no worker that answers consumes {what}; {counted(silent, 'other')} on this broker may, and say nothing"
        yield Fault("unknown", text, "worker_enable_remote_control = True lets a worker answer", data)
        return
    level: Level = "at-risk" if at_risk else "warning"
    text = f"no worker consumes {what}, so {so} ({answered})"
    yield Fault(level, text, f"start a worker with `-Q {one_line(queue)}`", data)


def _silent(facts: Facts) -> int:
    """Count the workers of a Redis that consume something and did not answer."""
    pollers = facts.brk.redis.pollers if facts.brk.redis is not None else None
    return 0 if pollers is None else pollers - len(facts.workers.workers)


def _tasks(facts: Facts) -> Iterator[Fault]:
    for client in facts.served:
        consumers = [it for it in facts.workers.consumers(client.queue) if it.tasks is not None]
        ignorant = sorted(it.name for it in consumers if not set(client.tasks) <= set(it.tasks or ()))
        if ignorant:
            known: set[str] = set().union(*(it.tasks or () for it in consumers))
            unknown = [name for name in client.tasks if name not in known] or list(client.tasks)
            yield Fault(
                "at-risk" if len(ignorant) == len(consumers) else "warning",
                f"{counted(len(ignorant), 'worker')} of {len(consumers)} on queue {_quoted(client.queue)} of client "
                f"{client.id} {'does' if len(ignorant) == 1 else 'do'} not know {' or '.join(map(one_line, unknown))}, "
                f"and drops its messages: {some(ignorant)}",
                f"deploy code that has the task, or `eventbridge register {client.id} --task NAME --replace-task`",
                {"client": client.id, "workers": ignorant, "tasks": unknown},
            )
        if client.report_by == "in-process":
            yield from _without_bridge(client, consumers)


def _without_bridge(client: ClientSeen, consumers: Sequence[WorkerSeen]) -> Iterator[Fault]:
    """Say that workers which are to report in-process have no bridge in them: nobody hears how their tasks end."""
    mute = sorted(it.name for it in consumers if COMMIT not in (it.tasks or ()))
    if mute:
        yield Fault(
            "at-risk",
            f"{counted(len(mute), 'worker')} of {len(consumers)} on queue {_quoted(client.queue)} "
            f"{'has' if len(mute) == 1 else 'have'} no bridge installed, and client {client.id} asks for in-process "
            f"reports: what {'it handles' if len(mute) == 1 else 'they handle'} is never answered: {some(mute)}",
            f"call bridge.install(app) in the fleet's app, or `eventbridge register {client.id} --report-by callback`",
            {"client": client.id, "workers": mute},
        )


def _acks(facts: Facts) -> Iterator[Fault]:
    for client in facts.served:
        ran = _ran(facts, client)
        early = sorted({name for name, _, task in ran if not task.acks_late})
        if early:
            yield Fault(
                "warning",
                f"{', '.join(map(one_line, early))} of client {client.id} acknowledges before it runs: an event in a "
                "worker that is killed waits until it is found lost, or for its lease "
                f"({span(client.ack_timeout_seconds)})",
                "set acks_late=True on the task, or task_acks_late = True in the fleet's app",
                {"client": client.id, "tasks": early},
            )
        back = sorted({name for name, _, task in ran if task.acks_late and task.comes_back})
        if back:
            yield Fault(
                "at-risk",
                f"{', '.join(map(one_line, back))} of client {client.id} has reject_on_worker_lost: an event that "
                "kills its process comes back at once, some times a second, until the bridge finds it and parks it",
                "set reject_on_worker_lost=False (task_reject_on_worker_lost): Celery then reports each loss, and the "
                "bridge counts it and waits before it tries again",
                {"client": client.id, "tasks": back},
            )


def _limits(facts: Facts) -> Iterator[Fault]:
    for client in facts.served:
        lease = client.ack_timeout_seconds
        limits = {name: task.time_limit or it.time_limit for name, it, task in _ran(facts, client)}
        longer = {name: seconds for name, seconds in limits.items() if seconds is not None and seconds > lease}
        if longer:
            name, seconds = max(longer.items(), key=lambda item: item[1])
            yield Fault(
                "at-risk",
                f"the time limit of {one_line(name)} is {span(seconds)}, and the lease of client {client.id} is "
                f"{span(lease)}: an event that takes longer than its lease goes out again while it is handled",
                f"`eventbridge register {client.id} --ack-timeout {round(seconds) + 60}`, or a shorter time_limit",
                {"client": client.id, "limits": longer},
            )


def _serializers(facts: Facts) -> Iterator[Fault]:
    for client in facts.served:
        if not is_known(client.serializer):
            yield Fault(
                "at-risk",
                f"kombu knows no serializer {_quoted(client.serializer)} here, which client {client.id} asks for: its "
                "events can't be sent",
                f"install its package in the bridge worker, or `eventbridge register {client.id} --serializer json`",
                {"client": client.id},
            )
            continue
        consumers = [it for it in facts.workers.consumers(client.queue) if it.accept_content is not None]
        refusing = sorted(it.name for it in consumers if not accepts(it.accept_content, client.serializer))
        if refusing:
            yield Fault(
                "at-risk",
                f"{counted(len(refusing), 'worker')} of {len(consumers)} on queue {_quoted(client.queue)} "
                f"{'does' if len(refusing) == 1 else 'do'} not accept {one_line(client.serializer)}, the serializer of "
                f"client {client.id}, and drops its messages: {some(refusing)}",
                f"add {_quoted(client.serializer)} to the fleet's accept_content, or "
                f"`eventbridge register {client.id} --serializer NAME`",
                {"client": client.id, "workers": refusing},
            )


def _ran(facts: Facts, client: ClientSeen) -> list[tuple[str, WorkerSeen, TaskSeen]]:
    """Return the tasks that a client's messages call, with how each worker of its queue runs them."""
    names = [MAP] if client.batch > 1 and client.batch_as == "calls" else []
    return [
        (name, it, it.tasks[name])
        for it in facts.workers.consumers(client.queue)
        for name in [*client.tasks, *names]
        if it.tasks is not None and name in it.tasks
    ]


def _quoted(text: str) -> str:
    return one_line(repr(text), most=100)


CHECKS = (
    Check("celery", (), _celery, lambda it: f"the settings of app {it.app.name} fit a bridge worker"),
    Check("bridge-worker", ("log", "broker", "fleet"), _bridge_worker, lambda _: "a bridge worker is at work"),
    Check("pump", ("log",), _pump, _pump_fine),
    Check("beats", ("log",), _beats, lambda _: "no second beat is seen"),
    Check("consumers", ("log", "broker", "fleet"), _consumers, lambda _: "each client's queue has a worker"),
    Check("tasks", ("log", "workers"), _tasks, lambda _: "the workers know their clients' tasks"),
    Check("acks", ("log", "workers"), _acks, lambda _: "tasks acknowledge late, and what kills a worker is counted"),
    Check("time-limits", ("log", "workers"), _limits, lambda _: "no time limit exceeds a lease"),
    Check("serializers", ("log", "workers"), _serializers, lambda _: "the workers accept what their clients are sent"),
)
