"""One outcome harms no other: what Postgres refuses is found and set apart, and the rest is settled (G10)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from bridge.errors import SchemaMissing, StoreUnavailable
from bridge.model import Failure, Outcome
from bridge.settle import apply as module
from bridge.settle.apply import apply, name_of
from bridge.settle.settle import Settled, settle
from bridge.store import Store
from tests.conftest import Connect
from tests.support.world import World, outcome

NUL = Failure(type="ValueError", message="bad \x00", traceback="Traceback …")
SURROGATE = Failure(type="ValueError", message="bad \udce9")


def open_outcomes(world: World, number: int, *clients: str) -> list[Outcome]:
    """Return outcomes of so many events that are open at each of these new clients, which ask for no order."""
    for client in clients:
        world.client(client, ordering="none")
    world.publish(*[None] * number)
    return [outcome(delivery) for client in clients for delivery in world.hand_over(client)]


def refuse(world: World, change: str, when: str, *, code: str = "P0001") -> None:
    """Let a trigger refuse such a change of such rows, with an error of this code."""
    world.eyes.execute(
        "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS"
        f" $$ BEGIN RAISE 'not this one' USING ERRCODE = '{code}'; END $$;"
        f"CREATE TRIGGER refuse BEFORE {change} FOR EACH ROW WHEN ({when}) EXECUTE FUNCTION refuse()"
    )


@pytest.fixture
def tries(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Return a list that has the number of outcomes of each try to settle some."""
    found: list[int] = []

    def counting(store: Store, some: list[Outcome], **options: Any) -> Settled:
        found.append(len(some))
        return settle(store, some, **options)

    monkeypatch.setattr(module, "settle", counting)
    return found


@pytest.mark.parametrize("why", [NUL, SURROGATE], ids=["U+0000", "half of a pair"])
@pytest.mark.parametrize("at", [0, 3, 10])
def test_g10_a_reason_that_postgres_refuses_is_left_out_and_all_others_are_settled(
    world: World, caplog: pytest.LogCaptureFixture, why: Failure, at: int
) -> None:
    world.client(ordering="none")
    world.client("other", ordering="none", topics=("other",))
    world.publish(*[None] * 10)
    world.publish(None, topic="other")
    outcomes = [outcome(delivery) for delivery in [*world.hand_over(), *world.hand_over("other")]]
    outcomes[at] = replace(outcomes[at], failure=why)
    applied = apply(world.store, outcomes)
    assert (applied.settled, applied.held, applied.refused) == (Settled(succeeded=11, retried=1), [], [])
    assert world.rows("deliveries", "state, error_type, error") == [("retrying", None, None)]
    assert f"{name_of(outcomes[at])} is settled without the reason of its failure" in caplog.text


def test_g10_the_outcome_at_fault_is_refused_and_named_wherever_it_stands(world: World, tries: list[int]) -> None:
    outcomes = open_outcomes(world, 9, "c")
    refuse(world, "DELETE ON fq.deliveries", 'OLD."offset" IN (2, 7)')
    applied = apply(world.store, outcomes)
    assert applied.settled.succeeded == 7
    assert [it.outcome.offset for it in applied.refused] == [2, 7]
    assert all("not this one" in str(it.error) for it in applied.refused)
    assert applied.held == []
    assert len(tries) < 20, tries
    assert world.rows("deliveries") == [2, 7]


def test_g10_where_the_client_s_row_is_what_postgres_refuses_its_outcomes_are_held_and_others_settled(
    world: World,
) -> None:
    outcomes = open_outcomes(world, 5, "broken", "c")
    refuse(world, "UPDATE ON fq.clients", "OLD.id = 'broken'")
    applied = apply(world.store, outcomes)
    assert applied.settled == Settled(succeeded=5)
    assert sorted((it.outcome.client, it.outcome.offset) for it in applied.held) == [("broken", n) for n in range(1, 6)]
    assert applied.refused == []
    assert (world.cursor("broken"), world.cursor("c")) == (0, 5)
    world.eyes.execute("DROP TRIGGER refuse ON fq.clients")
    assert apply(world.store, [it.outcome for it in applied.held]).settled == Settled(succeeded=5)


@pytest.mark.parametrize("code", ["08001", "0A000", "40001", "42883", "42P01", "57014", "XX000"])
def test_g10_the_outcome_at_fault_is_refused_whatever_code_the_error_of_its_trigger_has(
    world: World, code: str
) -> None:
    """A trigger that asks a server which is away, or calls what was dropped, looks as if Postgres were away."""
    outcomes = open_outcomes(world, 9, "c", "other")
    refuse(world, "DELETE ON fq.deliveries", "OLD.client_id = 'c' AND OLD.\"offset\" IN (2, 7)", code=code)
    applied = apply(world.store, outcomes)
    assert applied.settled == Settled(succeeded=16)
    assert [(it.outcome.client, it.outcome.offset) for it in applied.refused] == [("c", 2), ("c", 7)]
    assert all("not this one" in str(it.error) for it in applied.refused)
    assert applied.held == []


@pytest.mark.parametrize("code", ["XX000", "XX001", "42P01", "3F000", "40001"])
def test_g10_an_outcome_alone_is_not_given_up_for_an_error_that_passes(world: World, code: str) -> None:
    outcomes = open_outcomes(world, 1, "c")
    world.eyes.execute("CREATE SEQUENCE tries")  # what a sequence counts is not rolled back
    refuse(world, "DELETE ON fq.deliveries", f"nextval('public.tries') <= {module.TRIES_ALONE}", code=code)
    applied = apply(world.store, outcomes)
    assert (applied.settled, applied.held, applied.refused) == (Settled(succeeded=1), [], [])


def test_g10_where_a_trigger_on_the_client_s_row_seems_to_say_that_postgres_is_away_others_are_settled(
    world: World,
) -> None:
    outcomes = open_outcomes(world, 5, "broken", "c")
    refuse(world, "UPDATE ON fq.clients", "OLD.id = 'broken'", code="08001")
    applied = apply(world.store, outcomes)
    assert applied.settled == Settled(succeeded=5)
    assert {it.outcome.client for it in applied.held} == {"broken"}
    assert applied.refused == []


def test_g10_a_time_out_that_only_the_whole_batch_runs_into_is_halved_and_all_of_it_settled(world: World) -> None:
    outcomes = open_outcomes(world, 4, "c")
    world.eyes.execute(
        "CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(0.4); RETURN OLD; END $$;"
        "CREATE TRIGGER slow BEFORE DELETE ON fq.deliveries FOR EACH ROW EXECUTE FUNCTION slow()"
    )
    url = world.store.engine.url.render_as_string(hide_password=False)
    hasty = Store(url, statement_timeout_seconds=1)
    try:
        assert apply(hasty, outcomes).settled == Settled(succeeded=4)
    finally:
        hasty.close()
    assert world.cursor() == 4


def test_g10_a_lock_on_the_table_that_lasts_as_long_as_a_statement_may_is_waited_for_twice_and_nothing_is_halved(
    world: World, connect: Connect, tries: list[int]
) -> None:
    """It ends statements with the same code as a trigger that is too slow, and each further try would take as long."""
    outcomes = open_outcomes(world, 8, "c")
    stranger = connect(autocommit=False)
    stranger.execute("LOCK TABLE fq.clients IN ACCESS EXCLUSIVE MODE")
    hasty = Store(world.store.engine.url.render_as_string(hide_password=False), statement_timeout_seconds=1)
    try:
        with pytest.raises(StoreUnavailable, match="statement timeout"):
            apply(hasty, outcomes)
        assert tries == [8, 1]
        stranger.rollback()
        assert apply(hasty, outcomes).settled == Settled(succeeded=8)
    finally:
        hasty.close()


def test_g10_without_its_tables_nothing_is_refused(world: World) -> None:
    outcomes = open_outcomes(world, 4, "c")
    world.eyes.execute("ALTER TABLE fq.clients RENAME TO away")
    with pytest.raises(SchemaMissing):
        apply(world.store, outcomes)
    world.eyes.execute("ALTER TABLE fq.away RENAME TO clients")
    assert apply(world.store, outcomes).settled == Settled(succeeded=4)


def test_g10_while_postgres_is_away_nothing_is_halved(monkeypatch: pytest.MonkeyPatch) -> None:
    tries: list[int] = []

    def away(_: Store, outcomes: list[Outcome], **__: Any) -> Settled:
        tries.append(len(outcomes))
        raise StoreUnavailable("away")

    monkeypatch.setattr(module, "settle", away)
    with pytest.raises(StoreUnavailable):
        apply(Store("postgresql://nobody@127.0.0.1:1/x"), [Outcome(client="c", offset=1, epoch=1, attempt=1)] * 8)
    assert tries == [8]


def test_g10_a_client_that_a_stranger_holds_is_left_out_and_the_others_are_settled(
    world: World, connect: Connect
) -> None:
    outcomes = open_outcomes(world, 3, "a", "b", "c")
    stranger = connect(autocommit=False)
    stranger.execute("SELECT FROM fq.clients WHERE id = 'b' FOR UPDATE")
    applied = apply(world.store, outcomes)
    assert (applied.settled, applied.refused) == (Settled(succeeded=6), [])
    assert [it.outcome.client for it in applied.held] == ["b"] * 3
    assert "client 'b' is held by another transaction" in str(applied.held[0].error)
    stranger.rollback()
    assert apply(world.store, [it.outcome for it in applied.held]).settled == Settled(succeeded=3)


def test_g10_a_delivery_that_a_stranger_holds_is_left_out_and_the_others_of_its_client_are_settled(
    world: World, connect: Connect
) -> None:
    outcomes = open_outcomes(world, 20, "c")
    stranger = connect(autocommit=False)
    stranger.execute('SELECT FROM fq.deliveries WHERE "offset" = 7 FOR UPDATE')
    applied = apply(world.store, outcomes)
    assert (applied.settled, applied.refused) == (Settled(succeeded=19), [])
    assert [it.outcome.offset for it in applied.held] == [7]
    stranger.rollback()
    assert apply(world.store, outcomes).settled == Settled(succeeded=1, ignored=19)
    assert world.cursor() == 20
