"""Declared clients: what they take from their app, what the journal says of them, and what is declared no more."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any

import pytest
from celery import Celery
from kombu import Queue

import bridge
from bridge.app import bridge_of
from bridge.declare import options_left_out, registrations
from bridge.errors import InvalidClient
from bridge.operate.user import user_at_host
from bridge.pump.declared import Declared
from bridge.settings.client import ClientSettings
from tests.support.world import World


@pytest.fixture(autouse=True)
def declared(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bridge.declare._declared", {})


@pytest.fixture
def app(database: str) -> Iterator[Celery]:
    with Celery("shop", broker="memory://", set_as_current=False) as app:
        app.conf.bridge_database_url = database
        yield app


def task(app: Celery, name: str, **options: Any) -> Any:
    def handle(event: dict[str, Any]) -> None: ...

    routed = {option: options.pop(option) for option in ("queue", "priority") if option in options}
    it = app.task(name=name, shared=False, **options)(handle)
    for option, value in routed.items():  # of a task's class they are deprecated since Celery 5.7
        setattr(it, option, value)
    return it


def operator(app: Celery) -> bridge.Operator:
    return bridge.Operator(app)


def settings_of(world: World, client: str, *names: str) -> tuple[Any, ...]:
    row = world.row(client)
    return tuple(row[name] for name in names)


def journal(world: World) -> list[tuple[str, str, str, Any]]:
    return world.eyes.execute("SELECT client_id, action, by, details FROM fq.journal ORDER BY id").fetchall()


def test_a_declared_client_goes_where_its_app_sends_the_task(app: Celery, world: World) -> None:
    app.conf.update(
        task_default_queue="shop",
        task_serializer="yaml",
        task_default_priority=3,
        task_queues=[Queue("shop"), Queue("bills"), Queue("mail"), Queue("own")],
        task_routes={"shop.bill": {"queue": "bills"}, "shop.mail*": {"queue": "mail", "priority": 7}},
    )
    tasks: dict[str, dict[str, Any]] = {
        "plain": {},
        "bill": {},
        "mail": {"serializer": "json"},
        "own": {"queue": "own", "priority": 9},
    }
    for name, options in tasks.items():
        bridge.client(name)(task(app, f"shop.{name}", **options))
    bridge.client("given", queue="mine", priority=0, serializer="msgpack")(task(app, "shop.given"))
    done = operator(app).register_declared()
    assert (len(done.registered), done.refused) == (5, {})
    wanted = ("queue", "serializer", "priority")
    assert {id: settings_of(world, id, *wanted) for id in ("plain", "bill", "mail", "own", "given")} == {
        "plain": ("shop", "yaml", 3),
        "bill": ("bills", "yaml", 3),
        "mail": ("mail", "json", 3),  # as with .delay(): a default priority is the task's own, and wins over a route
        "own": ("own", "yaml", 9),
        "given": ("mine", "msgpack", 0),
    }


def test_a_client_that_exists_keeps_its_queue_and_register_says_that_the_app_has_another(
    app: Celery, world: World
) -> None:
    bridge.client("billing")(task(app, "shop.bill"))
    operator(app).register_declared()
    app.conf.task_routes = {"shop.bill": {"queue": "bills"}}
    app.amqp.flush_routes()
    vars(app.amqp).pop("router", None)  # as in a new process
    [again] = operator(app).register_declared().registered
    assert settings_of(world, "billing", "queue") == ("celery",)
    [note] = again.notes
    assert "sent to queue 'bills' by its app" in note
    assert "`eventbridge register billing --queue bills` lets them follow" in note
    moved = operator(app).register("billing", queue="bills")
    assert (settings_of(world, "billing", "queue"), moved.notes) == (("bills",), ())


def test_the_bridge_s_own_queue_and_a_router_that_raises_are_no_place_for_events(
    app: Celery, world: World, caplog: pytest.LogCaptureFixture
) -> None:
    def route(*_: Any, **__: Any) -> None:
        raise LookupError("no idea")

    app.conf.task_default_queue = "bridge"
    bridge.client("billing")(task(app, "shop.bill"))
    app.conf.task_routes = [route]
    bridge.client("other")(task(app, "shop.other"))
    operator(app).register_declared()
    assert [settings_of(world, id, "queue") for id in ("billing", "other")] == [("celery",)] * 2
    assert "no idea" in caplog.text


def test_what_register_is_told_of_a_known_task_follows_the_app_too_and_an_unknown_one_does_not(
    app: Celery, world: World
) -> None:
    app.conf.update(task_default_queue="shop")
    task(app, "shop.bill")
    operator(app).register("known", task="shop.bill")
    operator(app).register("unknown", task="fleet.bill")
    assert [settings_of(world, id, "queue") for id in ("known", "unknown")] == [("shop",), ("celery",)]


def test_an_expiry_is_refused_and_that_of_a_task_is_named_because_it_is_left_out(app: Celery) -> None:
    with pytest.raises(InvalidClient, match="no setting 'expires': an expired message is never answered"):
        bridge.client("billing", expires=60)  # type: ignore[arg-type]
    with pytest.raises(InvalidClient, match="it is called time_limit_seconds"):
        operator(app).register("billing", task="shop.bill", time_limit=5)
    it = task(app, "shop.bill", expires=60, time_limit=7200)
    settings = ClientSettings(id="billing", task=it.name)
    expires, limit = options_left_out(app, settings, {})
    assert expires.startswith("task shop.bill has expires=60, and its events are sent without")
    assert "may run for 7200 s, and the lease of client billing ends after 3600" in limit
    longer = ClientSettings(id="billing", task=it.name, ack_timeout_seconds=9000)
    assert list(options_left_out(app, longer, {})) == [expires]


def test_a_time_limit_must_be_below_the_lease() -> None:
    with pytest.raises(InvalidClient, match="must be below ack_timeout_seconds 60"):
        ClientSettings(id="c", task="t", time_limit_seconds=60, ack_timeout_seconds=60)
    with pytest.raises(InvalidClient, match="soft_time_limit_seconds must be below time_limit_seconds 30"):
        ClientSettings(id="c", task="t", time_limit_seconds=30, soft_time_limit_seconds=30)
    ClientSettings(id="c", task="t", time_limit_seconds=30, soft_time_limit_seconds=20, ack_timeout_seconds=60)


def test_every_registration_and_change_is_in_the_journal_with_old_and_new_value(app: Celery, world: World) -> None:
    bridge.client("billing", window=7)(task(app, "shop.bill"))
    Declared(bridge_of(app)).register()
    operator(app).register("billing", rate="5/s", topics=["order.*"])
    operator(app).register("billing", rate="5/s")
    bridge.client("billing", window=8)(app.tasks["shop.bill"])
    Declared(bridge_of(app)).register()
    world.eyes.execute("UPDATE fq.clients SET max_attempts = 9 WHERE id = 'billing'")
    registered, *changes = journal(world)
    assert (*registered[:3], registered[3]["offset"], registered[3]["settings"]["window"]) == (
        *("billing", "register", "bridge"),
        *(-1, 7),
    )
    assert changes == [
        (
            *("billing", "change", user_at_host()),
            {"rate": {"from": "", "to": "5/s"}, "topics": {"from": ["#"], "to": ["order.*"]}},
        ),
        ("billing", "change", "bridge", {"window": {"from": 7, "to": 8}}),
        ("billing", "change", "postgres in SQL", {"max_attempts": {"from": 5, "to": 9}}),
    ]


def test_neither_a_pass_nor_an_outcome_nor_a_plain_reader_is_a_change(world: World) -> None:
    world.client()
    world.publish(*"ab")
    world.succeed(*world.hand_over())
    world.eyes.execute("SELECT fq.commit('reader', 1)")
    world.eyes.execute("SELECT fq.commit('reader', 2)")
    assert [(client, action) for client, action, *_ in journal(world)] == [("c", "register")]
    world.eyes.execute("UPDATE fq.clients SET task = 'x' WHERE id = 'reader'")
    assert [(client, action) for client, action, *_ in journal(world)][1:] == [("reader", "register")]


def test_a_long_value_is_cut_off_in_the_journal(world: World) -> None:
    world.client(routes=[(f"a{n}", "task") for n in range(500)])
    [(_, _, _, details)] = journal(world)
    assert len(details["settings"]["routes"]) == 1001


def test_the_journal_s_settings_are_those_that_there_are(world: World) -> None:
    world.client()
    [(_, _, _, details)] = journal(world)
    assert set(details["settings"]) == set(ClientSettings.__slots__) - {"id"}
    columns = world.eyes.execute(
        "SELECT array_agg(attname::text) FROM pg_trigger t JOIN pg_attribute a ON a.attrelid = t.tgrelid"
        " AND a.attnum = ANY (t.tgattr) WHERE tgname = 'clients_changed'"
    ).fetchone()
    assert columns is not None
    assert set(columns[0]) == set(details["settings"])


def test_what_the_code_declares_no_more_is_named_and_nothing_else(
    app: Celery, world: World, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    world.client("by-hand")
    for id in ("billing", "mail", "by-hand", "adopted"):
        bridge.client(id)(task(app, f"shop.{id}" if id != "by-hand" else "fleet.handle"))
    Declared(bridge_of(app)).register()
    with Celery("another", broker="memory://", set_as_current=False) as other:
        other.conf.bridge_database_url = app.conf.bridge_database_url
        bridge.client("theirs")(task(other, "other.theirs"))
        Declared(bridge_of(other)).register()
        bridge_of(other).store.close()
    monkeypatch.setattr("bridge.declare._declared", {})
    bridge.client("mail")(app.tasks["shop.mail"])
    operator(app).register("adopted", window=9)  # the code does not declare it: now it is this person's
    assert [it.id for it in operator(app).undeclared()] == ["billing"]
    caplog.set_level(logging.WARNING)
    pump = Declared(bridge_of(app))
    pump.register()
    assert pump.is_registered
    assert "client billing is not declared any more" in caplog.text
    named = {row.client: row.undeclared_at is not None for row in operator(app).status()}
    assert {client for client, is_gone in named.items() if is_gone} == {"billing"}
    bridge.client("billing")(app.tasks["shop.billing"])
    Declared(bridge_of(app)).register()
    assert not any(row.undeclared_at for row in operator(app).status())


def test_a_client_that_another_transaction_holds_is_named_later(
    app: Celery, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    bridge.client("billing")(task(app, "shop.bill"))
    Declared(bridge_of(app)).register()
    monkeypatch.setattr("bridge.declare._declared", {})
    pump = Declared(bridge_of(app))
    with world.eyes.transaction():
        world.eyes.execute("SELECT FROM fq.clients FOR UPDATE")
        pump.register()
        assert not pump.is_registered
    pump.register()
    assert pump.is_registered
    assert world.row("billing")["undeclared_at"] is not None


def test_a_declaration_says_whose_it_is(app: Celery) -> None:
    bridge.client("billing")(task(app, "shop.bill"))
    assert [it.declared_by for it in registrations()] == ["shop"]
    with Celery(set_as_current=False) as nameless:
        assert [it.declared_by for it in registrations(nameless)] == ["default"]
