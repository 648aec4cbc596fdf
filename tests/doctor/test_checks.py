"""What the checks say of facts that are hard to bring about on a real server. Of good facts they say ok."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from bridge.broker.checkup import BrokerSeen, QueueMade, RedisSeen
from bridge.broker.fleet import FleetSeen, TaskSeen, WorkerSeen
from bridge.operate.doctor import CHECKS, Finding, diagnose
from bridge.operate.doctor.facts import AppSeen, ArchiveSeen, Facts, MarkSeen, Unasked
from bridge.settings.bridge import BridgeSettings
from bridge.store.checkup import ClientSeen, DatabaseSeen, LogSeen, ProcessesSeen, Rights, ServerSeen
from bridge.store.locks import Holder
from bridge.store.marks import MarkStatus
from bridge.store.pooler import PoolerSeen

DAY = 86_400.0

SERVER = ServerSeen("bridge", "17.2", "shop", False, False, True, True, "on", 0.0)
LOG = LogSeen("a", 1, 1, False, 9, 9, 9, (), (), (), 1000, DAY)
EVERY = frozenset({"SELECT", "INSERT", "UPDATE", "DELETE"})
PROCESSES = ProcessesSeen(-1.0, "pump-host", 0.1, 1.0, ())
HOLDER = Holder(
    pid=7,
    application="shop",
    role="shop",
    client=None,
    state="idle in transaction",
    age_seconds=600,
    query_start=None,
    query=None,
    gid=None,
    prepared_at=None,
)
CLIENT = ClientSeen(
    id="billing",
    bridge="bridge",
    task="shop.bill",
    tasks=("shop.bill",),
    routes=(),
    queue="fleet",
    topics=("order.*",),
    serializer="json",
    ack_timeout_seconds=3600,
    batch=1,
    batch_as="list",
    report_by="callback",
    state="active",
    state_reason=None,
    state_seconds=None,
    released=False,
    trouble=None,
    delivered=9,
    offset=9,
    age_seconds=100 * DAY,
    parked=0,
)
DATABASE = DatabaseSeen(
    server=SERVER,
    log=LOG,
    rights=(Rights("bridge", True, True, "deliveries", False, EVERY),),
    processes=PROCESSES,
    clients=(CLIENT,),
    topics=("order.created",),
    secret_seconds=DAY,
)
REDIS = RedisSeen("master", False, True, "", "", "noeviction", 0, 1, 0, 2)
BROKER = BrokerSeen(
    kind="redis",
    product="Redis",
    version="7.2.4",
    clock_ahead_seconds=0.0,
    visibility_timeout_seconds=3600,
    redis=REDIS,
)
BRIDGE = WorkerSeen(name="bridge@a", queues=frozenset({"bridge.ticks"}), tasks={}, told=True)
FLEET = WorkerSeen(
    name="fleet@a",
    queues=frozenset({"fleet"}),
    tasks={"shop.bill": TaskSeen(True, False, None)},
    accept_content=("json",),
    told=True,
)
INSTALLED = replace(FLEET, tasks={name: TaskSeen(True, False, None) for name in ("shop.bill", "bridge.commit")})
GOOD = Facts(
    settings=BridgeSettings(),
    app=AppSeen("shop", False, ("json",), {}),
    declared=frozenset(),
    database=DATABASE,
    clock_ahead_seconds=0.0,
    pooler=PoolerSeen("none"),
    broker=BROKER,
    mark=MarkSeen(True, True),
    fleet=FleetSeen(workers=(BRIDGE, FLEET)),
)
MARK = MarkStatus(
    bridge="bridge",
    broker="redis://h",
    serving=True,
    losses=1,
    trouble_kind=None,
    trouble=None,
    trouble_at=None,
    recalling=False,
    seen_seconds=1,
)


def database(**changes: Any) -> Facts:
    return replace(GOOD, database=replace(DATABASE, **changes))


def log(**changes: Any) -> Facts:
    return database(log=LOG._replace(**changes))


def redis(**changes: Any) -> Facts:
    return replace(GOOD, broker=replace(BROKER, redis=REDIS._replace(**changes)))


def client(**changes: Any) -> Facts:
    return database(clients=(replace(CLIENT, **changes),))


def fleet(**changes: Any) -> Facts:
    return replace(GOOD, fleet=FleetSeen(workers=(BRIDGE, replace(FLEET, **changes))))


def complaints(facts: Facts) -> dict[str, str]:
    return {it.check: it.level for it in reversed(diagnose(facts)) if it.level != "ok"}


def test_of_good_facts_every_check_says_ok_in_a_sentence() -> None:
    found = diagnose(GOOD)
    assert [(it.check, it.level) for it in found] == [(check.name, "ok") for check in CHECKS]
    assert all(it.text and it.do is None for it in found)


@pytest.mark.parametrize(
    ("facts", "complaint"),
    [
        (database(server=SERVER._replace(fsync=False)), {"durability": "at-risk"}),
        (
            database(server=SERVER._replace(read_only=True, in_recovery=True)),
            {"database": "at-risk", "pump": "unknown"},
        ),
        (
            database(server=SERVER._replace(read_only=True, in_recovery=True), log=LOG._replace(drawn=-1)),
            {"database": "at-risk", "pump": "unknown"},
        ),
        (log(identity=None, increment=None), {"sequence": "at-risk"}),
        (log(horizon=5), {}),
        (database(log=LOG._replace(horizon=5), holders=(HOLDER,)), {"horizon": "warning"}),
        (log(bytes=60_000_000_000), {"retention": "warning"}),
        (replace(log(bytes=60_000_000_000), settings=BridgeSettings(log_limit="1TB")), {}),
        (replace(log(bytes=900_000_000_000), settings=BridgeSettings(log_limit="1TB")), {"retention": "warning"}),
        (replace(log(oldest_seconds=40 * DAY), settings=BridgeSettings(keep="30d")), {"retention": "warning"}),
        (database(secret_seconds=500 * DAY), {"secret": "warning"}),
        (replace(database(secret_seconds=500 * DAY), settings=BridgeSettings(secret="x" * 32)), {}),
        (database(secret_seconds=None), {}),
        (database(marks=(replace(MARK, recalling=True),)), {"marks": "warning"}),
        (
            database(marks=(replace(MARK, trouble="two logs", trouble_kind="other-log"),)),
            {"marks": "at-risk", "pump": "unknown"},
        ),
        (database(marks=(replace(MARK, trouble="two logs", bridge="another"),)), {}),
        (replace(GOOD, mark=MarkSeen(False, False)), {"marks": "warning"}),
        (replace(GOOD, mark=MarkSeen(True, True, "mark-ahead")), {"marks": "at-risk", "pump": "unknown"}),
        (redis(role="slave"), {"broker": "at-risk"}),
        (redis(cluster=True), {"broker": "at-risk"}),
        (redis(writes_fail="its last snapshot failed"), {"broker": "at-risk"}),
        (redis(appends=False, saves=None), {"persistence": "unknown"}),
        (redis(policy=None), {"eviction": "unknown"}),
        (redis(policy="volatile-lru", limit=100), {}),
        (redis(limit=100, used=95), {"eviction": "at-risk"}),
        (replace(GOOD, broker=replace(BROKER, version="5.0.14")), {"broker": "warning"}),
        (replace(GOOD, broker=BrokerSeen(kind="sqs", product="sqs")), {"broker": "warning"}),
        (replace(GOOD, broker=replace(BROKER, unreadable=3)), {"unreadable": "warning"}),
        (replace(GOOD, archive=Unasked("no such bucket")), {"archive": "warning"}),
        (replace(GOOD, archive=ArchiveSeen(2, 1, 900, 60.0)), {}),
        (database(processes=PROCESSES._replace(pump_seconds=None)), {"pump": "at-risk"}),
        (database(processes=PROCESSES._replace(pump_seconds=90.0), clients=()), {"pump": "warning"}),
        (replace(GOOD, settings=BridgeSettings(interval_seconds=60)), {}),
        (database(processes=PROCESSES._replace(collector_seconds=None)), {"bridge-worker": "at-risk"}),
        (replace(GOOD, app=AppSeen("shop", False, ("json",), {"way": "gone"})), {"celery": "warning"}),
        (fleet(queues=frozenset()), {"consumers": "at-risk"}),
        (client(state="paused", queue="none"), {"consumers": "warning"}),
        (client(state="paused", state_seconds=30 * DAY), {"clients": "warning"}),
        (client(state="halted", released=True), {"clients": "warning"}),
        (client(parked=3), {"clients": "warning"}),
        (fleet(tasks=None), {}),
        (client(report_by="in-process"), {"tasks": "at-risk"}),
        (replace(client(report_by="in-process"), fleet=FleetSeen(workers=(BRIDGE, INSTALLED))), {}),
        (fleet(accept_content=None), {}),
        (fleet(time_limit=7200.0), {"time-limits": "at-risk"}),
        (fleet(visibility_timeout_seconds=60.0), {"visibility-timeout": "at-risk"}),
        (fleet(visibility_timeout_seconds=60.0, time_limit=30.0), {}),
        (client(batch=10, batch_as="calls"), {}),
        (client(delivered=0, offset=-1), {"unused": "warning"}),
        (client(delivered=0, offset=-1, age_seconds=60), {}),
        (replace(GOOD, declared=Unasked("the tasks can't be imported")), {"unused": "unknown"}),
        (database(topics=None, clients=(replace(CLIENT, topics=("none",)),)), {}),
        (database(topics=(), clients=(replace(CLIENT, topics=("none",)),)), {}),
    ],
)
def test_a_fault_is_found_and_nothing_else(facts: Facts, complaint: dict[str, str]) -> None:
    assert complaints(facts) == complaint


def test_a_schema_that_is_behind_says_the_way_out_and_stops_what_rests_on_it() -> None:
    facts = database(log=None, schema_trouble="it is old: run `eventbridge migrate`")
    [schema] = [it for it in diagnose(facts) if it.level == "at-risk"]
    assert (schema.check, schema.text, schema.do) == ("schema", "it is old", "run `eventbridge migrate`")


def test_clocks_are_compared_with_that_of_postgres() -> None:
    found = [it.text for it in diagnose(replace(GOOD, clock_ahead_seconds=-40.0)) if it.check == "clocks"]
    assert found == [
        "the clock of this machine is 40 s behind that of Postgres",
        "the clock of the broker is 40 s behind that of Postgres",
    ]


def test_workers_that_do_not_answer_are_counted_and_nobody_is_accused() -> None:
    facts = replace(fleet(queues=frozenset()), broker=replace(BROKER, redis=REDIS._replace(pollers=3)))
    [found] = [it for it in diagnose(facts) if it.check == "consumers"]
    assert found.level == "unknown" and "1 other on this broker may" in found.text


def test_on_rabbitmq_the_consumers_of_a_queue_count_though_they_do_not_answer() -> None:
    queues = {"fleet": QueueMade(True, 0, 2, True, "classic")}
    facts = replace(
        fleet(queues=frozenset()), broker=BrokerSeen(kind="amqp", product="RabbitMQ", version="3.13", queues=queues)
    )
    assert complaints(facts) == {}


def test_whatever_others_have_written_can_be_shown() -> None:
    hostile = "\x1b[2J\n" + "x" * 10_000
    texts: dict[str, Any] = dict.fromkeys(("task", "queue", "serializer", "trouble", "state_reason"), hostile)
    lists: dict[str, Any] = dict.fromkeys(("tasks", "topics"), (hostile,))
    clients = (replace(CLIENT, **texts), replace(CLIENT, **texts, **lists), replace(CLIENT, **lists, state="halted"))
    workers = replace(FLEET, name=hostile, queues=frozenset({"fleet", hostile}), accept_content=(hostile,))
    facts = replace(database(clients=clients), fleet=FleetSeen(workers=(BRIDGE, workers)))
    found: list[Finding] = diagnose(facts)
    assert len({it.check for it in found if it.level != "ok"}) >= 4
    assert all(it.text.isprintable() and len(it.text) < 2_000 for it in found if it.level != "ok")
    assert all((it.do or "").isprintable() and len(it.do or "") < 2_000 for it in found)
