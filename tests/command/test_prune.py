"""`prune`, `release` and `hold`: what they did, who holds the log and since when, and what they refuse."""

from __future__ import annotations

import pytest

from bridge.operate.lifecycle import pause
from tests.command.running import Run, actions, done, parsed, refused
from tests.support.pruning import age, left
from tests.support.world import World


@pytest.fixture
def old(world: World) -> World:
    """A log of five old events, of which client `c` has finished all and `slow`, which is paused, two."""
    world.publish(*[None] * 5)
    world.client("c", ordering="none", max_attempts=1)
    world.succeed(*world.hand_over())
    world.client("slow", start="2", ordering="none")
    pause(world.store, "slow", reason="lunch", by="me")
    age(world)
    return world


def test_prune_says_what_it_did_and_who_holds_the_rest_and_since_when(run: Run, old: World) -> None:
    tried = done(run("prune", "--older-than", "30d", "--dry-run"))
    assert tried.startswith("2 events would be removed, from 1 to 2\n")
    assert (len(left(old)), "prune" in done(run("journal"))) == (5, False)
    said = done(run("prune", "--older-than", "30d"))
    assert "prune by" in done(run("journal"))
    assert said.startswith("2 events removed, from 1 to 2\nclient slow, paused since ")
    assert "(lunch) has not finished the rest; if nobody serves it, `bridge release slow --reason TEXT`: from 3" in said
    again = parsed(run("prune", "--keep", "1", "--json"))
    assert (again["events"], again["held_by"][0]["name"], again["held_by"][0]["first"]) == (0, "slow", 3)
    assert left(old) == [3, 4, 5]
    assert "older than some time" in refused(run("prune"))
    assert "such as 30d" in refused(run("prune", "--older-than", "soon"))


def test_a_released_client_holds_nothing_and_resumes_behind_what_was_pruned(run: Run, old: World) -> None:
    assert "holds the log no more, its cursor stays at 2" in done(run("release", "slow", "--reason", "left the firm"))
    assert (old.row("slow")["state"], old.cursor("slow")) == ("halted", 2)
    assert "released: left the firm" in done(run("status"))
    assert "is released" in refused(run("pause", "slow"))
    done(run("prune", "--older-than", "30d", "--keep", "1"))
    assert left(old) == [5]
    said = done(run("resume", "slow"))
    assert "it goes on after 4: what was pruned from 3 on while it was released is missed" in said
    assert [delivery.offset for delivery in old.hand_over("slow")] == [5]
    assert [action for action, _ in actions(old)][-4:] == ["release", "prune", "miss", "resume"]
    assert done(run("resume", "slow")) == "client slow is active already\n"


def test_a_released_client_that_missed_nothing_goes_on_where_it_was(run: Run, old: World) -> None:
    done(run("release", "slow", "--reason", "x"))
    assert parsed(run("resume", "slow", "--json")) == {"client": "slow", "state": "active", "was": "halted"}
    assert [delivery.offset for delivery in old.hand_over("slow")] == [3, 4, 5]


def test_a_released_reader_holds_the_log_again_with_its_next_commit(run: Run, old: World) -> None:
    old.eyes.execute("DELETE FROM fq.clients WHERE id = 'slow'")
    old.eyes.execute("SELECT fq.commit('reader', 2)")
    assert "until its next commit" in done(run("release", "reader", "--reason", "x"))
    assert parsed(run("prune", "--keep", "2", "--dry-run", "--json"))["events"] == 3
    old.eyes.execute("SELECT fq.commit('reader', 2)")
    held = done(run("prune", "--keep", "2", "--dry-run"))
    assert "2 events would be removed" in held
    assert "reader reader has not committed the rest" in held


def test_seek_and_replay_below_what_is_pruned_say_so(run: Run, old: World) -> None:
    done(run("prune", "--older-than", "30d"))
    assert "events up to 2 may be gone" in done(run("seek", "c", "--to", "1", "--dry-run"))
    assert "events up to 2 may be gone" in done(run("replay", "c", "--from", "beginning"))
    assert "may be gone" not in done(run("seek", "c", "--to", "2", "--yes"))


def test_a_hold_keeps_events_until_it_ends(run: Run, old: World) -> None:
    old.eyes.execute("DELETE FROM fq.clients WHERE id = 'slow'")
    assert "keeps events from 4 on until" in done(run("hold", "backup", "--from", "4", "--for", "2d"))
    assert "hold backup keeps the rest until" in done(run("prune", "--older-than", "30d"))
    assert left(old) == [4, 5]
    assert "events up to 3 may be gone already" in refused(run("hold", "late", "--from", "3", "--for", "1h"))
    assert parsed(run("hold", "--json"))[0]["offset"] == 4
    assert done(run("hold", "backup", "--end")) == "hold backup is ended\n"
    assert done(run("hold")) == "nothing is held\n"
    assert parsed(run("prune", "--older-than", "30d", "--json"))["events"] == 2
