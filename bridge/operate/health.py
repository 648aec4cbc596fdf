"""Tell whether the bridge works at this moment, for probes: short, bounded, and without an opinion on settings.

Two questions are apart. *Does the bridge work?* is for people, load balancers and alarms. *Would a restart of this
worker help?* is for what restarts it: so a broker that is away is no reason, and neither is Postgres.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

from celery import Celery

from bridge.app import bridge_of
from bridge.broker.checkup import ping
from bridge.broker.fleet import answers_ping
from bridge.broker.marks import address
from bridge.errors import ConfigurationError
from bridge.operate.doctor.deadline import Asking
from bridge.operate.doctor.facts import Unasked
from bridge.operate.explain.database import explain_waits
from bridge.operate.workers import connected
from bridge.store import Store
from bridge.store.checkup import ProcessesSeen, look_at_processes, look_at_server, look_at_waits
from bridge.store.locks import BESIDE, LOOK_LOCK_SECONDS
from bridge.store.migrate import check_schema
from bridge.store.missing import missing
from bridge.store.sessions import read_only
from bridge.wording import one_line, span

COLLECTED = ("redis", "amqp")  # transports on which a collector is at work
STEPS = 3  # of a question, each with the time-out; libpq rounds up


@dataclass(frozen=True, slots=True, kw_only=True)
class Sign:
    """One sign of life.

    Attributes:
        name: `postgres`, `broker`, `pump`, `collector` or `worker`.
        ok: Whether it is there.
        text: What was seen.
        seconds: How long ago it was seen; None where that says nothing.
    """

    name: str
    ok: bool
    text: str
    seconds: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """What was seen."""

    signs: tuple[Sign, ...]

    @property
    def ok(self) -> bool:
        """Whether all is well."""
        return all(sign.ok for sign in self.signs)

    @property
    def text(self) -> str:
        """All of it in one line: what is missing, or else what is there."""
        told = [sign.text for sign in self.signs if not sign.ok] or [sign.text for sign in self.signs]
        return f"{'healthy' if self.ok else 'not healthy'}: {'; '.join(told)}"


def look_at_health(
    app: Celery, *, pump_seconds: float | None, collector_seconds: float | None, timeout_seconds: float
) -> Health:
    """See whether Postgres and the broker answer, and a pump and a collector were at work lately.

    Args:
        app: Its configuration names the database and the broker.
        pump_seconds: How long ago a pump may have been at work; None: it does not matter.
        collector_seconds: Likewise a collector. Where there is none to be, it does not matter.
        timeout_seconds: How long to wait for each connection.
    """
    patience = STEPS * max(2.0, timeout_seconds)
    asking = Asking("Postgres", partial(_ask_postgres, app, timeout_seconds))
    kind = Asking("the broker", partial(_ask_broker, app, timeout_seconds)).answer(patience)
    seen = asking.answer(patience)
    signs = [
        Sign(name="postgres", ok=False, text=seen.why)
        if isinstance(seen, Unasked)
        else Sign(name="postgres", ok=True, text="Postgres answers"),
        Sign(name="broker", ok=False, text=f"{_named(app)} does not answer: {kind.why}")
        if isinstance(kind, Unasked)
        else Sign(name="broker", ok=True, text="the broker answers"),
    ]
    if not isinstance(seen, Unasked):
        collects = bridge_of(app).settings.collector and kind in COLLECTED
        signs += _work(seen, pump_seconds, collector_seconds if collects else None)
    return Health(signs=tuple(signs))


def _named(app: Celery) -> str:
    try:
        return f"the broker {one_line(address(app))}"
    except ConfigurationError:  # why it does not answer says the rest
        return "the broker"


def _work(seen: ProcessesSeen, pump_seconds: float | None, collector_seconds: float | None) -> Iterator[Sign]:
    """Say when pump and collector were at work. Pure."""
    for name, ago, limit in (
        ("pump", seen.pump_seconds, pump_seconds),
        ("collector", seen.collector_seconds, collector_seconds),
    ):
        if limit is None:
            continue
        since = None if ago is None else max(0.0, ago)
        if since is None:
            yield Sign(name=name, ok=False, text=f"no {name} has been at work")
        elif since > limit:
            text = f"no {name} has been at work for {span(since)} (limit {span(limit)})"
            yield Sign(name=name, ok=False, text=text, seconds=since)
        else:
            yield Sign(name=name, ok=True, text=f"a {name} was at work {span(since)} ago", seconds=since)


def look_at_worker(app: Celery, worker: str, *, timeout_seconds: float) -> Health:
    """See whether one worker answers; a broker that is away speaks for it, because a restart would not help.

    Args:
        app: Its configuration names the broker.
        worker: Name of the node, such as `celery@host`.
        timeout_seconds: How long to wait for the connection, and for the answer.
    """
    name = one_line(worker)
    found = Asking("the broker", partial(_ask_worker, app, worker, timeout_seconds)).answer(
        STEPS * max(2.0, timeout_seconds)
    )
    if isinstance(found, Unasked):
        text = f"worker {name} can't be asked, for the broker does not answer: {found.why}"
        return Health(signs=(Sign(name="worker", ok=True, text=text),))
    text = f"worker {name} answers" if found else f"worker {name} does not answer, and the broker does"
    return Health(signs=(Sign(name="worker", ok=found, text=text),))


def _ask_postgres(app: Celery, timeout_seconds: float) -> ProcessesSeen | Unasked:
    settings = bridge_of(app).settings
    store = Store(
        settings.need_database_url(),
        connect_timeout_seconds=timeout_seconds,
        statement_timeout_seconds=timeout_seconds,
        role="health",
    )
    try:
        waits = look_at_waits(store)
        waits = waits._replace(tables=tuple(it for it in waits.tables if it.table not in BESIDE))
        if causes := explain_waits(waits):
            return Unasked(f"{causes[0].text}: {causes[0].do}")  # pumps wait for it as well
        check_schema(store.engine)
        with store.looking(lock_seconds=min(timeout_seconds, LOOK_LOCK_SECONDS)) as connection:
            if look_at_server(connection).read_only:
                raise read_only()  # so no pump can be at work, which says nothing about it
            if gone := missing(connection):
                return Unasked(gone)
            return look_at_processes(connection, bridge=settings.queue)
    finally:
        store.close()


def _ask_broker(app: Celery, timeout_seconds: float) -> str:
    with connected(app, timeout_seconds=timeout_seconds) as connection:
        ping(connection, seconds=timeout_seconds)
        return str(connection.transport.driver_type)


def _ask_worker(app: Celery, worker: str, timeout_seconds: float) -> bool:
    with connected(app, timeout_seconds=timeout_seconds) as connection:
        return answers_ping(app, connection, worker=worker, seconds=timeout_seconds)
