"""A client that lags is named in the log, once, and again when it lags no more."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from celery import Celery

from bridge.app import Bridge
from bridge.watch.lag import Lag
from tests.support.world import World


@pytest.fixture
def lag(world: World, database: str) -> Iterator[Lag]:
    with Celery("bridge", broker="memory://", set_as_current=False) as app:
        app.conf.update(bridge_database_url=database, bridge_lag_limit="10min")
        bridge = Bridge(app)
        yield Lag(bridge)
        bridge.store.close()


def test_a_client_whose_oldest_unfinished_event_is_too_old_is_named_until_it_is_finished(
    world: World, lag: Lag, caplog: pytest.LogCaptureFixture
) -> None:
    world.client("late")
    world.eyes.execute("INSERT INTO fq.events (topic, key, created_at) VALUES ('a', 'k', now() - interval '9 minutes')")
    deliveries = world.hand_over("late")
    lag.look()
    assert caplog.messages == [], "not yet"
    world.client("early", topics=("nothing.*",))
    old = "INSERT INTO fq.events (topic, key, created_at) VALUES ('a', 'l', now() - interval '3 hours')"
    world.eyes.execute(old)
    world.succeed(*deliveries)
    deliveries = world.hand_over("late")
    world.hand_over("early")
    lag.look()
    lag.look()
    [line] = caplog.messages
    assert line.startswith(
        "client late lags: it has 1 offset of the log before it, and its oldest event not finished is"
    )
    assert "event 2, 3 h old: see `eventbridge explain late`" in line
    assert caplog.records[0].client == "late"  # type: ignore[attr-defined]
    world.succeed(*deliveries)
    lag.look()
    assert caplog.messages[1:] == [caplog.messages[-1]] and "client late lags no more, after" in caplog.messages[-1]
