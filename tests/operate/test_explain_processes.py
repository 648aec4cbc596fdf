"""What explains a standstill outside of a client: open transactions, the pump, the broker and its workers."""

from __future__ import annotations

from itertools import repeat
from pathlib import Path
from typing import Any

import pytest
from celery import Celery

from bridge.errors import LogRewound
from bridge.operate.workers import WorkersSeen, tasks_unknown
from bridge.store.clients import ListedClient
from bridge.store.horizon import advance_horizon
from tests.conftest import Connect, StartWorker
from tests.operate.explaining import asked, causes, kinds, the
from tests.operate.replaying import finished
from tests.support.waiting import wait_until
from tests.support.world import World

pytestmark = pytest.mark.usefixtures("pumped")


def test_an_open_writer_holds_the_horizon_and_is_named(world: World, connect: Connect) -> None:
    finished(world, None)
    writer = connect(autocommit=False, application_name="checkout")
    writer.execute("INSERT INTO fq.events (topic) VALUES ('order.created')")
    assert "the log is final up to 1" in the("caught-up", causes(world)).text
    writer.execute("SELECT 'a query that is  long'")
    world.publish(None)
    assert world.hand_over() == []
    cause = the("horizon-held", found := causes(world))
    assert "the horizon stands at 1, and offsets up to 3 are drawn" in cause.text
    assert f"pid {writer.info.backend_pid} (checkout)" in cause.text
    assert "idle in transaction" in cause.text
    assert "SELECT 'a query that is long'" in cause.text
    assert f"pg_terminate_backend({writer.info.backend_pid})" in (cause.do or "")
    assert "caught-up" not in [cause.kind for cause in found]
    writer.rollback()
    assert "horizon-held" not in kinds(world)


def test_a_prepared_transaction_holds_the_horizon_and_is_named(world: World, connect: Connect) -> None:
    finished(world, None)
    writer = connect()
    writer.execute("BEGIN")
    writer.execute("INSERT INTO fq.events (topic) VALUES ('order.created')")
    writer.execute("PREPARE TRANSACTION 'it''s two'")
    cause = the("horizon-held", causes(world))
    assert "the prepared transaction 'it''s two' of " in cause.text
    assert cause.data["gid"] == "it's two"
    assert cause.data["age_seconds"] is not None
    assert cause.do == "in this database, COMMIT PREPARED or ROLLBACK PREPARED 'it''s two'"
    writer.execute("ROLLBACK PREPARED 'it''s two'")
    assert "horizon-held" not in kinds(world)


def test_many_writers_are_counted_and_the_oldest_named(world: World, connect: Connect) -> None:
    world.client()
    writers = [connect(autocommit=False) for _ in range(5)]
    for writer in writers:
        writer.execute("INSERT INTO fq.events DEFAULT VALUES")
    held = [cause for cause in causes(world) if cause.kind == "horizon-held"]
    assert [cause.data.get("pid") for cause in held] == [*(w.info.backend_pid for w in writers[:3]), None]
    assert "2 younger transactions" in held[-1].text


def test_a_transaction_that_wrote_no_events_is_not_blamed(world: World, connect: Connect) -> None:
    finished(world, None)
    reader = connect(autocommit=False)
    reader.execute("SELECT count(*) FROM fq.events")
    reader.execute("CREATE TEMPORARY TABLE mine (id integer)")
    assert kinds(world) == ["caught-up"]


def test_a_pump_that_never_came_or_came_long_ago_is_missed(world: World) -> None:
    finished(world, None)
    world.eyes.execute("UPDATE fq.turns SET expires_at = now() - interval '3 hours'")
    cause = the("no-pump", causes(world))
    assert cause.text == "no pump has run for 3 h: nothing is handed over to any client"
    assert "celery beat" in (cause.do or "")
    world.eyes.execute("UPDATE fq.turns SET expires_at = now() - interval '1 second'")
    assert "no-pump" not in kinds(world)
    world.eyes.execute("DELETE FROM fq.turns")
    assert "no pump has ever run" in the("no-pump", causes(world)).text


def test_a_pump_that_does_not_linger_is_missed_only_when_events_wait(world: World) -> None:
    world.client()
    world.eyes.execute("DELETE FROM fq.turns")
    assert "no-pump" not in kinds(world, lingers=False)
    world.publish(None)
    assert "no-pump" not in kinds(world, lingers=False), "it was published just now"
    world.eyes.execute("INSERT INTO fq.events (topic, created_at) VALUES ('a', now() - interval '3 hours')")
    assert "an event has waited for 3 h, and no pump has taken it" in the("no-pump", causes(world, lingers=False)).text


def test_a_sequence_behind_the_horizon_comes_first(world: World) -> None:
    finished(world, None, None, None)
    world.eyes.execute("SELECT setval(pg_get_serial_sequence('fq.events', 'offset'), 1)")
    with pytest.raises(LogRewound):
        advance_horizon(world.store)
    cause = causes(world)[0]
    assert cause.kind == "rewound"
    assert "stands at 1, behind the horizon 3" in cause.text
    assert "eventbridge resync" in (cause.do or "")


def test_a_queue_that_nobody_consumes_is_named_with_its_length(world: World) -> None:
    finished(world, None)
    found = causes(world, seen=WorkersSeen(answered=1, bridge_workers=("bridge@here",), messages=7))
    assert the("no-consumer", found).text == (
        "no worker consumes queue 'celery', in which 7 messages wait (1 worker answered)"
    )
    assert "no-bridge-worker" not in [cause.kind for cause in found]
    found = causes(world, seen=WorkersSeen(answered=1, consumers=("fleet@here",), messages=0), bridge_queue="b")
    assert "queue 'b' (1 worker answered)" in the("no-bridge-worker", found).text
    found = causes(world, seen=WorkersSeen(answered=2, consumers=("f@1", "f@2"), bridge_workers=("b",), messages=3))
    assert the("backlog", found).text == "3 messages wait in queue 'celery' for 2 workers"
    found = causes(world, seen=WorkersSeen(answered=2, consumers=("f@1", "f@2"), bridge_workers=("b",), messages=0))
    assert [cause.kind for cause in found] == ["caught-up"]


def test_the_broker_says_who_consumes_a_queue_and_how_long_it_is(
    redis_url: str, worker: StartWorker, tmp_path: Path
) -> None:
    (tmp_path / "answering.py").write_text(
        "from celery import Celery\napp = Celery('answering')\n@app.task(name='shop.known')\ndef known(): ...\n",
        encoding="utf-8",
    )
    worker("answering", directory=tmp_path, queues=["orders"], pool="solo", name="shop")
    app = Celery("asking", broker=redis_url, set_as_current=False)
    for _ in range(3):
        app.send_task("nobody.knows", queue="empty")
    # It always waits that long: so, not long, but again.
    answers = (asked(redis_url, queue="empty", bridge_queue="orders", timeout_seconds=1) for _ in repeat(None))
    found = wait_until(lambda: it if (it := next(answers)).answered else None, what="the worker answers")
    assert found is not None
    assert (found.trouble, found.answered, found.consumers, found.messages) == (None, 1, (), 3)
    assert len(found.bridge_workers) == 1 and "shop" in found.bridge_workers[0]
    assert asked(redis_url, queue="missing", timeout_seconds=1).messages == 0

    def client(id: str, **settings: Any) -> ListedClient:
        its = {"queue": "orders", "task": "shop.known", "routes": [], **settings}
        return ListedClient(id=id, state="active", offset=-1, settings=its)

    clients = [
        client("known"),
        client("unknown", task="shop.bill", routes=[("a", "shop.known"), ("b", "shop.pay")]),
        client("elsewhere", task="shop.bill", queue="nobody-consumes"),
    ]
    assert tasks_unknown(app, clients, timeout_seconds=1) == {
        "unknown": "client unknown: none of 1 worker on queue 'orders' knows task shop.bill, shop.pay"
    }
    app.close()
    away = Celery("away", broker="redis://127.0.0.1:1/0", set_as_current=False)
    assert tasks_unknown(away, clients, timeout_seconds=0.5) == {}
    away.close()


def test_a_broker_with_nobody_on_it_answers_too(redis_url: str) -> None:
    assert asked(redis_url, queue="orders", timeout_seconds=0.2) == WorkersSeen(messages=0, unreadable=0, callbacks=0)


def test_a_broker_that_is_away_is_a_cause_and_no_error(world: World) -> None:
    found = asked("redis://127.0.0.1:1/0", queue="orders", timeout_seconds=0.5)
    assert found.trouble is not None and "127.0.0.1:1/0 is not available" in found.trouble
    finished(world, None)
    assert the("broker-away", causes(world, seen=found)).text == found.trouble
