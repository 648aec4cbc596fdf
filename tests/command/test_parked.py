"""`parked`, `redrive` and `discard`: what they list, and what becomes of it."""

from __future__ import annotations

from bridge.operate.user import user_at_host
from tests.command.running import Run, actions, done, parsed
from tests.support.world import World, offsets


def test_parked_lists_what_was_set_aside_and_why(run: Run, parked: World) -> None:
    listed = done(run("parked", "c"))
    assert "c  event 1  order.created  key=a" in listed
    assert "failed 1 time, 1 attempt from 20" in listed
    assert "ValueError: no" in listed
    assert "Traceback …" not in listed
    assert "Traceback …" in done(run("parked", "--traceback"))
    assert [row["offset"] for row in parsed(run("parked", "--json"))] == [3, 2, 1]
    [row] = parsed(run("parked", "c", "--key", "b", "--json"))
    assert {
        "client_id",
        "offset",
        "key",
        "attempts",
        "error_type",
        "error",
        "traceback",
        "reason",
        "first_at",
        "parked_at",
    } <= (set(row))
    assert [row["offset"] for row in parsed(run("parked", "--offset", "1", "--offset", "3", "--json"))] == [3, 1]
    assert "'-1' is not the offset of an event" in run("parked", "--offset", "-1").stderr
    assert [row["offset"] for row in parsed(run("parked", "-n", "1", "--json"))] == [3]
    assert done(run("parked", "--error-type", "KeyError")) == "no parked events fit\n"
    parked.client("d")
    assert done(run("parked", "d")) == "no events are parked\n"


def test_what_a_parked_event_holds_says_of_itself_can_t_move_the_terminal(run: Run, parked: World) -> None:
    parked.eyes.execute("UPDATE fq.parked SET error = e'\\x1b[2J', held = true")
    listed = done(run("parked", "--key", "a"))
    assert "\x1b" not in listed
    assert "key=a, which it holds" in listed


def test_redrive_hands_over_what_is_chosen(run: Run, parked: World) -> None:
    for wrong in ([], ["--all", "--key", "a"]):
        result = run("redrive", "c", *wrong)
        assert result.exit_code == 2
        assert "say which" in result.stderr
    assert done(run("redrive", "c", "--key", "a")) == "1 parked event will be handed to client c again\n"
    assert "goes out again" in done(run("parked", "--key", "a"))
    assert parsed(run("redrive", "c", "--all", "--json")) == {"client": "c", "redriven": [2, 3]}
    assert done(run("redrive", "c", "--all")).startswith("nothing to redrive")
    assert offsets(parked.hand_over()) == [1, 2, 3]
    assert actions(parked) == [("redrive", user_at_host())] * 2


def test_discard_asks_first(run: Run, parked: World) -> None:
    asked = run("discard", "c", "--key", "a", "--key", "b", input="n\n")
    assert asked.exit_code == 1
    assert "discard 2 parked events of client c" in asked.stderr
    assert run("discard", "c", "--all", "--json").exit_code == 2
    assert parked.rows("parked") == [1, 2, 3]
    assert done(run("discard", "c", "--offset", "1", "--yes")) == "1 parked event of client c is discarded\n"
    assert parsed(run("discard", "c", "--all", "--json", "--yes")) == {"client": "c", "discarded": [2, 3]}
    assert parked.rows("parked") == []
    assert actions(parked) == [("discard", user_at_host())] * 2


def test_parked_events_are_chosen_by_their_age(run: Run, parked: World) -> None:
    parked.eyes.execute("UPDATE fq.parked SET parked_at = now() - interval '91 days' WHERE \"offset\" > 1")
    assert [row["offset"] for row in parsed(run("parked", "c", "--older-than", "90d", "--json"))] == [3, 2]
    assert "'90' must be a span such as" in run("discard", "c", "--older-than", "90").stderr
    assert done(run("discard", "c", "--older-than", "90d", "--yes")) == "2 parked events of client c are discarded\n"
