"""A trigger of somebody's own that refuses what is about one client, or one event, stops no other (G10)."""

from __future__ import annotations

import pytest

import bridge as package
from bridge import declare
from bridge.app import Bridge
from tests.pump.test_due import LONG_AGO
from tests.pump.test_rehearsals import REFUSE, bridge, sent, tick
from tests.support.world import World

__all__ = ["bridge"]  # a fixture

AMBIGUOUS = ["08001", "42883"]  # it asks a server that is away, it calls what was dropped
ON_THE_CLIENT = """
CREATE TRIGGER refuse BEFORE UPDATE ON fq.clients FOR EACH ROW WHEN (OLD.id = 'c') EXECUTE FUNCTION refuse()
"""


@pytest.mark.parametrize("state", ["P0001", *AMBIGUOUS])
def test_g10_a_client_of_whose_row_nothing_can_be_written_stops_no_other(
    world: World, bridge: Bridge, redis_url: str, caplog: pytest.LogCaptureFixture, state: str
) -> None:
    for client in ("c", "free"):
        world.client(client, ordering="none")
    world.eyes.execute(REFUSE.format(state=state) + ON_THE_CLIENT)
    for _ in range(3):
        world.publish(None)
        tick(bridge, 1)
    assert sent(redis_url) == {f"free:{offset}": 1 for offset in (1, 2, 3)}
    assert "client c can't be served" in caplog.text
    assert "not this one" in caplog.text


@pytest.mark.parametrize("state", ["P0001", *AMBIGUOUS])
def test_g10_a_client_that_can_t_be_moved_with_all_others_stops_none_of_many(
    world: World, bridge: Bridge, redis_url: str, caplog: pytest.LogCaptureFixture, state: str
) -> None:
    world.client("c", topics=["other.#"])
    for nth in range(12):
        world.client(f"free{nth}", topics=["order.#"])
    for nth in range(3):
        world.publish(None)
        tick(bridge, 1)
        if not nth:
            world.eyes.execute(REFUSE.format(state=state) + ON_THE_CLIENT)
    assert len(sent(redis_url)) == 36
    assert caplog.text.count("clients that want none of the new events can't be moved together") == 1
    world.eyes.execute("DROP TRIGGER refuse ON fq.clients")
    world.publish(None)
    tick(bridge, 1)
    assert world.row("c")["dispatched"] == 4
    assert "they are moved together again" in caplog.text


@pytest.mark.parametrize("state", AMBIGUOUS)
def test_g10_a_declared_client_that_is_refused_is_registered_later_and_stops_no_other(
    world: World,
    bridge: Bridge,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
    state: str,
) -> None:
    monkeypatch.setattr(declare, "_declared", {})

    def handle(event: object) -> None:
        pass

    for id in ("bad", "new"):
        declare.client(id)(bridge.app.task(name=f"fleet.{id}", shared=False)(handle))
    world.client("free")
    world.eyes.execute(REFUSE.format(state=state))
    world.eyes.execute(
        "CREATE TRIGGER refuse BEFORE INSERT ON fq.journal FOR EACH ROW WHEN (NEW.client_id = 'bad') "
        "EXECUTE FUNCTION refuse()"
    )
    world.publish(None)
    tick(bridge, 1)
    assert [world.row(id)["dispatched"] for id in ("free", "new")] == [1, 1]
    assert "a client is not registered yet: client 'bad': " in caplog.text
    world.eyes.execute("DROP TRIGGER refuse ON fq.journal")
    tick(bridge, 1)
    assert world.row("bad")["dispatched"] == 1


@pytest.mark.parametrize("state", AMBIGUOUS)
def test_g10_a_scheduled_event_that_is_refused_stops_no_client_and_no_other_event(
    world: World, bridge: Bridge, redis_url: str, caplog: pytest.LogCaptureFixture, state: str
) -> None:
    world.client("c", ordering="none")
    world.eyes.execute(REFUSE.format(state=state))
    world.eyes.execute(
        "CREATE TRIGGER refuse BEFORE INSERT ON fq.events FOR EACH ROW WHEN (NEW.topic = 'bad') "
        "EXECUTE FUNCTION refuse()"
    )
    world.publish(None)
    package.publish(world.eyes, "bad", {}, deliver_at=LONG_AGO)
    tick(bridge, 1)
    assert len(sent(redis_url)) == 1
    assert "scheduled events that are due can't be appended to the log" in caplog.text
    package.publish(world.eyes, "good", {}, deliver_at=LONG_AGO)
    found = world.eyes.execute("SELECT done, held, why FROM fq.append_due(100)").fetchone()
    assert found is not None
    assert (found[0], found[1]) == (1, 1)
    assert "not this one" in found[2]
    tick(bridge, 1)
    assert len(sent(redis_url)) == 2
