"""`bridge.Operator`: all that a command does can be done without the command line."""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Iterator
from datetime import datetime, timedelta
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from celery import Celery

import bridge
from bridge.bounds import REASON_CHARACTERS
from bridge.command import bridge as command_line
from bridge.errors import InvalidClient, SchemaMissing, StoreUnavailable, UnknownClient, UsageError
from bridge.operate.user import user_at_host
from tests.conftest import Connect
from tests.support.waiting import wait_until
from tests.support.world import World, offsets

COMMANDS = Path(bridge.__file__).parent / "command"
VERBS = {"drain": "pause", "stop_replays": "replay", "register_declared": "register", "publish_lines": "publish"}


def app_on(url: str) -> Celery:
    app = Celery("shop", set_as_current=False)
    app.conf.update(bridge_database_url=url, broker_url="memory://")
    return app


@pytest.fixture(autouse=True)
def _only_the_test_configures(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("BRIDGE_DATABASE_URL", raising=False)


@pytest.fixture
def operator(database: str) -> Iterator[bridge.Operator]:
    with bridge.Operator(app_on(database), by="the nightly job") as operator:
        yield operator


def test_every_command_but_those_that_run_on_has_a_verb_and_every_verb_says_what_it_does() -> None:
    verbs = {name for name, value in inspect.getmembers(bridge.Operator, inspect.isfunction) if name[0] != "_"}
    assert set(command_line.commands) - {"about", "demo", "exporter"} <= verbs
    assert set(VERBS) <= verbs
    for verb in verbs:
        assert inspect.getdoc(getattr(bridge.Operator, verb)), verb


def test_commands_call_nothing_of_the_store_but_take_its_types() -> None:
    """The command line decides nothing by itself: what it needs of the store are the types of what it shows."""
    taken = [
        (node.module, alias.name)
        for path in COMMANDS.glob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("bridge.store")
        for alias in node.names
    ]
    assert len(taken) > 3
    assert [name for module, name in taken if not inspect.isclass(getattr(import_module(module), name))] == []


def test_a_client_is_registered_seen_stopped_and_removed(operator: bridge.Operator, world: World) -> None:
    done = operator.register("billing", task="shop.bill", topics=("order.*",), window=7)
    assert (done.created, done.offset, done.unknown_task) == (True, -1, None), "this app has no tasks of its own"
    [client] = operator.clients()
    assert (client.id, client.settings["window"], client.is_reader) == ("billing", 7, False)
    assert operator.register("billing", window=8).changed == {"window": (7, 8)}
    assert operator.publish("order.created", {"total": 12}, key="a") == 1
    [row] = operator.status("billing")
    assert (row.state, row.lag_events, row.lag_is_exact, row.window) == ("active", 1, True, 8)
    assert operator.pause("billing", reason="lunch") == "paused"
    causes = operator.explain("billing", ask_broker=False)
    assert (causes[0].kind, causes[0].severity, causes[0].do) == ("paused", "warning", "`eventbridge resume billing`")
    assert operator.resume("billing").was == "paused"
    world.hand_over("billing")
    assert operator.drain("billing") == "draining"
    with pytest.raises(UsageError, match="open delivery"):
        operator.remove("billing")
    assert operator.remove("billing", force=True).open == 1
    assert [entry.action for entry in operator.journal()] == [
        *("remove", "drain", "resume", "pause"),
        *("change", "register"),
    ]
    assert {entry.by for entry in operator.journal("billing")} == {"the nightly job"}


def test_places_are_text_numbers_or_moments(operator: bridge.Operator, world: World) -> None:
    world.client()
    world.publish(None, None, None)
    world.succeed(*world.hand_over())
    [first, *_] = operator.tail(start=1)
    assert isinstance(first.created_at, datetime)
    later = first.created_at + timedelta(days=1)
    places = (1, "1", first.created_at.replace(tzinfo=None) - timedelta(days=1), later, "beginning", "end")
    moved = [operator.seek("c", to=place, dry_run=True).offset for place in places]
    assert moved == [1, 1, 0, 3, -1, 3]
    assert operator.replay("c", start=2, per_second=1).upto == 3
    assert [stopped.upto for stopped in operator.stop_replays("c")] == [3]
    with pytest.raises(UsageError, match="position 'soon'"):
        operator.seek("c", to="soon")


def test_the_log_is_read_from_a_place_or_from_its_end(operator: bridge.Operator) -> None:
    lines = [b'{"topic": "order.created", "payload": %d}' % n for n in range(12)] + [b'{"topic": "rare"}']
    assert operator.publish_lines(lines) == list(range(1, 14))
    assert [event.offset for event in operator.tail()] == list(range(4, 14))
    assert [event.offset for event in operator.tail(topics=["rare"])] == [13]
    assert [event.payload for event in operator.tail(start=2, most=2)] == [1, 2]


def test_all_parked_events_have_to_be_asked_for(operator: bridge.Operator, world: World) -> None:
    world.client(max_attempts=1)
    world.publish("a", "b", None)
    world.fail(*world.hand_over())
    assert [event.offset for event in operator.parked("c", keys=["a", "b"])] == [2, 1]
    for verb in (operator.redrive, operator.discard, operator.count_parked):
        wrongs: list[dict[str, Any]] = [{}, {"everything": True, "keys": ["a"]}]
        for wrong in wrongs:
            with pytest.raises(UsageError, match="say which parked events of client 'c'"):
                verb("c", **wrong)
    assert operator.count_parked("c", error_types=["ValueError"]) == 3
    assert operator.discard("c", offsets=[1]) == [1]
    assert operator.redrive("c", everything=True) == [2, 3]
    assert offsets(world.hand_over()) == [2, 3]
    with pytest.raises(UnknownClient):
        operator.count_parked("nobody", everything=True)


def test_errors_say_what_to_do_and_a_bad_setting_is_refused_before_anything_is_asked(empty_database: str) -> None:
    operator = bridge.Operator(app_on(empty_database))
    with pytest.raises(SchemaMissing, match="run `eventbridge migrate`"):
        operator.status()
    away = bridge.Operator(app_on("postgresql://127.0.0.1:1/nothing"))
    with pytest.raises(InvalidClient, match="window is 0"):
        away.register("billing", task="shop.bill", window=0)
    with pytest.raises(StoreUnavailable):
        away.register("billing", task="shop.bill")
    with pytest.raises(StoreUnavailable):
        away.migrate()


@pytest.mark.parametrize("of", [str, app_on], ids=["url", "app"])
def test_the_schema_is_made_from_an_app_or_a_url(empty_database: str, connect: Connect, of: type[str]) -> None:
    assert bridge.migrate(of(empty_database)) == ["0001"]
    assert bridge.migrate(of(empty_database)) == []
    eyes = connect(empty_database)
    assert eyes.execute("SELECT count(*) FROM fq.clients").fetchone() == (0,)


def test_it_closes_its_connections_and_opens_new_ones_when_it_is_used_again(database: str, connect: Connect) -> None:
    eyes = connect()

    def sessions() -> int:
        found = eyes.execute(
            "SELECT pid FROM pg_stat_activity WHERE application_name LIKE 'celery-event-bridge%%' AND datname = %s",
            [eyes.info.dbname],
        )
        return len(found.fetchall())

    operator = bridge.Operator(app_on(database))
    assert sessions() == 0
    with operator:
        assert operator.status() == []
        assert sessions() > 0
    wait_until(lambda: sessions() == 0, what="its sessions have ended")
    assert operator.status() == []
    assert sessions() > 0
    operator.close()


def test_by_default_the_journal_names_the_user_and_the_host(database: str) -> None:
    assert bridge.Operator(app_on(database)).by == user_at_host()
    assert re.fullmatch(r"[^@]+@[^@]+", user_at_host())


@pytest.mark.parametrize("reason", ["a\0b \ud800", "\x1b[31m\n\u2028", "x" * 1_000_000, "\\u0000"])
def test_g10_a_reason_of_any_text_is_kept_as_postgres_can_hold_it_and_at_a_bounded_length(
    operator: bridge.Operator, world: World, reason: str
) -> None:
    world.client()
    world.publish(None, None)
    world.hand_over()
    assert operator.discard("c", offsets=[1], reason=reason) == [1]
    operator.pause("c", reason=reason)
    operator.recall("c", reason=reason)
    operator.release("c", reason=reason)
    operator.remove("c", force=True, reason=reason)
    deeds = [it for it in operator.journal("c", most=20) if it.details.get("reason")]
    kept = {str(it.details["reason"]).removeprefix("released: ") for it in deeds}
    assert len(kept) == 1, "the same everywhere"
    [text] = kept
    assert len(text) <= REASON_CHARACTERS + 20
    assert text == reason or len(reason) > REASON_CHARACTERS or text == r"a\x00b \ud800"
