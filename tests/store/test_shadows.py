"""Names in our SQL mean what Postgres means by them, whatever other schemas hold and wherever a session looks first."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from typing import Any
from urllib.parse import urlsplit

import psycopg
import pytest
from celery import Celery
from sqlalchemy import text

import bridge
from bridge.store import Store, rounds
from bridge.store.migrate import check_schema, migrate
from bridge.store.secret import read_secret
from tests.conftest import Connect
from tests.store.shadows import cast_shadows, sprung, words
from tests.support.pgbouncer import pgbouncer
from tests.support.world import World

SEED = """INSERT INTO fq.events (payload) VALUES ('{"name": "first event"}') RETURNING *"""
UNFIXED = """
SELECT CAST(CAST(p.oid AS regprocedure) AS text) FROM pg_proc p
 WHERE p.pronamespace = 'fq'::regnamespace AND p.prosqlbody IS NULL
   AND NOT coalesce(p.proconfig, '{}') @> '{"search_path=pg_catalog, pg_temp"}'
"""
WORDS = """
SELECT o."offset", b.key, r.allowed, s.*, m.body, fq.window_of(c) AS w, fq.refill_at(c) AS r, fq.verdict(c) AS v
  FROM fq.clients c CROSS JOIN fq.open('c') o CROSS JOIN fq.taken_keys('c') b CROSS JOIN fq.replays_of('c') r
 CROSS JOIN fq.client_settings s CROSS JOIN fq.events e CROSS JOIN LATERAL fq.message_of(e, 'c', 1, 1, 'event') m
"""
REFUSED = ["UPDATE fq.events SET topic = 'x'", "DELETE FROM fq.events", "TRUNCATE fq.journal"]

Door = Callable[[str], str]


@pytest.fixture
def pooled(postgres_url: str) -> Iterator[Door]:
    with pgbouncer(postgres_url, mode="transaction", size=2) as port:

        def door(url: str) -> str:
            parts = urlsplit(url)
            return parts._replace(netloc=f"{parts.netloc.rpartition('@')[0]}@127.0.0.1:{port}").geturl()

        yield door


def test_g10_every_function_of_the_schema_has_bound_names_or_a_fixed_search_path(connect: Connect) -> None:
    assert connect().execute(UNFIXED).fetchall() == []


def test_g10_the_words_of_the_schema_are_still_put_in_place_of_their_calls(connect: Connect) -> None:
    plan = "\n".join(line for (line,) in connect().execute(f"EXPLAIN VERBOSE {WORDS}".encode()).fetchall())
    assert "Function Scan" not in plan
    assert [name for name in ("window_of", "refill_at", "verdict", "body") if f"fq.{name}(" in plan] == []


def test_the_shadows_know_what_our_sql_names() -> None:
    assert {"to_json", "jsonb_array_elements", "set_config", "count", "pg_locks", "jsonb", "unnest"} <= set(words())


@pytest.mark.parametrize("way", ["in public", "first in every search path", "in public, through a pooler"])
def test_g10_no_shadow_of_a_name_in_our_sql_is_ever_called(
    request: pytest.FixtureRequest, empty_database: str, connect: Connect, way: str
) -> None:
    schema = "first" if "first" in way else "public"
    door: Door = request.getfixturevalue("pooled") if "pooler" in way else str
    attacker = connect(empty_database)
    attacker.execute(f"CREATE SCHEMA IF NOT EXISTS {schema}".encode())
    attacker.execute(f"GRANT USAGE ON SCHEMA {schema} TO PUBLIC".encode())
    if schema == "first":
        name = urlsplit(empty_database).path.removeprefix("/")
        for owner in (f"DATABASE {name}", f"ROLE CURRENT_USER IN DATABASE {name}"):
            attacker.execute(f"ALTER {owner} SET search_path = first, public, fq, pg_catalog".encode())
    assert cast_shadows(attacker, schema) > 5000
    with ExitStack() as stack:
        live(empty_database, door, stack, connect)
    assert not sprung(attacker, schema)
    victim = connect(empty_database)
    with pytest.raises(psycopg.errors.RaiseException, match="a shadow was called"):
        victim.execute("SELECT to_json(CAST('x' AS text))")
    assert sprung(attacker, schema), "the traps work"


def live(url: str, door: Door, stack: ExitStack, connect: Connect) -> None:
    """Take events and clients through all that can happen to them."""
    store = Store(door(url))
    stack.callback(store.close)
    assert migrate(store.engine)
    assert migrate(store.engine) == []
    check_schema(store.engine)
    eyes = connect(url)
    eyes.execute("SELECT pg_catalog.set_config('search_path', 'pg_catalog, pg_temp', false)")
    world = World(store, eyes)
    app = Celery("shop", broker="memory://")
    app.conf.bridge_database_url = door(url)
    operator = stack.enter_context(bridge.Operator(app, by="me"))
    operator.register(
        "c", task="t", max_attempts=2, backoff_seconds=0.001, topics=["order.#", "event"], start="beginning"
    )
    write(store, connect(door(url), prepare_threshold=None), operator)
    handle(world, operator, connect(door(url), prepare_threshold=None))
    look(world, operator)
    refuse(connect(door(url), prepare_threshold=None))
    operator.remove("c", force=True)


def write(store: Store, caller: psycopg.Connection[Any], operator: bridge.Operator) -> None:
    """Publish in every way, with the search path of the caller and with others."""
    caller.execute(SEED)
    for path in ("fq", "", "pg_temp, fq"):
        with caller.transaction():
            caller.execute(f"SET LOCAL search_path = {path or chr(39) * 2}".encode())
            caller.execute("CREATE DOMAIN pg_temp.jsonb AS pg_catalog.jsonb CHECK (false)")
            bridge.publish(caller, "order.paid", {"n": 1}, key="k")
            bridge.publish_many(caller, [("order.paid", {}), ("order.paid", None, None, {"a": 1}), ("order.x", 1, "k")])
            caller.execute("DROP DOMAIN pg_temp.jsonb")
    first = bridge.publish(caller, "order.paid", {"n": 1}, key="k", headers={"traceparent": "x"})
    assert bridge.publish_many(caller, [("order.paid", {}, "k")] * 3) == [first + 1, first + 2, first + 3]
    with store.transaction() as connection:
        connection.execute(text("SET LOCAL search_path = first, public, fq, pg_catalog"))
        assert bridge.publish(connection, "order.paid", {}) == first + 4
        assert bridge.publish_many(connection, [("order.paid", {})]) == [first + 5]
    operator.publish("order.paid", {"by": "the operator", "large": "x" * 10_000}, key="large")
    caller.execute("""SELECT * FROM fq.put('{"n": 1}', 'order.created', 'order-1')""")
    assert len(caller.execute("SELECT * FROM fq.get('reader')").fetchall()) == 1
    assert caller.execute("""SELECT "offset" FROM fq.commit('reader', 1)""").fetchone() == (1,)


def handle(world: World, operator: bridge.Operator, caller: psycopg.Connection[Any]) -> None:
    """Hand events over, let them succeed, fail, be parked and redriven, move the cursor and replay."""
    horizon = world.ask('SELECT max("offset") FROM fq.events')
    assert rounds.clients_to_serve(world.store, horizon=horizon) == ["c"]
    rounds.take_turn(world.store, holder="me", seconds=60)
    assert rounds.wait_for_work(world.store, holder="me", seconds=5, poll_seconds=0.01)[:3] == (True, True, False)
    first, second, *others = world.hand_over()
    for event in (json.loads(first.body), {**json.loads(first.body), "attempt": 77}):
        for _ in range(2):  # it is done then, or was never handed over so often
            with suppress(bridge.AlreadyDone), bridge.transaction(event, caller):
                assert event["attempt"] == 1
    assert world.succeed(first, *others).succeeded == 1 + len(others)
    assert world.fail(second).retried == 1
    world.make_due()
    again = next(d for d in world.hand_over() if d.offset == second.offset)
    assert world.fail(again).parked == 1
    assert [parked.offset for parked in operator.parked("c")] == [second.offset]
    assert operator.redrive("c", everything=True) == [second.offset]
    while deliveries := world.hand_over():
        assert sum(world.fail(*deliveries)) > 0
        world.make_due()
    assert operator.discard("c", everything=True)
    operator.publish("order.paid", {}, key="open")
    operator.publish("order.paid", {}, key="open")
    *_, opened = world.hand_over()
    assert operator.discard("c", offsets=[opened.offset, opened.offset + 1], reason="why")
    operator.replay("c", start="beginning", per_second=1000)
    while deliveries := world.hand_over():
        assert world.succeed(*deliveries).succeeded
    operator.seek("c", to="beginning", dry_run=True)
    operator.seek("c", to="beginning")
    operator.seek("c", to="2026-01-31T12:00:00+00:00")
    assert world.hand_over()
    world.make_due()
    world.hand_over()


def look(world: World, operator: bridge.Operator) -> None:
    """Read all that can be read, and let the pump do what it does beside passes."""
    assert [row.client for row in operator.status()] == ["c", "reader"]
    assert operator.explain("c", ask_broker=False)
    assert len(list(operator.tail(start="beginning"))) > 10
    assert operator.journal()
    assert operator.clients()
    assert read_secret(world.store)
    rounds.pass_over(world.store, horizon=world.last(), slice=1000)
    rounds.note_trouble(world.store, client="c", trouble="none")
    operator.pause("c", reason="why")
    operator.resume("c")
    operator.drain("c")


def refuse(caller: psycopg.Connection[Any]) -> None:
    """Meet every trigger from a session that looks up names as it likes."""
    for statement in REFUSED:
        with pytest.raises(psycopg.Error) as refused:
            caller.execute(statement.encode())
        assert refused.value.sqlstate == "FQ001"
    with pytest.raises(psycopg.Error) as refused:
        caller.execute("""UPDATE fq.clients SET "offset" = 1000""")
    assert refused.value.sqlstate == "FQ002"
    caller.execute("INSERT INTO fq.clients (id, task, topics) VALUES ('other', 't', '{a.*,b.#}')")
    caller.execute("UPDATE fq.clients SET task = NULL")
    caller.execute("UPDATE fq.clients SET task = 't'")
