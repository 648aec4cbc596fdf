"""`resync`: without --yes it only says what it would do."""

from __future__ import annotations

from tests.command.running import Run, actions, done, parsed, refused
from tests.support.world import World

SET_BACK = "SELECT setval('fq.events_offset_seq', 3)"


def test_resync_says_what_it_would_do_and_does_it_with_yes(run: Run, world: World) -> None:
    world.client(ordering="none")
    world.publish(*[None] * 10)
    world.succeed(*world.hand_over()[:9])
    world.eyes.execute(SET_BACK)
    said = done(run("resync"))
    assert said == done(run("resync", "--dry-run", "--yes")), "--dry-run wins"
    assert said.splitlines() == [
        "no witness knows of an event that the log does not have",
        "generation 2 would begin at offset 11",
        "the sequence would go from 3 to 10",
        "1 open delivery would go out again",
        "nothing was changed: `bridge resync --yes` does it",
    ]
    assert (world.ask("SELECT fq.last_drawn()"), world.ask("SELECT fq.generation()"), actions(world)) == (3, 1, [])
    assert "has no mark of this log" in refused(run("resync", "--yes", "--from-broker-mark"))
    did = parsed(run("resync", "--yes", "--above", "40", "--json"))
    assert (did["done"], did["generation"], did["sequence"], did["lost_from"], did["lost_upto"]) == (
        True,
        2,
        40,
        11,
        40,
    )
    assert did["clients"] == [{"client": "c", "before": 9, "offset": 9, "again": 1, "forgotten": 0}]
    assert (world.publish(None), [action for action, _ in actions(world)]) == ([41], ["resync"])
    assert "resync" in done(run("journal"))
    assert "'-3' is not the offset of an event" in run("resync", "--above", "-3").stderr
