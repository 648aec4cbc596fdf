"""What Postgres refuses of a pass behind its messages does not let these go out again and again (G10)."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator

import pytest
from celery import Celery
from redis import Redis

from bridge.app import Bridge
from bridge.errors import BrokerUnavailable, StoreRefused
from bridge.pump.loop import pump_of
from bridge.pump.rehearsals import Rehearsals
from tests.support.world import World

REFUSE = """
CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'not this one' USING ERRCODE = '{state}';
END $$;
"""
AT_THE_COMMIT = """
CREATE CONSTRAINT TRIGGER refuse AFTER INSERT ON fq.deliveries DEFERRABLE INITIALLY DEFERRED
  FOR EACH ROW WHEN (NEW.client_id = 'c' AND NEW."offset" = 6) EXECUTE FUNCTION refuse()
"""
ON_THE_CLIENT = """
CREATE TRIGGER refuse BEFORE UPDATE OF delivered ON fq.clients FOR EACH ROW
  WHEN (OLD.id = 'c' AND NEW.delivered > 0) EXECUTE FUNCTION refuse()
"""


@pytest.fixture
def bridge(world: World, database: str, redis_url: str) -> Iterator[Bridge]:
    with Celery("bridge", broker=redis_url, set_as_current=False) as app:
        app.conf.update(bridge_database_url=database, bridge_linger_seconds=0, bridge_pass_limit=8)
        bridge = Bridge(app)
        yield bridge
        bridge.sender.close()
        bridge.store.close()


def tick(bridge: Bridge, times: int) -> None:
    """Let the pump run, and not wait between two passes of a client in trouble."""
    pump = pump_of(bridge)
    for _ in range(times):
        pump._left_alone_until.clear()  # noqa: SLF001 - as if a second had passed
        pump.tick()


def sent(redis_url: str) -> Counter[str]:
    """Count the messages in the fleet's queue, by the ids of their tasks."""
    with Redis.from_url(redis_url) as redis:
        found = redis.lrange("celery", 0, -1)
        return Counter(json.loads(it)["headers"]["id"] for it in found)


def offsets(world: World) -> list[int]:
    """Return the events of the client in trouble that are handed over."""
    return [offset for offset, client in world.rows("deliveries", '"offset", client_id') if client == "c"]


@pytest.mark.parametrize("state", ["P0001", "42883", "08001"])
def test_g10_an_event_whose_delivery_is_refused_at_the_commit_lets_no_other_go_out_again_and_again(
    world: World, bridge: Bridge, redis_url: str, state: str
) -> None:
    for client in ("c", "free"):
        world.client(client, ordering="none")
    world.eyes.execute(REFUSE.format(state=state) + AT_THE_COMMIT)
    world.publish(*[None] * 11)
    tick(bridge, 14)
    before = sent(redis_url)
    assert [before[f"free:{offset}"] for offset in range(1, 12)] == [1] * 11, "other clients are served"
    assert all(before[f"c:{offset}"] == 2 for offset in range(1, 6)), "sent with the one at fault, and then without it"
    assert offsets(world) == [1, 2, 3, 4, 5]
    tick(bridge, 5)
    assert sent(redis_url) == before, "nothing is sent again"
    assert "not this one" in world.row("c")["trouble"]
    world.eyes.execute("DROP TRIGGER refuse ON fq.deliveries")
    tick(bridge, 5)
    assert offsets(world) == list(range(1, 12))
    world.publish(None)
    tick(bridge, 1)
    assert pump_of(bridge)._rehearsals.limit("c") is None, "its passes are as they were"  # noqa: SLF001


def test_g10_a_client_whose_row_can_t_be_written_gets_its_events_once_and_not_once_a_second(
    world: World, bridge: Bridge, redis_url: str
) -> None:
    world.client(ordering="none")
    world.eyes.execute(REFUSE.format(state="P0001") + ON_THE_CLIENT)
    world.publish(*[None] * 5)
    tick(bridge, 6)
    assert sent(redis_url) == {f"c:{offset}": 1 for offset in range(1, 6)}
    world.eyes.execute("DROP TRIGGER refuse ON fq.clients")
    tick(bridge, 6)
    assert sent(redis_url) == {f"c:{offset}": 2 for offset in range(1, 6)}
    assert world.row()["trouble"] is None


def test_passes_are_rehearsed_after_postgres_has_refused_one_and_are_whole_again_when_it_takes_them() -> None:
    rehearsals = Rehearsals(8)
    rehearsals.refused("c", BrokerUnavailable("away"))
    assert rehearsals.limit("c") is None
    limits = []
    for _ in range(6):
        rehearsals.refused("c", StoreRefused("no"))
        limits.append(rehearsals.limit("c"))
    assert limits == [8, 4, 2, 1, 1, 1]
    for _ in range(4):
        rehearsals.passed("c")
        limits.append(rehearsals.limit("c"))
    assert limits[6:] == [2, 4, 8, None]
    rehearsals.passed("other")
    assert rehearsals.limit("other") is None
