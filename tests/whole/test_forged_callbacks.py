"""Send the bridge callbacks that are forged, malformed, repeated or old: they change nothing (G6)."""

from __future__ import annotations

from typing import Any

from celery import Celery

from tests.support.fleets import let_go_on
from tests.support.stage import Stage
from tests.support.waiting import wait_until


def test_g6_forged_malformed_repeated_and_old_callbacks_change_nothing(loop: Stage) -> None:
    loop.client("fenced", ordering="none")
    loop.client("renewed")
    loop.client("canary")
    done = loop.publish("fenced.event", {"is": "done"})
    again = loop.publish("fenced.event", {"do": "fail once"})
    open_ = loop.publish("fenced.event", {"do": "wait"})
    renewed = loop.publish("renewed.event", {"do": "wait"})
    wait_until(
        lambda: (
            loop.ask("SELECT succeeded = 1 FROM fq.clients WHERE id = 'fenced'")
            and {f"fenced:{again}:a2", f"fenced:{open_}", f"renewed:{renewed}"} <= task_ids(loop)
        ),
        what="one event is done, one in its second attempt, two are in their first",
    )
    loop.eyes.execute("DELETE FROM fq.clients WHERE id = 'renewed'")
    loop.client("renewed")
    wait_until(lambda: f"renewed:{renewed}:e2" in task_ids(loop), what="... and one of them in a second epoch")
    callbacks = {note["id"]: (note["callbacks"][0], note["errbacks"][0]) for note in loop.handled()}
    commit, _ = callbacks[f"fenced:{open_}"]
    *attempt, signature = commit["args"]
    client, _, epoch, nth = attempt
    before = state(loop, "fenced", "renewed")
    malformed: list[list[Any]] = [
        [*attempt, signature[::-1]],
        [*attempt, ""],
        [*attempt, None],
        [*attempt, "\ud800"],
        attempt,
        [],
        [*commit["args"], 1],
        [client, again, epoch, nth, signature],
        [client, open_, epoch, nth + 1, signature],
        ["renewed", renewed, epoch, nth, signature],
        ["nobody", open_, epoch, nth, signature],
        ["\ud800", open_, epoch, nth, signature],
        [client, 10**30, epoch, nth, signature],
        [client, float("inf"), epoch, nth, signature],
        [client, "first", epoch, nth, signature],
        [None] * 5,
        [[], {}, [], {}, []],
    ]
    forged: list[tuple[str, list[Any]]] = [
        *((callback["task"], callback["args"]) for callback in callbacks[f"fenced:{done}"]),  # repeated
        ("bridge.fail", callbacks[f"fenced:{again}"][1]["args"]),  # of the attempt before
        *((callback["task"], callback["args"]) for callback in callbacks[f"renewed:{renewed}"]),  # of the epoch before
        *((task, args) for task in ("bridge.commit", "bridge.fail") for args in malformed),
        ("bridge.nothing", commit["args"]),
    ]
    with Celery("stranger", broker=loop.redis_url) as stranger:
        for task, args in forged:
            stranger.send_task(task, args=args, queue="bridge")
        stranger.send_task("bridge.commit", kwargs={"client": client, "offset": open_}, queue="bridge")
    loop.publish("canary.event")  # its outcome comes after all of that
    wait_until(lambda: loop.ask("SELECT succeeded = 1 FROM fq.clients WHERE id = 'canary'"), what="the canary is back")
    assert state(loop, "fenced", "renewed") == before
    let_go_on(loop.redis_url, again, open_, renewed, renewed)  # the latter in both epochs
    loop.wait_until_done("fenced", "renewed")
    assert loop.ask("SELECT array_agg(succeeded ORDER BY id) FROM fq.clients WHERE id IN ('fenced', 'renewed')") == [
        3,
        1,
    ]


def task_ids(stage: Stage) -> set[str]:
    """Return the ids of all tasks that have begun."""
    return {note["id"] for note in stage.handled()}


def state(stage: Stage, *clients: str) -> list[Any]:
    """Return all that an outcome could change."""
    return [
        stage.eyes.execute(query, [list(clients)]).fetchall()
        for query in (
            'SELECT id, "offset", epoch, state, delivered, succeeded FROM fq.clients WHERE id = ANY (%s) ORDER BY id',
            'SELECT * FROM fq.deliveries WHERE client_id = ANY (%s) ORDER BY client_id, "offset"',
            'SELECT * FROM fq.parked WHERE client_id = ANY (%s) ORDER BY client_id, "offset"',
            'SELECT * FROM fq.lanes WHERE client_id = ANY (%s) ORDER BY client_id, "offset"',
        )
    ]
