"""`erase`, and `--archive` of `tail`, `replay` and `journal`: what they say and do."""

from __future__ import annotations

from pathlib import Path

import bridge
from bridge.archive.places import place_of
from bridge.retention.archive import archiver
from bridge.retention.prune import prune
from tests.command.running import Run, done, parsed
from tests.support.world import World, offsets

KEY = "customer-17"


def test_erase_asks_first_and_says_what_is_left(run: Run, world: World) -> None:
    world.client()
    bridge.publish(world.eyes, "a", {"n": 1}, key=KEY)
    world.hand_over()
    tried = done(run("erase", "--key", KEY, "--dry-run"))
    assert "1 event of key customer-17: 1 event would be erased, and 0 texts of errors" in tried
    assert "client c has 1 attempt, which holds the event as it was until it ends" in tried
    asked = run("erase", "--key", KEY, input="n\n")
    assert (asked.exit_code, world.rows("events", "payload")) == (1, [{"n": 1}])
    assert run("erase", "--key", KEY, "--json").exit_code == 2
    told = done(run("erase", "--key", KEY, "--key-too", "--yes"))
    assert "1 event is erased" in told
    assert "1 event keeps the key, because a client needs it" in told
    assert "erase --key KEY --archive DIR`" in told
    assert world.rows("events", "payload") == [{"erased": True}]
    world.succeed(*world.sent)
    again = parsed(run("erase", "--key", KEY, "--key-too", "--yes", "--json"))
    assert (again["erased"], again["keys_replaced"], again["complete"]) == (0, 1, True)
    assert KEY not in done(run("journal"))


def test_archived_events_are_shown_replayed_erased_and_published_again(run: Run, world: World, tmp_path: Path) -> None:
    world.client(ordering="none")
    for key in (KEY, "other"):
        bridge.publish(world.eyes, "a", {"n": 1}, key=key)
    world.succeed(*world.hand_over())
    prune(world.store, before=None, keep=0, first=archiver(world.store, place_of(str(tmp_path))))
    at = ("--archive", str(tmp_path))
    assert "key=customer-17" in done(run("tail", "--from", "beginning", *at))
    assert done(run("tail", "--from", "beginning")) == ""
    lines = tmp_path / "lines"
    lines.write_text(done(run("tail", "--from", "2", "--json", *at)))
    assert done(run("publish", "--many", str(lines)))
    assert "in the archive, 1 event is erased" in done(run("erase", "--key", KEY, "--yes", *at))
    told = done(run("replay", "c", "--from", "1", *at))
    assert told.startswith("2 archived events put back into the log, until pruned again\n2 events from 1 to 2 go")
    assert {1, 2} <= set(offsets([*world.hand_over(), *world.hand_over()]))
    assert world.rows("events", "payload")[0] == {"erased": True}


def test_the_journal_is_archived_only_where_both_options_are_given(run: Run, world: World, tmp_path: Path) -> None:
    world.eyes.execute(
        "INSERT INTO fq.journal (by, client_id, action, at) VALUES ('me', 'c', 'pause', now() - interval '400 days')"
    )
    assert run("journal", "--archive", str(tmp_path)).exit_code == 2
    assert run("journal", "c", "--archive", str(tmp_path), "--older-than", "1d").exit_code == 2
    told = done(run("journal", "--archive", str(tmp_path), "--older-than", "365d"))
    assert told.startswith("1 entry of the journal moved into the archive\n  journal-")
    assert "archive journal by" in done(run("journal"))
    assert run("tail", "--from", "1", "--archive", "nonsense://x").exit_code == 2
