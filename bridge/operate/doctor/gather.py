"""Gather the facts that the doctor looks at: each source is asked by itself, within a time, and may be away.

It changes nothing. (To look at the mark on RabbitMQ it takes the mark and puts it back, as every bridge worker does.)
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import NamedTuple, TypeVar

from celery import Celery

from bridge.app import bridge_of
from bridge.archive.files import manifests
from bridge.archive.places import place_of
from bridge.broker.checkup import BrokerSeen, look_at_broker
from bridge.broker.conformance import problem_of
from bridge.broker.fast_ways import ALL
from bridge.broker.fleet import FleetSeen, ask_fleet
from bridge.broker.marks import MarkRefused, address, keeper_on
from bridge.broker.queue_length import queue_length
from bridge.contract import ticks_queue, unreadable_queue
from bridge.declare import registrations
from bridge.errors import BridgeError, StoreLocked
from bridge.mark import Mark
from bridge.operate.doctor.deadline import Asking
from bridge.operate.doctor.facts import AppSeen, ArchiveSeen, Facts, MarkSeen, Unasked
from bridge.operate.explain.database import explain_tables
from bridge.operate.registering import import_tasks, name_of
from bridge.operate.workers import connected
from bridge.settings.bridge import BridgeSettings
from bridge.store import Store
from bridge.store.archive import log_identity
from bridge.store.checkup import DatabaseSeen, contradiction, look_at_database, look_at_server
from bridge.store.locks import table_holders
from bridge.store.pooler import PoolerSeen, look_at_pooler
from bridge.wording import one_line

STATEMENT_SECONDS = 5.0
PATIENCE = 8  # time-outs, each of a step; and the statements' time: after so long a source counts as silent
Answer = TypeVar("Answer")


class _Postgres(NamedTuple):
    database: DatabaseSeen | Unasked
    pooler: PoolerSeen | Unasked
    clock_ahead_seconds: float | None = None


class _Broker(NamedTuple):
    broker: BrokerSeen | Unasked
    mark: MarkSeen | Unasked
    fleet: FleetSeen | Unasked


def gather(app: Celery, *, timeout_seconds: float) -> Facts:
    """Ask everything; nothing that is away, frozen or broken is an error.

    Args:
        app: The app.
        timeout_seconds: How long to wait for a connection, and for the workers' answers. All together takes some times
            as long at most.

    Raises:
        ConfigurationError: a setting can't be used.
    """
    settings = bridge_of(app).settings
    declared = _declared(app)  # in this thread: a user's modules expect to be imported in it
    patience = PATIENCE * timeout_seconds + STATEMENT_SECONDS
    postgres = Asking("Postgres", partial(_ask_postgres, app, timeout_seconds)).answer(patience)
    if isinstance(postgres, Unasked):
        postgres = _Postgres(postgres, postgres)
    queues = _queues(settings.queue, postgres.database)
    broker = Asking("the broker", partial(_ask_broker, app, queues, timeout_seconds)).answer(patience)
    if isinstance(broker, Unasked):
        broker = _Broker(broker, broker, broker)
    archive = None
    if settings.archive:
        archive = Asking("the archive", partial(_ask_archive, app, timeout_seconds)).answer(patience)
    return Facts(
        settings=settings,
        app=_app(app),
        declared=declared,
        database=postgres.database,
        clock_ahead_seconds=postgres.clock_ahead_seconds,
        pooler=postgres.pooler,
        broker=broker.broker,
        mark=broker.mark,
        fleet=broker.fleet,
        archive=archive,
    )


def _app(app: Celery) -> AppSeen:
    accepted = app.conf.accept_content
    return AppSeen(
        name=name_of(app),
        eager=bool(app.conf.task_always_eager),
        accept_content=None if accepted is None else tuple(map(str, accepted)),
        slow_ways={way.name: problem for way in ALL if (problem := problem_of(way))},
    )


def _declared(app: Celery) -> frozenset[str] | Unasked:
    try:
        import_tasks(app)
    except BridgeError as error:
        return Unasked(one_line(error))
    return frozenset(it.id for it in registrations())


def _ask_postgres(app: Celery, timeout_seconds: float) -> _Postgres:
    with _store(app, timeout_seconds) as store:
        pooler = _attempt(partial(look_at_pooler, store, bridge_of(app).settings.need_database_url()))
        if isinstance(pooler, Unasked):
            return _Postgres(pooler, pooler)
        if pooler.mode == "statement":
            return _Postgres(Unasked("the pooler takes no transactions"), pooler)
        database = _attempt(partial(_look, store, bridge_of(app).settings))
        return _Postgres(database, pooler, None if isinstance(database, Unasked) else _clock_ahead(store))


def _look(store: Store, settings: BridgeSettings) -> DatabaseSeen | Unasked:
    """Look at the database; where somebody lets nobody read a table, say who."""
    try:
        return look_at_database(store, bridge=settings.queue, interval_seconds=settings.interval_seconds)
    except StoreLocked:
        for cause in explain_tables(table_holders(store)):
            return Unasked(cause.text, cause.do or "")
        raise


def _clock_ahead(store: Store) -> float:
    """Return by how much this machine's clock is ahead of Postgres', as near as a round trip tells."""
    with store.looking(lock_seconds=STATEMENT_SECONDS) as connection:
        before = time.time()
        theirs = look_at_server(connection).clock
        return (before + time.time()) / 2 - theirs


def _ask_broker(app: Celery, queues: Sequence[str], timeout_seconds: float) -> _Broker:
    place = one_line(address(app))
    try:
        with connected(app, timeout_seconds=timeout_seconds) as connection:
            seen = look_at_broker(connection, queues=queues, seconds=timeout_seconds)
            aside = unreadable_queue(bridge_of(app).settings.queue)
            seen = replace(seen, unreadable=queue_length(connection, aside, seconds=timeout_seconds))
            fleet = _attempt(partial(ask_fleet, app, connection, seconds=timeout_seconds))
    except Exception as error:  # whatever it is, the broker can't be asked
        away = Unasked(f"the broker {place} can't be asked: {one_line(error) or type(error).__name__}")
        return _Broker(away, away, away)
    return _Broker(seen, _attempt(partial(_mark, app, timeout_seconds)), fleet)


def _mark(app: Celery, timeout_seconds: float) -> MarkSeen:
    """Read the broker's mark first and Postgres' second: so whatever runs meanwhile, ours can't be behind theirs."""
    queue = bridge_of(app).settings.queue
    keeper = keeper_on(app, queue=queue, connect_timeout_seconds=timeout_seconds)
    if keeper is None:
        return MarkSeen(kept=False, there=False)
    try:
        with keeper.taken() as taken:
            mark = taken.mark
    except MarkRefused:
        return MarkSeen(kept=False, there=False)
    finally:
        keeper.close()
    if not isinstance(mark, Mark):  # none yet, or it is in another process' hands
        return MarkSeen(kept=True, there=mark is not None)
    with _store(app, timeout_seconds) as store:
        found = contradiction(store, mark, bridge=queue)
    return MarkSeen(kept=True, there=True, contradiction=found, log=mark.log)


@contextmanager
def _store(app: Celery, timeout_seconds: float) -> Iterator[Store]:
    """Open a store of the doctor's own, whose statements end soon."""
    store = Store(
        bridge_of(app).settings.need_database_url(),
        connect_timeout_seconds=timeout_seconds,
        statement_timeout_seconds=STATEMENT_SECONDS,
        role="doctor",
    )
    try:
        yield store
    finally:
        store.close()


def _ask_archive(app: Celery, timeout_seconds: float) -> ArchiveSeen:
    """Look at the names of the archive's files and at what they say of themselves; none is opened for its events."""
    place = place_of(bridge_of(app).settings.archive)
    with _store(app, timeout_seconds) as store:
        found = manifests(place, log=log_identity(store).id)
    if not found:
        return ArchiveSeen(0)
    newest = min(place.age_seconds(it.name) for it in (found[0], found[-1]))
    return ArchiveSeen(len(found), min(it.first for it in found), max(it.last for it in found), newest)


def _queues(bridge: str, database: DatabaseSeen | Unasked) -> list[str]:
    clients = () if isinstance(database, Unasked) else database.clients
    theirs = {it.queue for it in clients if it.task is not None and it.bridge == bridge}
    return sorted({bridge, ticks_queue(bridge), *theirs})


def _attempt(ask: Callable[[], Answer]) -> Answer | Unasked:
    """Ask, and say why where there is no answer; the other questions may have one."""
    try:
        return ask()
    except Exception as error:  # of a driver, or of a server that is no server
        return Unasked(one_line(error) or type(error).__name__)
