"""Everything that can be done to a log and its clients, in any order: audits raise no false alarm, and nothing is left.

Restores, archives, erasures, replays, scheduled events and ids are among it, beside passes and outcomes (G1, G3).
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

import bridge as package
from bridge.app import Bridge
from bridge.archive.places import place_of
from bridge.errors import BridgeError
from bridge.model import Delivery, Position
from bridge.operate import lifecycle
from bridge.operate.audit import audit
from bridge.operate.erase import erase
from bridge.operate.replay import replay, stop_replays
from bridge.operate.replay_archived import replay_archived
from bridge.operate.resync import resync
from bridge.operate.seek import seek
from bridge.retention.archive import archiver
from bridge.retention.prune import prune
from bridge.store.recall import recall_all
from bridge.store.scheduled import append_due
from tests.support.world import World

STEPS = 60
TABLES = ("deliveries", "lanes", "parked", "replays", "aside")
SETTINGS: Mapping[str, dict[str, Any]] = {
    "by-key": {"max_attempts": 2, "window": 4, "backoff_seconds": 0, "on_exhausted": "hold-key"},
    "unordered": {"ordering": "none", "max_attempts": 1, "window": 3, "topics": ["a.#"]},
    "strict": {"ordering": "strict", "max_attempts": 3, "window": 5, "backoff_seconds": 0, "rate": "3/s"},
}


class Walk:
    """A log whose clients go through anything; what is refused is not done."""

    def __init__(self, world: World, bridge: Bridge, archive: Path, seed: int) -> None:
        self.world, self.store, self.bridge = world, world.store, bridge
        self.archive, self.dice = place_of(str(archive)), random.Random(seed)
        self.out: dict[str, list[Delivery]] = {id: [] for id in SETTINGS}
        self.generation = 1
        for id, settings in SETTINGS.items():
            world.client(id, **settings)

    @property
    def client(self) -> str:
        return self.dice.choice(list(SETTINGS))

    @property
    def options(self) -> dict[str, Any]:
        """Where a replay begins and what it takes."""
        topics = self.dice.choice([None, ["a.#"]])
        return {"start": Position(offset=self.dice.randint(1, 20)), "end": Position(end=True), "topics": topics}

    def publish(self) -> None:
        for _ in range(self.dice.randint(1, 6)):
            key = self.dice.choice([None, "k1", "k2", "k3"])
            options: dict[str, Any] = self.dice.choice([{}, {"id": f"i{self.dice.randint(1, 60)}"}])
            topic = "a.x" if options else self.dice.choice(["a.x", "b.x"])
            options |= self.dice.choice([{}, {"deliver_after": 0}]) if options else {}
            package.publish(self.world.eyes, topic, {"name": "bob"}, key=key, **options)

    def roll_back(self) -> None:
        with pytest.raises(KeyError), self.world.eyes.transaction():
            package.publish(self.world.eyes, "a.x", {})
            raise KeyError

    def append_due(self) -> None:
        append_due(self.store, most=self.dice.choice([1, 100]))

    def hand_over(self) -> None:
        client = self.client
        self.out[client] += self.world.hand_over(client, limit=self.dice.choice([1, 2, 500]))

    def succeed(self) -> None:
        client = self.client
        some = [delivery for delivery in self.out[client] if self.dice.random() < 0.6]
        self.out[client] = [delivery for delivery in self.out[client] if delivery not in some]
        self.world.succeed(*some, generation=max(1, self.generation - self.dice.choice([0, 0, 0, 1])))

    def fail(self) -> None:
        some = [delivery for delivery in self.out[self.client] if self.dice.random() < 0.4]
        self.world.fail(*some, generation=self.generation)

    def time_passes(self) -> None:
        self.world.make_due()

    def prune(self) -> None:
        first = self.dice.choice([None, archiver(self.store, self.archive), archiver(self.store, self.archive)])
        prune(self.store, before=None, keep=self.dice.choice([0, 1, 5]), first=first)

    def replay(self) -> None:
        replay(self.store, self.client, per_second=1e6, by="me", **self.options)

    def replay_archived(self) -> None:
        replay_archived(self.store, self.client, archive=self.archive, per_second=1e6, by="me", **self.options)

    def stop_replays(self) -> None:
        stop_replays(self.store, self.client, by="me")

    def seek(self) -> None:
        seek(self.store, self.client, to=Position(offset=self.dice.randint(0, 30)), by="me")

    def resync(self) -> None:
        self.generation = resync(self.bridge, by="me").generation

    def recall(self) -> None:
        recall_all(self.store, reason="try")

    def erase(self) -> None:
        key, too = self.dice.choice(["k1", "k2", "k3"]), self.dice.choice([True, False])
        erase(self.store, key, by="me", key_too=too, archive=self.archive)

    def release(self) -> None:
        lifecycle.release(self.store, self.client, reason="try", by="me")

    def resume(self) -> None:
        lifecycle.resume(self.store, self.client, by="me")

    def pause(self) -> None:
        lifecycle.pause(self.store, self.client, reason="try", by="me", drain=self.dice.choice([True, False]))

    def redrive(self) -> None:
        self.world.eyes.execute("UPDATE fq.parked SET redrive = true")
        self.world.eyes.execute("UPDATE fq.clients SET wake_at = fq.at_once()")

    def change(self) -> None:
        self.world.client("unordered", topics=self.dice.choice([["a.#"], ["#"], ["b.x"]]))
        self.world.client("strict", ordering=self.dice.choice(["strict", "key", "none"]))

    def remove(self) -> None:
        lifecycle.remove(self.store, "unordered", by="me", force=True, reason="try")
        self.out["unordered"] = []
        self.world.client("unordered", start=self.dice.choice(["beginning", "end"]), **SETTINGS["unordered"])

    def steps(self) -> Iterator[Callable[[], None]]:
        often = [self.publish, self.hand_over, self.succeed] * 6 + [self.fail, self.time_passes, self.append_due] * 2
        seldom = [self.roll_back, self.prune, self.replay, self.replay_archived, self.stop_replays, self.seek]
        seldom += [self.resync, self.recall, self.erase, self.release, self.resume, self.resume, self.pause]
        seldom += [self.redrive, self.change, self.remove]
        for _ in range(STEPS):
            yield self.dice.choice([*often, *seldom])

    def finish(self, client: str) -> None:
        """Let a client handle all that there is, what is parked and replayed too."""
        idle = 0
        while idle < 4:
            self.redrive()
            self.time_passes()
            self.world.eyes.execute("UPDATE fq.replays SET started_at = now() - interval '1 hour'")
            handed = self.world.hand_over(client)
            self.world.succeed(*handed, generation=self.generation)
            idle = 0 if handed else idle + 1


@pytest.fixture
def bridge(world: World) -> Iterator[Bridge]:
    with world.bridge() as it:
        yield it


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(1, 5))
def test_g1_g3_whatever_is_done_in_whatever_order_all_adds_up_and_nothing_stands_still(
    world: World, bridge: Bridge, tmp_path: Path, seed: int
) -> None:
    walk, trail = Walk(world, bridge, tmp_path, seed), list[str]()
    for step in walk.steps():
        trail.append(step.__name__)
        try:
            step()
        except BridgeError as error:
            trail.append(str(error))
        assert [audit(world.store, id).contradictions for id in SETTINGS] == [()] * 3, trail
    world.client("strict", rate="")
    world.eyes.execute("UPDATE fq.clients SET state = 'paused'")
    for id in SETTINGS:
        lifecycle.resume(world.store, id, by="me")
    append_due(world.store, most=1000)
    for id in SETTINGS:
        walk.finish(id)
        assert audit(world.store, id).contradictions == ()
        assert world.cursor(id) == world.ask('SELECT "offset" FROM fq.horizon')
        assert {table: world.ask(f"SELECT count(*) FROM fq.{table} WHERE client_id = %s", id) for table in TABLES} == (
            dict.fromkeys(TABLES, 0)
        )
