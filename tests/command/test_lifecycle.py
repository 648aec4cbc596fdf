"""`pause`, `resume` and `remove`: what they did, and what they refuse."""

from __future__ import annotations

from typing import Any

import psycopg

from bridge.operate.user import user_at_host
from tests.command.running import Run, actions, done, parsed
from tests.support.world import World


def test_pause_and_resume_are_on_the_record(run: Run, eyes: psycopg.Connection[Any]) -> None:
    run("register", "billing", "--task", "shop.bill")
    assert "until `bridge resume billing`" in done(run("pause", "billing", "--reason", "deploy"))
    state, reason, by = eyes.execute("SELECT state, state_reason, state_by FROM fq.clients").fetchone()  # type: ignore[misc]
    assert (state, reason) == ("paused", "deploy")
    assert "@" in by
    assert f"billing is paused by {by}: deploy" in done(run("status"))
    done(run("resume", "billing"))
    assert eyes.execute("SELECT state FROM fq.clients").fetchone() == ("active",)
    assert "paused" not in done(run("status"))


def test_pause_resume_and_drain_say_what_they_did(run: Run, world: World) -> None:
    world.client()
    assert done(run("resume", "c")) == "client c is active already\n"
    assert "until `bridge resume c`" in done(run("pause", "c", "--reason", "deploy"))
    assert done(run("resume", "c")) == "client c is active, it was paused\n"
    world.publish(None)
    [delivery] = world.hand_over()
    assert parsed(run("pause", "c", "--drain", "--json")) == {"client": "c", "state": "draining"}
    assert "is draining" in done(run("pause", "c", "--drain"))
    world.succeed(delivery)
    world.hand_over()
    assert world.row()["state"] == "paused"
    assert parsed(run("resume", "c", "--json")) == {"client": "c", "state": "active", "was": "paused"}
    assert parsed(run("pause", "c", "--json"))["state"] == "paused"


def test_remove_asks_and_refuses_while_deliveries_are_open(run: Run, parked: World) -> None:
    parked.publish(None)
    parked.hand_over()
    asked = run("remove", "c", input="n\n")
    assert asked.exit_code == 1
    assert "remove client c with its cursor at 3, 1 open delivery and 3 parked events?" in asked.stderr
    refused = run("remove", "c", "--yes")
    assert refused.exit_code == 2
    assert (
        "has 1 open delivery: `bridge pause c --drain` lets it finish, `bridge remove c --force` forgets it"
        in refused.stderr
    )
    assert run("remove", "c", "--json", "--force").exit_code == 2
    assert parked.row()["state"] == "active"
    assert parsed(run("remove", "c", "--force", "--yes", "--json")) == {
        "client": "c",
        "offset": 3,
        "open": 1,
        "parked": 3,
    }
    assert parked.rows("clients") == []
    assert actions(parked) == [("remove", user_at_host())]
    parked.client("d")
    assert "client d is removed" in run("remove", "d", input="y\n").stdout
