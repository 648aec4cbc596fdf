"""Whatever a serializer of somebody's own raises or returns, it harms no other event and no other client (G10)."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any, NoReturn

import pytest
from kombu.serialization import register, unregister

from bridge.app import Bridge
from tests.pump.test_rehearsals import bridge, sent, tick
from tests.support.world import World

__all__ = ["bridge"]  # a fixture

MARKED = '"marked"'


class Mute(Exception):
    def __str__(self) -> str:
        raise KeyError("no words")


def raising(error: BaseException) -> Callable[[], NoReturn]:
    def write() -> NoReturn:
        raise error

    return write


ODD: dict[str, Callable[[], Any]] = {
    "U+0000": raising(ValueError("bad \0")),
    "half of a pair": raising(ValueError("bad \udce9")),
    "no words": raising(Mute()),
    "20 MB": raising(ValueError("x" * 20_000_000)),
    "the end of the process": raising(SystemExit(1)),
    "Ctrl-C": raising(KeyboardInterrupt()),
    "nothing": lambda: None,
    "a number": lambda: 5,
    "an object": dict,
    "a text that is none": lambda: "\udce9",
}


@pytest.fixture(params=ODD)
def odd(request: pytest.FixtureRequest) -> Iterator[list[str]]:
    """Register a serializer that is odd about every message with one of these texts in it."""
    about: list[str] = []

    def write(data: Any) -> Any:
        text = json.dumps(data)
        return ODD[request.param]() if any(it in text for it in about) else text

    register("odd", write, json.loads, "application/x-odd", "utf-8")
    yield about
    unregister("odd")


def publish(world: World) -> None:
    """Append three events, of which the second is marked."""
    for payload in ("{}", MARKED, "{}"):
        world.eyes.execute("INSERT INTO fq.events (topic, payload) VALUES ('order.created', %s)", [payload])


def test_g10_the_event_at_fault_alone_is_parked(world: World, bridge: Bridge, redis_url: str, odd: list[str]) -> None:
    world.client("c", serializer="odd", ordering="none")
    world.client("free")
    odd.append(MARKED)
    publish(world)
    tick(bridge, 3)
    assert sent(redis_url) == {f"c:{nth}": 1 for nth in (1, 3)} | {f"free:{nth}": 1 for nth in (1, 2, 3)}
    [(offset, reason)] = world.rows("parked", '"offset", reason')
    assert offset == 2
    assert reason.startswith("undeliverable: serializer 'odd' can't write it: ")
    assert len(reason) < 1000


def test_g10_where_nothing_can_be_written_it_is_that_client_s_trouble_in_one_line(
    world: World, bridge: Bridge, redis_url: str, odd: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    world.client("c", serializer="odd", ordering="none")
    world.client("free")
    odd.append("")
    publish(world)
    tick(bridge, 3)
    assert sent(redis_url) == {f"free:{nth}": 1 for nth in (1, 2, 3)}
    trouble = str(world.row("c")["trouble"])
    assert trouble.startswith("a message can't be serialised: ")
    assert len(trouble) < 3000
    assert len([line for line in caplog.messages if "client c can't be served" in line]) == 1
    assert "Traceback" not in caplog.text
