"""What is measured: the words and numbers of `status`, counters that only grow, and a bound for everything."""

from __future__ import annotations

from typing import Any

import pytest

from bridge.metrics.definitions import METRICS, OTHER, UNKNOWN, Distribution, label
from bridge.metrics.reading import Snapshot
from bridge.sql import statement
from bridge.store import Store, durations, metrics
from bridge.store.clients import list_clients
from bridge.store.durations import durations_of, note_durations
from bridge.store.horizon import advance_horizon
from bridge.store.metrics import read_numbers
from bridge.store.migrate import migrate
from bridge.store.recall import recall_all
from bridge.store.rounds import note_beat
from bridge.store.status import read_status
from tests.conftest import Connect
from tests.store.roles import MONITOR, logins
from tests.support.plans import explain, pages_of
from tests.support.world import World

Values = dict[tuple[str, ...], Any]
FEW_PAGES = 60


def snapshot(world: World, store: Store | None = None) -> Snapshot:
    numbers = read_numbers(store or world.store, bridge="bridge", interval_seconds=1)
    return Snapshot(bridge="bridge", numbers=numbers, broker=None, keep_seconds=None, log_limit_bytes=None)


def values(world: World, name: str) -> Values:
    """The values of a metric by its labels."""
    [metric] = [it for it in METRICS if it.name == name]
    return {sample.labels: sample.value for sample in metric.read(snapshot(world))}


def of(world: World, name: str, client: str = "c") -> Any:
    return values(world, f"bridge_client_{name}")[client,]


def test_the_numbers_of_a_client_are_those_of_status(world: World) -> None:
    world.client(topics=("order.#",), max_attempts=1, window=7)
    world.publish("a", "a", "a", "b", None, None)
    world.publish(None, topic="other")
    [first, *_] = [it for it in world.hand_over() if it.offset == 4]
    world.fail(first)
    [status] = read_status(world.store)
    assert (status.lag_events, status.open, status.waiting, status.parked) == (6, 3, 2, 1), "there is something to see"
    for word in ("lag_events", "open", "window", "waiting", "retrying", "parked"):
        assert of(world, word) == getattr(status, word), word
    for word in ("delivered", "succeeded"):
        assert of(world, f"{word}_total") == getattr(status, word), word
    assert of(world, "lag_seconds") >= status.lag_seconds > 0
    assert of(world, "oldest_open_seconds") > 0
    states = values(world, "bridge_client_state")
    assert [state for (_, state), value in states.items() if value] == ["active"]
    assert len(states) == 5


def test_outcomes_are_counted_by_what_they_did(world: World) -> None:
    world.client(max_attempts=2)
    world.publish(None, None, None)
    one, two, three = world.hand_over()
    world.succeed(one, two)
    world.succeed(one)
    world.succeed(two, epoch=7)
    world.fail(three)
    world.fail(three)
    assert [of(world, f"{it}_total") for it in ("succeeded", "failed", "duplicates", "settled")] == [2, 1, 3, 6]
    assert of(world, "retried_total") == 0, "not yet: it waits for its next attempt"
    world.make_due()
    world.fail(*world.hand_over())
    assert [of(world, f"{it}_total") for it in ("retried", "failed", "delivered")] == [1, 2, 3]
    assert of(world, "parked") == 1


def test_what_is_recalled_is_counted_and_goes_out_once_more(world: World) -> None:
    world.client()
    world.publish(None, None)
    world.hand_over()
    recall_all(world.store, reason="purged")
    assert (of(world, "recalled_total"), of(world, "retried_total")) == (2, 0)
    world.hand_over()
    assert (of(world, "recalled_total"), of(world, "retried_total")) == (2, 2)


def test_a_long_lag_is_estimated_from_the_events_that_were_looked_at(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(metrics, "MOST_LOOKED_AT", 100)
    world.client(topics=("order.#",))
    world.eyes.execute('INSERT INTO fq.clients (id, "offset") VALUES (%s, -1)', ["reader"])
    statement = """INSERT INTO fq.events (topic) SELECT CASE mod(n, 4) WHEN 0 THEN 'order.created' ELSE 'other' END
                     FROM generate_series(1, %s) n"""
    world.eyes.execute(statement, [80])
    assert of(world, "lag_events") == 20, "all of them were looked at"
    world.eyes.execute(statement, [3920])
    assert of(world, "lag_events") == 1000
    assert of(world, "lag_events", "reader") == 4000


def test_many_parked_events_are_counted_without_being_looked_at(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.client(max_attempts=1)
    world.publish(*[None] * 300)
    world.fail(*world.hand_over())
    world.eyes.execute("""UPDATE fq.parked SET error_type = 'Rare' || "offset" WHERE "offset" <= 60""")
    world.eyes.execute("""UPDATE fq.parked SET error_type = NULL WHERE "offset" BETWEEN 61 AND 70""")
    types = values(world, "bridge_client_parked_by_type")
    assert sum(types.values()) == of(world, "parked") == 300
    assert types["c", "ValueError"] == 230 and types["c", UNKNOWN] == 10
    assert len(types) == metrics.MOST_ERROR_TYPES + 1 and types["c", OTHER] == 60 - 18
    monkeypatch.setattr(metrics, "MOST_LOOKED_AT", 50)
    types = values(world, "bridge_client_parked_by_type")
    assert of(world, "parked") == 300
    assert types == {("c", "ValueError"): 100, ("c", OTHER): 200}, "the newest were looked at"


def test_what_others_have_named_is_cut_and_cleaned_and_stays_apart(world: World) -> None:
    ids = ["x" * 5000 + "1", "x" * 5000 + "2", "line\nbreak", "line\tbreak", "plain", ""]
    for id in ids:
        world.eyes.execute('INSERT INTO fq.clients (id, "offset") VALUES (%s, 0)', [id])
    found = [name for (name,) in values(world, "bridge_client_lag_events")]
    assert len(set(found)) == len(ids) and {"plain", ""} <= set(found)
    assert all(len(name) <= 110 and name.isprintable() for name in found)
    assert label("Ω-1.x") == "Ω-1.x"


def test_no_more_clients_are_told_of_than_the_bound_and_driven_ones_come_first(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(metrics, "MOST_CLIENTS", 3)
    for id in "abcd":
        world.eyes.execute('INSERT INTO fq.clients (id, "offset") VALUES (%s, 0)', [id])
    world.client("z")
    assert list(values(world, "bridge_client_lag_events")) == [("z",), ("a",), ("b",)]
    assert list(values(world, "bridge_client_open")) == [("z",)], "a reader has nothing open"


def test_the_horizon_is_told_with_the_age_of_who_holds_it(world: World, connect: Connect) -> None:
    world.publish(None)
    advance_horizon(world.store)
    assert values(world, "bridge_horizon_lag_events") == {(): 0}
    assert values(world, "bridge_horizon_holder_seconds") == {(): 0}
    holder = connect(autocommit=False)
    holder.execute("INSERT INTO fq.events DEFAULT VALUES")
    world.publish(None)
    assert values(world, "bridge_horizon_lag_events") == {(): 2}
    assert values(world, "bridge_horizon_holder_seconds")[()] > 0
    holder.rollback()
    assert values(world, "bridge_horizon_lag_events") == {(): 0}


def test_a_pump_that_never_was_is_silent_since_there_are_clients(world: World) -> None:
    assert values(world, "bridge_pump_silent_seconds") == {}, "nobody expects one"
    world.client()
    world.eyes.execute("UPDATE fq.clients SET created_at = now() - interval '1 hour'")
    for name in ("pump", "beat"):
        assert values(world, f"bridge_{name}_silent_seconds")["bridge",] > 3599
    world.eyes.execute("INSERT INTO fq.turns (name, holder, expires_at) VALUES ('tick', '', now())")
    assert values(world, "bridge_pump_silent_seconds")["bridge",] < 3599
    assert values(world, "bridge_beat_silent_seconds")["bridge",] > 3599
    assert values(world, "bridge_collector_silent_seconds") == {}
    assert values(world, "bridge_clients") == {("bridge",): 1}


def test_durations_of_all_processes_are_added_up(world: World) -> None:
    mine, other = durations_of(world.store), durations.Durations()
    mine.observe("pass", 0.0005)
    mine.observe("pass", 0.001)
    other.observe("pass", 99.0)
    other.observe("settle", 0.3)
    mine.note(world.store, bridge="b", at_once=True)
    other.note(world.store, bridge="b", at_once=True)
    mine.note(world.store, bridge="b", at_once=True)  # nothing is new
    found: Distribution = values(world, "bridge_pass_duration_seconds")["b",]
    assert (found.counts[0], found.counts[-1], sum(found.counts)) == (2, 1, 3)
    assert found.total == pytest.approx(99.0015)
    assert sum(values(world, "bridge_settle_duration_seconds")["b",].counts) == 1


def test_durations_are_kept_while_postgres_takes_none(world: World) -> None:
    durations_of(world.store).observe("pass", 0.002)
    world.eyes.execute("ALTER TABLE fq.durations RENAME TO away")
    note_durations(world.store, bridge="b", at_once=True)
    world.eyes.execute("ALTER TABLE fq.away RENAME TO durations")
    note_durations(world.store, bridge="b", at_once=True)
    assert sum(values(world, "bridge_pass_duration_seconds")["b",].counts) == 1


def test_other_bounds_begin_a_histogram_anew(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    durations_of(world.store).observe("pass", 0.002)
    note_durations(world.store, bridge="b", at_once=True)
    monkeypatch.setattr(durations, "BOUNDS_SECONDS", (1.0, 2.0))
    durations_of(world.store).observe("pass", 1.5)
    note_durations(world.store, bridge="b", at_once=True)
    assert values(world, "bridge_pass_duration_seconds")["b",] == Distribution([1.0, 2.0], [0, 1, 0], 1.5)


def test_settling_is_timed(world: World) -> None:
    world.client()
    world.publish(None)
    world.succeed(*world.hand_over())
    note_durations(world.store, bridge="b", at_once=True)
    assert sum(values(world, "bridge_settle_duration_seconds")["b",].counts) == 1


def test_g5_a_scrape_does_not_walk_over_the_log(world: World) -> None:
    world.client("behind", topics=("rare.#",))
    world.client("done", start="now")
    world.eyes.execute("INSERT INTO fq.events (topic) SELECT 'order.created' FROM generate_series(1, 30000)")
    world.eyes.execute("UPDATE fq.log SET pruned = 10000")
    world.eyes.execute("ANALYZE fq.events, fq.clients")
    binds: dict[str, dict[str, Any]] = {
        "clients": {"clients": 1000, "most": 100},
        "parked_types": {"clients": ["behind", "done"], "most": 100, "types": 20},
        "bridges": {"bridge": "bridge", "bridges": 100, "collector_holds": 60, "beat_holds": 60},
        "log": {},
        "durations": {"bridges": 100},
    }
    assert len(list_clients(world.store)) == 2
    with world.store.transaction() as connection:
        connection.execute(statement("metrics/begin"))
        for name, given in binds.items():
            explain(connection, f"metrics/{name}", given, "ANALYZE")  # functions are read from the catalog once
            (plan,) = explain(connection, f"metrics/{name}", given, "ANALYZE, BUFFERS, FORMAT JSON")
            touched = pages_of(plan[0]["Plan"])
            assert touched < FEW_PAGES, f"{name} touches {touched} pages"


def test_a_role_that_only_reads_can_export(world: World, database: str, connect: Connect) -> None:
    migrate(database, roles=True)
    world.client()
    world.publish("a")
    world.hand_over()
    note_beat(world.store, bridge="bridge", beat="gen1@host", seconds=60)
    durations_of(world.store).observe("pass", 1)
    note_durations(world.store, bridge="bridge", at_once=True)
    with logins(connect(), database, MONITOR) as urls:
        store = Store(urls[MONITOR])
        found = snapshot(world, store)
        store.close()
    assert [it.name for it in METRICS if not list(it.read(found))] == [
        "bridge_client_parked_by_type",
        "bridge_collector_silent_seconds",
        "bridge_queue_messages",
        "bridge_unreadable_messages",
        "bridge_settle_duration_seconds",
        "bridge_log_limit_bytes",
        "bridge_log_keep_seconds",
    ], "all others have values"
