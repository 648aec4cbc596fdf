"""The pump notes which beats start it: only those, now and then, and whatever they call themselves."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from celery import Celery

from bridge.app import Bridge
from bridge.bounds import ORIGIN_CHARACTERS
from bridge.contract import BEAT_HEADER
from bridge.installing import beat_entry
from bridge.pump import beats
from bridge.settings.bridge import BridgeSettings
from tests.support.world import World


@pytest.fixture
def note(world: World, database: str, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return a function that notes ticks of these origins, as a process that begins; it returns the beats noted."""
    monkeypatch.setattr(beats, "_noted", {})
    app = Celery("noting", broker="memory://", set_as_current=False)
    app.conf.bridge_database_url = database
    bridge = Bridge(app)

    def note(*origins: object, header: object = True) -> list[str]:
        for origin in origins:
            beats.note_beat_of(bridge, SimpleNamespace(**{"origin": origin, BEAT_HEADER: header}))
        rows = world.eyes.execute("SELECT holder FROM fq.turns WHERE starts_with(name, 'beat ') ORDER BY 1")
        return [row[0] for row in rows]

    yield note
    bridge.store.close()


def test_a_beat_s_ticks_say_so_and_those_of_others_are_not_noted(note: Any) -> None:
    assert beat_entry(BridgeSettings())["bridge.pump"]["options"]["headers"] == {BEAT_HEADER: True}
    assert note("gen1@a", header=None) == []
    assert note(None, 7, ["gen1@a"]) == []
    assert note("gen1@a", "gen2@b", "gen1@a") == ["gen1@a", "gen2@b"]


def test_what_calls_itself_anything_is_bounded(note: Any) -> None:
    made_up = [f"gen{number}@a\x1b[2J" + "x" * 1_000 for number in range(50)]
    noted = note(*made_up)
    assert len(noted) == beats.MOST_BEATS
    assert all(len(name) <= ORIGIN_CHARACTERS and name.isprintable() for name in noted)


def test_a_beat_is_noted_now_and_then_and_not_with_each_tick(note: Any, world: World) -> None:
    note("gen1@a")
    world.eyes.execute("DELETE FROM fq.turns WHERE name = 'beat gen1@a'")
    assert note("gen1@a") == []


def test_notes_that_ran_out_long_ago_are_forgotten(note: Any, world: World) -> None:
    note("gen1@a")
    world.eyes.execute("UPDATE fq.turns SET expires_at = now() - interval '2 hours' WHERE name = 'beat gen1@a'")
    assert note("gen2@a") == ["gen2@a"]
