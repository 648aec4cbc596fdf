"""`audit` says whether everything adds up, and a script can tell it by the exit code."""

from __future__ import annotations

import json

from tests.command.running import Run, actions, done
from tests.support.world import World


def test_an_audit_that_holds_counts_every_offset(run: Run, world: World) -> None:
    world.client()
    world.publish(None, None)
    world.succeed(world.hand_over()[0])
    assert done(run("audit", "c")).splitlines() == [
        "client c, offsets 1 to 2",
        "  1 finished",
        "  1 open",
        "  0 parked",
        "  0 waiting for their key",
        "  0 filtered out",
        "  0 not handed over yet",
        "  0 pruned",
        "  0 never written",
        "everything adds up",
    ]
    part = done(run("audit", "c", "--from", "2", "--to", "2"))
    assert "offsets 2 to 2\n  0 finished\n  1 open\n" in part
    assert "note: the ledger was not compared with the log: for that the range has to cover 1 to 2" in part
    assert actions(world) == []


def test_what_does_not_add_up_is_named_and_the_exit_code_is_1_until_it_is_accepted(run: Run, world: World) -> None:
    world.client()
    world.publish(None, None, None)
    world.hand_over()
    world.eyes.execute('DELETE FROM fq.deliveries WHERE "offset" = 2')
    result = run("audit", "c")
    assert result.exit_code == 1
    assert "missing: 1 time: was open or parked, and is gone without an outcome: 2\n" in result.stdout
    result = run("audit", "c", "--json")
    assert result.exit_code == 1
    said = json.loads(result.stdout)
    assert (said["holds"], said["counts"]["open"], said["notes"]) == (False, 2, [])
    assert [(it["kind"], it["offsets"]) for it in said["contradictions"]] == [("missing", [2])]
    assert "the ledger of client c begins anew" in done(run("audit", "c", "--accept"))
    assert "everything adds up" in done(run("audit", "c"))
    assert [action for action, *_ in actions(world)] == ["accept"]
