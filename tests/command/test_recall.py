"""`recall`: what goes out again, and what it says."""

from __future__ import annotations

from celery import Celery

import bridge
from tests.command.running import Run, actions, done, parsed, refused
from tests.support.world import World, offsets


def test_recall_says_how_many_events_go_out_again(run: Run, world: World) -> None:
    world.client()
    world.publish("a", "b", None)
    world.hand_over()
    assert done(run("recall", "c", "--key", "a", "--reason", "purged")) == (
        "1 open event goes to client c again, and no attempt is counted\n"
    )
    assert offsets(world.hand_over()) == [1]
    assert parsed(run("recall", "c", "--offset", "2", "--json")) == {"client": "c", "recalled": [2], "finished": []}
    world.eyes.execute("""UPDATE fq.deliveries SET state = 'done' WHERE "offset" = 3""")
    assert done(run("recall", "c")).splitlines() == [
        "1 event is finished without a message: the handler's transaction is done",
        "1 open event goes to client c again, and no attempt is counted",
    ]
    assert [(it.offset, it.attempt) for it in world.hand_over()] == [(1, 3), (2, 2)]
    assert [action for action, _ in actions(world)] == ["recall"] * 3
    assert "not recalled: 1 (" in refused(run("recall", "c", "--key", "b", "--key", "nobody", "--offset", "1"))


def test_recall_says_that_nothing_fits_and_refuses_what_the_bridge_does_not_drive(run: Run, world: World) -> None:
    world.client()
    assert done(run("recall", "c")) == (
        "nothing to recall: no open event of client c fits, or they wait for their next attempt\n"
    )
    world.eyes.execute("SELECT fq.commit('reader', 0)")
    assert "is a plain SQL reader" in refused(run("recall", "reader"))
    assert actions(world) == []


def test_recall_works_while_the_broker_is_away(database: str, world: World) -> None:
    world.client()
    world.publish(None)
    world.hand_over()
    app = Celery("shop", set_as_current=False)
    app.conf.update(bridge_database_url=database, broker_url="redis://127.0.0.1:1/0")
    with bridge.Operator(app, by="me@here") as operator:
        assert operator.recall("c", reason="the broker is new").offsets == [1]
    assert actions(world) == [("recall", "me@here")]
