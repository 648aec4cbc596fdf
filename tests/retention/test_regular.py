"""`bridge_keep` prunes for a moment whenever beat says so, and `bridge_log_limit` only warns."""

from __future__ import annotations

import logging

import pytest
from celery import Celery

import bridge
from bridge.errors import ConfigurationError
from bridge.retention import prune as pruning
from bridge.retention import regular
from bridge.settings.amount import bytes_of, seconds_of
from bridge.settings.bridge import BridgeSettings
from tests.support.pruning import age, left
from tests.support.world import World


def app_with(**settings: str) -> Celery:
    app = Celery("shop", set_as_current=False)
    app.conf.update({f"bridge_{name}": value for name, value in settings.items()})
    bridge.install(app)
    app.finalize()
    return app


def test_beat_runs_the_pruner_only_where_there_is_something_for_it_to_do() -> None:
    assert set(app_with().conf.beat_schedule) == {"bridge.pump"}
    for settings in ({"keep": "30d"}, {"log_limit": "200GB"}):
        entry = app_with(queue="b", **settings).conf.beat_schedule["bridge.prune"]
        assert (entry["task"], entry["options"]["queue"]) == ("bridge.prune", "b")


def test_the_task_removes_what_keep_lets_go_and_goes_on_in_its_next_run(
    database: str, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pruning, "BATCH_EVENTS", 2)
    monkeypatch.setattr(regular, "RUN_SECONDS", 0.0)
    world.publish(*[None] * 5)
    age(world, 1, 2, 3)
    task = app_with(database_url=database, keep="30d").tasks["bridge.prune"]
    assert task() == {"removed": 2, "held_by": []}
    world.client("slow", start="2")
    world.publish(None)
    assert task() == {"removed": 0, "held_by": ["slow"]}
    world.eyes.execute("DELETE FROM fq.clients")
    assert task()["removed"] == 1
    assert left(world) == [4, 5, 6]


def test_what_was_left_behind_is_looked_at_again_once_an_hour(
    database: str, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.publish(*[None] * 4)
    world.client(ordering="none", max_attempts=1)
    first, *others = world.hand_over()
    world.fail(first)
    world.succeed(*others)
    age(world)
    task = app_with(database_url=database, keep="30d").tasks["bridge.prune"]
    assert task() == {"removed": 3, "held_by": []}
    world.eyes.execute("DELETE FROM fq.parked")
    assert (task()["removed"], left(world)) == (0, [1])
    monkeypatch.setattr(regular, "FROM_THE_BEGINNING_SECONDS", 0.0)
    assert (task()["removed"], left(world)) == (1, [])


def test_a_log_near_its_limit_is_warned_of_once_and_nothing_is_removed(
    database: str, world: World, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(regular, "_warned", {})
    world.publish(*[None] * 5)
    age(world)
    task = app_with(database_url=database, log_limit="100kB").tasks["bridge.prune"]
    with caplog.at_level(logging.WARNING, logger="bridge"):
        said = [task()["warning"] for _ in range(3)]
    assert "of bridge_log_limit (0.1 MB)" in said[0]
    assert len([record for record in caplog.records if "bridge_log_limit" in record.message]) == 1
    assert left(world) == [1, 2, 3, 4, 5]
    assert app_with(database_url=database, log_limit="1TB").tasks["bridge.prune"]() == {}
    with bridge.Operator(app_with(database_url=database, log_limit="100kB")) as operator:
        assert "bridge_log_limit" in operator.size_warning()
        assert "log-large" in [cause.kind for cause in operator.explain(world.client(), ask_broker=False)]


def test_amounts_are_read_with_their_units() -> None:
    assert [seconds_of(text) for text in ("30d", "1.5h", "90 min", "2W", "10s")] == [2592000, 5400, 5400, 1209600, 10]
    assert [bytes_of(text) for text in ("200GB", "1 KiB", "0.5TB")] == [200 * 10**9, 1024, 5 * 10**11]


@pytest.mark.parametrize("wrong", ["30", "d", "0d", "-1d", "30 days", "1e3d", "999999w", "²d"])
def test_an_age_that_is_none_stops_the_process_with_its_name(wrong: str) -> None:
    with pytest.raises(ConfigurationError, match=r"setting bridge_keep is .*must be a span such as 30d"):
        BridgeSettings.read({"bridge_keep": wrong}, {})


@pytest.mark.parametrize("wrong", ["200", "0GB", "many", "1XB"])
def test_a_size_that_is_none_stops_the_process_with_its_name(wrong: str) -> None:
    with pytest.raises(ConfigurationError, match=r"BRIDGE_LOG_LIMIT in the environment is .*such as 200GB"):
        BridgeSettings.read({}, {"BRIDGE_LOG_LIMIT": wrong})
