"""What the broker is like: whether it answers, keeps what it has, and remembers this log; and what time it is."""

from __future__ import annotations

from collections.abc import Iterator

from bridge.broker.visibility import KOMBUS_OWN_SECONDS
from bridge.contract import ticks_queue, unreadable_queue
from bridge.operate.doctor.facts import Facts, MarkSeen
from bridge.operate.doctor.finding import Check, Fault
from bridge.operate.explain.marks import advice_of
from bridge.store.checkup import ClientSeen
from bridge.store.rounds import SKEW_SECONDS
from bridge.wording import counted, one_line, span

OLDEST_REDIS = (6, 2)
FULL = 0.9  # of maxmemory


def _broker(facts: Facts) -> Iterator[Fault]:
    if why := facts.why_not("broker"):
        yield Fault("at-risk", why, "start it, or mend broker_url; the bridge waits for it and loses nothing")
        return
    seen = facts.brk.redis
    if seen is None:
        if facts.brk.kind not in ("amqp", "memory"):
            yield Fault(
                "warning",
                f"the broker is {one_line(facts.brk.product)}, on which the bridge is not tested: it keeps no mark, "
                "and each callback is a task",
                "Redis, Valkey and RabbitMQ are tested",
            )
        return
    if seen.role != "master":
        yield Fault("at-risk", "this Redis is a replica and takes no messages", "let broker_url name the primary")
    if seen.cluster:
        yield Fault("at-risk", "this Redis is a cluster, which kombu does not speak to", "use one without cluster mode")
    if seen.writes_fail:
        yield Fault("at-risk", f"Redis loses or refuses messages: {seen.writes_fail}", "see its log; is its disk full?")
    if facts.brk.product == "Redis" and _version(facts.brk.version) < OLDEST_REDIS:
        text = f"Redis {one_line(facts.brk.version)} is older than those that are tested"
        yield Fault("warning", text, "upgrade to 6.2 at least")


def _broker_fine(facts: Facts) -> str:
    seen = facts.brk
    followed = f", followed by {counted(seen.redis.replicas, 'replica')}" if seen.redis and seen.redis.replicas else ""
    return f"{one_line(seen.product)} {one_line(seen.version)} answers{followed}"


def _version(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split(".")[:2] if part.isdecimal())


def _persistence(facts: Facts) -> Iterator[Fault]:
    seen = facts.brk.redis
    if seen is None or seen.appends or seen.saves:
        return
    if seen.saves is None:
        yield Fault("unknown", "Redis has no append-only file, and does not tell whether it takes snapshots")
        return
    yield Fault(
        "warning",
        "Redis keeps nothing on disk: after a restart all that waits in queues goes out again, and what the fleet "
        "reported and was not settled is done twice",
        "redis-cli CONFIG SET appendonly yes, and appendonly yes in redis.conf",
    )


def _persistence_fine(facts: Facts) -> str:
    seen = facts.brk.redis
    if seen is None:
        return "the bridge's messages are persistent; whether the queues are durable stands under `queues`"
    if seen.appends:
        return "Redis writes an append-only file"
    return f"Redis takes snapshots ({one_line(seen.saves)}); what a crash loses goes out again"


def _eviction(facts: Facts) -> Iterator[Fault]:
    seen = facts.brk.redis
    if seen is None:
        return
    if seen.policy is None:
        yield Fault("unknown", "Redis does not tell its maxmemory-policy")
    elif seen.policy.startswith("allkeys"):
        now = "" if seen.limit else "; with maxmemory 0 it does not do so yet"
        yield Fault(
            "at-risk" if seen.limit else "warning",
            f"maxmemory-policy is {seen.policy}: a full Redis removes whole queues without a word{now}",
            "redis-cli CONFIG SET maxmemory-policy noeviction, and the same in redis.conf",
            {"policy": seen.policy, "limit": seen.limit},
        )
    if seen.limit and seen.used > FULL * seen.limit:
        yield Fault(
            "at-risk",
            f"Redis is full: it uses {seen.used / seen.limit:.0%} of maxmemory, and then refuses messages",
            "raise maxmemory, or see what fills it: redis-cli --bigkeys",
            {"used": seen.used, "limit": seen.limit},
        )


def _eviction_fine(facts: Facts) -> str:
    if facts.brk.redis is None:
        return "this broker removes no messages to make room"
    return f"maxmemory-policy is {one_line(facts.brk.redis.policy)}: queues are not removed to make room"


def _queues(facts: Facts) -> Iterator[Fault]:
    bridge = facts.settings.queue
    for name, made in facts.brk.queues.items():
        if made.durable is False and name != ticks_queue(bridge):
            yield Fault(
                "at-risk",
                f"queue {name!r} is not durable: a restart of RabbitMQ loses what waits in it",
                f"declare it as durable (Queue({name!r}, durable=True) in task_queues); delete the old one first",
                {"queue": name},
            )


def _queues_fine(facts: Facts) -> str:
    there = {name: made.kind for name, made in facts.brk.queues.items() if made.exists and made.durable is not False}
    if facts.brk.kind != "amqp":
        return "on this broker queues are made when they are used"
    if not there:
        return "there is no queue yet: the workers that consume them declare them"
    return "durable: " + ", ".join(f"{name} ({kind or 'of some type'})" for name, kind in there.items())


def _unreadable(facts: Facts) -> Iterator[Fault]:
    if facts.brk.unreadable:
        queue = unreadable_queue(facts.settings.queue)
        number = counted(facts.brk.unreadable, "message is", "messages are")
        yield Fault(
            "warning",
            f"{number} set aside on queue {queue!r}: no worker can read it, or Postgres refuses what it reports",
            "the log of the bridge worker says why; find who sends them, then purge the queue",
            {"queue": queue, "messages": facts.brk.unreadable},
        )


def _visibility(facts: Facts) -> Iterator[Fault]:
    timeouts = _timeouts(facts)
    longer = [it for it in facts.served if any(seconds < _needed(facts, it) for seconds in timeouts.values())]
    if not longer:
        return
    worst = max(longer, key=lambda it: it.ack_timeout_seconds)
    who, seconds = min(timeouts.items(), key=lambda item: item[1])
    beside = f" (and of {counted(len(longer) - 1, 'other client')})" if len(longer) > 1 else ""
    yield Fault(
        "at-risk",
        f"the visibility_timeout of {who} is {span(seconds)}, and the lease of client {worst.id}{beside} is "
        f"{span(worst.ack_timeout_seconds)}: an event that takes longer than the first is handled twice at once",
        f"broker_transport_options = {{'visibility_timeout': {max(round(worst.ack_timeout_seconds), 1)}}} in every app "
        "on this Redis, or a shorter --ack-timeout",
        {"clients": [it.id for it in longer], "timeouts": timeouts},
    )


def _timeouts(facts: Facts) -> dict[str, float]:
    """Return how soon messages come back; on Redis the shortest one of all who consume holds for all of them."""
    own = facts.brk.visibility_timeout_seconds
    if own is None:
        return {}
    found = {f"app {facts.app.name}": own}
    if not facts.why_not("fleet"):
        for it in facts.workers.workers:
            if it.told:
                found[f"worker {it.name}"] = it.visibility_timeout_seconds or KOMBUS_OWN_SECONDS
    return found


def _needed(facts: Facts, client: ClientSeen) -> float:
    """Return how long an event may be in a worker's hands: its lease, or the time limit where that is shorter."""
    if facts.why_not("fleet"):
        return client.ack_timeout_seconds
    limits = []
    for it in facts.workers.consumers(client.queue):
        for name in client.tasks:
            task = it.tasks.get(name) if it.tasks is not None else None
            limits.append((task.time_limit if task else None) or it.time_limit or float("inf"))
    return min(client.ack_timeout_seconds, max(limits, default=float("inf")))


def _visibility_fine(facts: Facts) -> str:
    timeouts = _timeouts(facts)
    if not timeouts:
        return "this broker keeps what a worker has until the worker acknowledges it, or is gone"
    return f"unacknowledged messages come back after {span(min(timeouts.values()))}, which no lease exceeds"


def _marks(facts: Facts) -> Iterator[Fault]:
    bridge, mark = facts.settings.queue, facts.mark
    told = [it for it in facts.db.marks if it.bridge == bridge]
    for it in told:
        if it.trouble:
            yield Fault("at-risk", one_line(it.trouble, most=600), advice_of(it.trouble_kind), {"broker": it.broker})
        elif it.recalling:
            text = f"the broker {it.broker} has lost messages, and what was open is being handed over again"
            yield Fault("warning", text, "wait; `eventbridge journal` says when it happened and why")
    if isinstance(mark, MarkSeen) and mark.contradiction and not any(it.trouble for it in told):
        text = f"queue {bridge!r} on this broker serves another log ({one_line(mark.log)})"
        if mark.contradiction == "mark-ahead":
            text = "the broker remembers more than the database, which was restored or failed over"
        yield Fault("at-risk", f"{text}: nothing goes on here", advice_of(mark.contradiction))
    if isinstance(mark, MarkSeen) and not mark.kept and not told:
        yield Fault(
            "warning",
            "this broker keeps no mark, so a loss of its messages is noticed when leases end",
            "choose short leases (--ack-timeout)",
        )


def _marks_fine(facts: Facts) -> str:
    if isinstance(facts.mark, MarkSeen) and facts.mark.there:
        return "Postgres and the broker remember each other"
    return "no pump has put a mark on this broker yet"


def _clocks(facts: Facts) -> Iterator[Fault]:
    ahead = {"this machine": facts.clock_ahead_seconds}
    if not facts.why_not("log") and facts.processes.clock_host:
        ahead[f"{one_line(facts.processes.clock_host)}, where a pump runs,"] = facts.processes.clock_ahead_seconds
    if not facts.why_not("broker") and None not in (facts.brk.clock_ahead_seconds, facts.clock_ahead_seconds):
        ahead["the broker"] = (facts.brk.clock_ahead_seconds or 0) + (facts.clock_ahead_seconds or 0)
    for where, seconds in ahead.items():
        if seconds is not None and abs(seconds) > SKEW_SECONDS:
            side = "ahead of" if seconds > 0 else "behind"
            yield Fault(
                "warning",
                f"the clock of {where} is {span(abs(seconds))} {side} that of Postgres",
                "let NTP set both; the bridge does without it, while logs, schedules and tasks with an eta do not",
                {"ahead_seconds": seconds},
            )


CHECKS = (
    Check("clocks", ("database",), _clocks, lambda _: f"all clocks agree within {SKEW_SECONDS:g} s"),
    Check("broker", (), _broker, _broker_fine),
    Check("persistence", ("broker",), _persistence, _persistence_fine),
    Check("eviction", ("broker",), _eviction, _eviction_fine),
    Check("queues", ("broker", "log"), _queues, _queues_fine),
    Check("unreadable", ("broker",), _unreadable, lambda _: "no message was set aside"),
    Check("visibility-timeout", ("broker", "log"), _visibility, _visibility_fine),
    Check("marks", ("log", "mark"), _marks, _marks_fine),
)
