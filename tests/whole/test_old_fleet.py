"""Fleets older than the bridge: what it sends is Celery's own, and what their workers send back settles it (G8).

Every old Celery lives in a virtual environment of its own, without the bridge, without a driver for Postgres.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from celery import Celery
from redis import Redis

from bridge.contract import celery_link
from bridge.sender.sender import Sender
from tests.conftest import WORKERS
from tests.support.databases import Databases, RedisDatabases
from tests.support.fleets import let_go_on, offsets
from tests.support.old_celery import OLDEST, REQUIREMENTS, old_python
from tests.support.stage import Stage
from tests.support.world import World


@pytest.fixture(
    scope="module",
    params=[it if it == OLDEST else pytest.param(it, marks=pytest.mark.slow) for it in REQUIREMENTS],
)
def old_celery(request: pytest.FixtureRequest) -> tuple[str, Path]:
    """Return a version of Celery and a Python that has it."""
    return request.param, old_python(request.param, request.config)


@pytest.fixture(scope="module")
def _bridge(
    _databases: Databases, _redis_databases: RedisDatabases, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Stage]:
    with _redis_databases.empty() as redis_url, _databases.clone() as database:
        stage = Stage(database, redis_url, tmp_path_factory.mktemp("bridge"))
        try:
            stage.bridge()
            yield stage
        finally:
            stage.close()


@pytest.fixture
def stage(request: pytest.FixtureRequest, _bridge: Stage) -> Iterator[Stage]:
    """Return a stage with a bridge that all tests share; its fleet is the test's own, and gone afterwards."""
    request.node.stash[WORKERS] = _bridge.workers
    _bridge.redis.delete("handled")
    yield _bridge
    for worker in _bridge.workers[1:]:
        worker.kill()
    del _bridge.workers[1:]


def test_g8_an_old_fleet_that_creates_no_queues_and_knows_no_bridge_is_a_client(
    stage: Stage, old_celery: tuple[str, Path]
) -> None:
    version, python = old_celery
    client = f"fleet-{version}"
    stage.client(client, max_attempts=2)
    good = [stage.publish(f"{client}.event", {"n": n}) for n in range(20)]
    poison = stage.publish(f"{client}.event", {"do": "fail"})
    recovers = stage.publish(f"{client}.event", {"do": "fail once"})
    lost = stage.publish(f"{client}.event", {"do": "lose the process"})
    let_go_on(stage.redis_url, recovers)
    fleet = stage.fleet(f"old-{version}", python=python, env={"PYTHONPATH": ""})
    stage.wait_until_done(client)
    notes = stage.handled()
    assert sorted(offsets(notes)) == sorted([*good, poison, poison, recovers, recovers, lost, lost])
    assert {note["id"] for note in notes} >= {f"{client}:{offset}:a2" for offset in (poison, recovers, lost)}
    row = stage.eyes.execute("SELECT delivered, succeeded FROM fq.clients WHERE id = %s", [client]).fetchone()
    assert row == (23, 22)
    parked = stage.eyes.execute('SELECT "offset", attempts FROM fq.parked WHERE client_id = %s', [client]).fetchall()
    assert parked == [(poison, 2)]
    assert f" v{version} " in fleet.log
    assert "Pool callback raised exception" not in fleet.log
    assert not any(note["bridge installed"] for note in notes)


def test_g7_a_handler_of_single_events_gets_many_from_one_message_and_poison_is_found_among_them(
    stage: Stage, old_celery: tuple[str, Path]
) -> None:
    version, python = old_celery
    client = f"calls-{version}"
    stage.client(client, batch=8, batch_as="calls", max_attempts=2, state="paused")
    good = [stage.publish(f"{client}.event", {"n": n}) for n in range(12)]
    poison = stage.publish(f"{client}.event", {"do": "fail"})
    good += [stage.publish(f"{client}.event", {"n": n}) for n in range(12)]
    stage.eyes.execute("UPDATE fq.clients SET state = 'active' WHERE id = %s", [client])
    fleet = stage.fleet(f"calls-{version}", python=python, env={"PYTHONPATH": ""})
    stage.wait_until_done(client)
    notes = stage.handled()
    assert {note["task"] for note in notes} == {"plain.handle"}
    assert all(note["args"][0]["offset"] in {*good, poison} for note in notes), "a single event each"
    assert set(offsets(notes)) == {*good, poison}
    alone = [note["id"] for note in notes if note["args"][0]["offset"] == poison and note["id"]]
    assert len(alone) == 2 and alone[-1].startswith(f"{client}:{poison}:a"), "tried twice as an ordinary task"
    parked = stage.eyes.execute('SELECT "offset" FROM fq.parked WHERE client_id = %s', [client]).fetchall()
    assert parked == [(poison,)]
    assert "celery.map" not in fleet.log, "what the log names is the handler"


def test_the_callbacks_signature_is_the_one_that_every_fleet_can_publish() -> None:
    assert celery_link("bridge.commit", "bridge", ("c", 42, 1, 2, "signature")) == {
        "task": "bridge.commit",
        "args": ["c", 42, 1, 2, "signature"],
        "kwargs": {},
        "subtask_type": None,
        "immutable": True,  # or the result goes before the arguments
        "options": {
            "exchange": "",
            "routing_key": "bridge",
            "exchange_type": "topic",  # anything but `direct`, or it goes to the fleet's own default queue
            "serializer": "json",  # or the fleet's, which the bridge may refuse
            "priority": 0,  # or the fleet's, which on Redis is another list
            "ignore_result": True,
            "retry": True,
            "retry_policy": {"max_retries": 10, "interval_start": 0, "interval_step": 0.5, "interval_max": 5},
        },
    }


# What may differ between the message of a delivery and the one that `send_task` sends, and why.
DIFFERENT = {
    ("headers", "origin"): "pid and host of the sender",
    ("headers", "argsrepr"): "short and readable in Flower, where Celery's own is the whole event",
    ("properties", "delivery_tag"): "random",
    ("properties", "reply_to"): "random per process; nobody replies, since results go to the fleet's own backend",
}


@pytest.mark.parametrize("key", [None, "key"])
def test_a_delivery_is_the_message_that_send_task_would_send_field_by_field(
    world: World, redis_url: str, key: str | None
) -> None:
    world.client("c", queue="fleet")
    [offset] = world.publish(key, topic="order.created")
    with Celery("bridge", broker=redis_url) as app, Redis.from_url(redis_url) as broker:
        sender = Sender(app, queue="bridge", secret="secret", connect_timeout_seconds=5)
        world.one_pass("c", send=sender.send)
        sender.close()
        [ours] = [json.loads(message) for message in broker.lrange("fleet", 0, -1)]
        broker.delete("fleet")
        [event], kwargs, embedded = json.loads(base64.b64decode(ours["body"]))
        attempt = [*embedded["callbacks"][0]["args"]]
        app.send_task(
            "fleet.handle",
            args=[event],
            task_id=f"c:{offset}",
            queue="fleet",
            link=celery_link("bridge.commit", "bridge", attempt),
            link_error=celery_link("bridge.fail", "bridge", attempt),
            headers={
                "bridge_client": "c",
                "bridge_offset": offset,
                "bridge_attempt": 1,
                "bridge_epoch": 1,
                "bridge_generation": 1,
            },
            ignore_result=None,  # the default since Celery 5.7: the fleet's own setting counts
        )
        [celerys] = [json.loads(message) for message in broker.lrange("fleet", 0, -1)]
    assert event["key"] == key and event["offset"] == offset and kwargs == {}
    assert attempt[:4] == ["c", offset, 1, 1]
    fields = ["attempt", "client", "created_at", "epoch", "generation", "headers", "key", "offset", "payload", "topic"]
    assert sorted(event) == fields
    ours["body"], celerys["body"] = (json.loads(base64.b64decode(message["body"])) for message in (ours, celerys))
    assert flat(ours) == flat(celerys)
    for where, name in DIFFERENT:
        assert type(ours[where][name]) is type(celerys[where][name])
    named = "" if key is None else f", key {key}"
    assert ours["headers"]["argsrepr"] == f"(<order.created #{offset}{named}> {{}},)"


def flat(message: dict[str, Any]) -> dict[tuple[str, str], Any]:
    """Return every field of an envelope by its place, except those that may differ."""
    fields = {("", name): value for name, value in message.items() if name not in ("headers", "properties")}
    for place in ("headers", "properties"):
        fields |= {(place, name): value for name, value in message[place].items()}
    return {name: value for name, value in fields.items() if name not in DIFFERENT}
