"""Callbacks as they come from outside: a genuine one counts, and no other one costs it anything, however it is made."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest
from celery import Celery

from bridge.app import Bridge
from bridge.collector.reader import parse
from bridge.contract import sign
from bridge.settle import read_callbacks as module
from bridge.settle.apply import Applied
from bridge.settle.read_callbacks import one_by_one, outcomes_of, settle_callbacks
from bridge.settle.settle import Settled
from bridge.trouble import Tally
from tests.support.world import World


def deepest() -> int:
    """Find out how deep Python's json can read: about 1,000 levels in 3.11, more in each version after it."""
    readable, too_deep = 1, 1_000_000
    while too_deep - readable > 1:
        middle = (readable + too_deep) // 2
        try:
            json.loads("[" * middle + "]" * middle)
        except RecursionError:
            too_deep = middle
        else:
            readable = middle
    return readable


LIMIT = deepest()
DEPTHS = range(LIMIT * 6 // 10, LIMIT * 11 // 10, max(1, LIMIT // 200))  # less than the limit is on the stack already
NESTED = {
    "offset": '[["c", DEEP, 1, 1, "s"], {}, {}]',
    "an offset of a batch": '[["c", [1, DEEP], 1, 1, "s"], {}, {}]',
    "client": '[[DEEP, 1, 1, 1, "s"], {}, {}]',
    "signature": '[["c", 1, 1, 1, DEEP], {}, {}]',
    "arguments": "[DEEP, {}, {}]",
}


@pytest.fixture
def bridge(world: World) -> Iterator[Bridge]:
    with world.bridge() as it:
        yield it


@pytest.fixture(autouse=True)
def nothing_said(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the first line of each kind be said at once."""
    for name in ("malformed", "forged"):
        monkeypatch.setattr(module, name, Tally(logging.getLogger("bridge")))


@pytest.mark.parametrize("nested", NESTED.values(), ids=NESTED)
@pytest.mark.parametrize("brackets", ["[]", "{}"])
@pytest.mark.parametrize("joined", [False, True], ids=["alone", "joined"])
def test_nesting_at_the_limit_of_python_is_malformed_and_stops_no_one(
    bridge: Bridge, caplog: pytest.LogCaptureFixture, *, nested: str, brackets: str, joined: bool
) -> None:
    """One such message would otherwise be put back, and read again together with its neighbours, for ever."""
    left, right = ("[", "]") if brackets == "[]" else ('{"a":', "}")
    read = 0
    for depth in DEPTHS:
        body = nested.replace("DEEP", left * depth + "0" + right * depth)
        if joined:
            body = f'[[[["bridge.commit", {body[1 : body.rindex(", {}, {}]")]}]]], {{}}, {{}}]'
        found = parse("application/json", {"task": "bridge.settle" if joined else "bridge.fail"}, body.encode())
        if found is not None:
            read += 1
            assert settle_callbacks(bridge, [found]) == Settled()
    assert 0 < read < len(DEPTHS), "some are nested just deeply enough to be read, and others are not"
    assert module.malformed.count + module.forged.count == read
    assert len([text for text in caplog.messages if "is ignored" in text]) in (1, 2)
    assert max(map(len, caplog.messages)) < 500


def test_a_bad_pair_of_a_message_costs_the_genuine_ones_beside_it_nothing(
    world: World, bridge: Bridge, caplog: pytest.LogCaptureFixture
) -> None:
    world.client(ordering="none")
    world.publish(*[None] * 4)
    world.hand_over()

    def genuine(offset: int) -> list[Any]:
        return ["c", offset, 1, 1, sign("s", ("c", offset, 1, 1), generation=1)]

    pairs: list[Any] = [
        ["bridge.commit", genuine(1)],
        ["bridge.commit", ["c", 2, *genuine(1)[2:]]],  # forged: the signature of another event
        ["bridge.fail", ["c", 3, 1, 1, ""]],
        ["bridge.commit"],
        ["bridge.pump", []],
        ["bridge.settle", [[["bridge.commit", genuine(4)]]]],
        [["bridge.commit"], genuine(4)],
        None,
        "ab",
        ["bridge.commit", {"client": "c"}],
        ["bridge.fail", genuine(3)],
    ]
    assert settle_callbacks(bridge, [("bridge.settle", [pairs])]) == Settled(succeeded=1, retried=1)
    assert world.rows("deliveries", '"offset", state') == [(2, "sent"), (3, "retrying"), (4, "sent")]
    assert [text.partition(":")[0] for text in caplog.messages] == [
        "6 callbacks with malformed arguments are ignored",
        "1 callback with a wrong signature is ignored",
    ]
    assert (module.malformed.count, module.forged.count) == (7, 2)


def test_g10_a_flood_of_forged_callbacks_is_a_line_and_not_one_for_each(caplog: pytest.LogCaptureFixture) -> None:
    wrong = ["bridge.commit", ["c", 1, 1, 1, "0" * 32]]
    shapeless = ["bridge.commit", ["c", None, 1, 1, ""]]
    for _ in range(3):
        for callback in one_by_one([("bridge.settle", [[wrong, shapeless] * 10_000])]):
            assert outcomes_of(callback, secret="s") == []
    assert len(caplog.messages) == 2
    assert (module.malformed.count, module.forged.count) == (30_000, 30_000)


@pytest.mark.parametrize("args", [[], [[]], [3], [[["bridge.commit"]]], [[["bridge.pump", []]]], [["ab"]]])
def test_many_callbacks_that_are_none_are_a_warning(args: list[object], caplog: pytest.LogCaptureFixture) -> None:
    assert list(one_by_one([("bridge.settle", args)])) == []
    assert "malformed" in caplog.text


def test_very_many_outcomes_are_settled_in_parts_that_no_callback_spans(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[int] = []

    def settle(_: object, batch: list[object]) -> Applied:
        sizes.append(len(batch))
        return Applied(settled=Settled(succeeded=len(batch)))

    monkeypatch.setattr(module, "OUTCOMES_AT_ONCE", 5)
    monkeypatch.setattr(module, "settle_with_reasons", settle)
    with Celery("c", set_as_current=False) as app:
        app.conf.update(bridge_secret="s", bridge_database_url="postgresql://nobody@127.0.0.1:1/x")
        callback = ("bridge.commit", ["c", [1, 2, 3], 1, 1, sign("s", ("c", "1,2,3", 1, 1), generation=1)])
        done = settle_callbacks(Bridge(app), [("bridge.settle", [[callback] * 3])])
    assert (sizes, done.succeeded) == ([6, 3], 9)
