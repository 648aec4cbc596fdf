"""The worst that was seen: a replica is promoted that lacks the last events, and their messages are still queued.

The log gives their offsets to new events. No stored event may be passed over (G1), no effect of an event that does not
exist may happen once that is noticed, and no two payloads may be handled under one idempotency key (G6).
"""

from __future__ import annotations

import base64
import json
from collections import defaultdict
from collections.abc import Iterator
from typing import Any, NamedTuple

import psycopg
import pytest
from celery import Celery
from celery.exceptions import Ignore
from redis import Redis
from sqlalchemy import text

import bridge
from bridge.errors import LogRewound
from bridge.operate.resync import resync
from bridge.settle.read_callbacks import settle_callbacks
from bridge.store.migrate import migrate
from bridge.worker.old_messages import refuse_old, set_known_generation
from tests.marks.shop import Shop
from tests.support.clusters import Clusters, clusters, free_port
from tests.support.waiting import wait_until
from tests.support.world import World

pytestmark = pytest.mark.slow

EFFECTS = 'CREATE TABLE public.effects (generation int, "offset" bigint, payload text)'


class Message(NamedTuple):
    """A message as a fleet's worker takes it."""

    event: dict[str, Any]
    headers: dict[str, Any]
    commit: list[Any]


@pytest.fixture
def servers() -> Iterator[Clusters]:
    with clusters() as it:
        yield it


@pytest.fixture
def _known() -> Iterator[None]:
    yield
    set_known_generation(0)


def taken(redis_url: str) -> list[Message]:
    """Take all messages of the fleet's queue."""
    found = []
    with Redis.from_url(redis_url) as redis:
        while raw := redis.rpop("fleet"):
            message = json.loads(raw)
            args, _, embedded = json.loads(base64.b64decode(message["body"]))
            found.append(Message(args[0], message["headers"], embedded["callbacks"][0]["args"]))
    return found


class Fleet:
    """Handles messages: each event has an effect in the database, and a note under its idempotency key."""

    def __init__(self) -> None:
        self.handled: dict[tuple[Any, ...], set[str]] = defaultdict(set)

    def in_transaction(self, app: Celery, messages: list[Message]) -> int:
        """Handle messages with `bridge.transaction`; return how many took effect."""
        took = 0
        app.set_current()
        for it in messages:
            try:
                with bridge.transaction(it.event) as session:
                    values = {name: it.event[name] for name in ("generation", "offset")}
                    session.execute(
                        text("INSERT INTO public.effects VALUES (:generation, :offset, :payload)"),
                        {**values, "payload": it.event["payload"]},
                    )
                took += 1
            except bridge.AlreadyDone:
                pass
        return took

    def plainly(self, messages: list[Message]) -> None:
        """Handle messages without it."""
        for it in messages:
            event = it.event
            self.handled[event["client"], event["generation"], event["offset"]].add(event["payload"])


def publish(eyes: psycopg.Connection[Any], word: str, number: int) -> list[int]:
    return bridge.publish_many(eyes, [("t", word)] * number)


def before(servers: Clusters, redis_url: str, url: str, fleet: Fleet) -> list[Message]:
    """Let five events be handled on the primary, and six be sent that no replica has; return the messages of these."""
    with psycopg.connect(url, autocommit=True) as eyes:
        eyes.execute(EFFECTS)
        with World.at(url, eyes) as world, Shop(world, url, redis_url) as shop:
            shop.client(ordering="none")
            publish(eyes, "kept", 5)
            shop.tick()
            kept = taken(redis_url)
            fleet.in_transaction(shop.app, kept)
            fleet.plainly(kept)
            settle_callbacks(shop.bridge, [("bridge.commit", it.commit) for it in kept])
            assert world.cursor() == 5
            replica = str(servers.home / "replica")
            servers.run("pg_basebackup", "-d", url, "-D", replica, "-R", "-X", "stream", "--checkpoint=fast")
            publish(eyes, "lost", 6)
            shop.tick()
            lost = taken(redis_url)
            assert len(lost) == 6
            fleet.plainly(lost[:3])
            return lost


@pytest.mark.usefixtures("_known")
@pytest.mark.parametrize("in_transaction", [True, False], ids=["with bridge.transaction", "without"])
def test_g1_g6_a_replica_without_the_last_events_is_promoted(
    servers: Clusters, redis_url: str, *, in_transaction: bool
) -> None:
    port, fleet = free_port(), Fleet()
    primary, replica = servers.make("primary", wal_keep_size="64MB"), servers.home / "replica"
    url = servers.start(primary, port)
    migrate(url)
    lost = before(servers, redis_url, url, fleet)
    servers.stop(primary, "immediate")
    servers.start(replica, port)
    servers.run("pg_ctl", "-D", str(replica), "-w", "promote")
    with psycopg.connect(url, autocommit=True) as eyes, World.at(url, eyes) as world:
        wait_until(lambda: not world.ask("SELECT pg_is_in_recovery()"), what="the replica is promoted")
        new = publish(eyes, "new", 4)
        assert new[0] <= 11, "the log has given offsets of lost events to others"
        with Shop(world, url, redis_url) as shop:
            assert isinstance(shop.stopped(), LogRewound), "the broker remembers what the database does not"
            assert (taken(redis_url), world.cursor(), world.rows("deliveries")) == ([], 5, [])
            assert fleet.in_transaction(shop.app, lost) == 0
            done = resync(shop.bridge, by="me", from_broker_mark=True)
            assert (done.generation, done.first, done.mark_renewed) == (2, 6, True)
            assert (done.lost_from, done.lost_upto, done.lost_present) == (6, 11, len(new))
            shop.tick()
            again = taken(redis_url)
            assert [it.event["offset"] for it in again] == new, "every stored event goes out"
            assert {it.event["generation"] for it in again} == {2}
            if in_transaction:
                assert fleet.in_transaction(shop.app, lost) == 0, "nor do they take the place of the new ones"
                assert fleet.in_transaction(shop.app, again) == len(new)
                words = eyes.execute("SELECT payload, count(*) FROM public.effects GROUP BY 1 ORDER BY 1").fetchall()
                assert words == [("kept", 5), ("new", 4)]
            else:
                set_known_generation(done.generation)  # as a worker that has the bridge installed reads it
                assert [_is_refused(it) for it in [*lost, *again]] == [True] * 6 + [False] * 4
            fleet.plainly([*lost, *again])  # a fleet that has not installed the bridge
            assert {len(words) for words in fleet.handled.values()} == {1}, "one payload under one key"
            late = settle_callbacks(shop.bridge, [("bridge.commit", it.commit) for it in lost])
            assert (late.succeeded, late.outdated, world.cursor()) == (0, 6, 5), "they finish none of the new ones"
            assert settle_callbacks(shop.bridge, [("bridge.commit", it.commit) for it in again]).succeeded == 4
            assert world.cursor() == done.sequence
            assert publish(eyes, "later", 1) == [12], "above everything that was ever seen"


def _is_refused(it: Message) -> bool:
    try:
        refuse_old(type("Request", (), it.headers))
    except Ignore:
        return True
    return False
