"""The signals of `bridge.signals`: sent after the commit, and harmless whatever a receiver does."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from celery.utils.dispatch import Signal

from bridge import signals
from bridge.happened import Happening, forget, observe, tell
from bridge.signals import halted, parked, recovered, trouble
from bridge.trouble import Trouble
from tests.support.waiting import wait_until
from tests.support.world import World


@pytest.fixture(autouse=True)
def _connected() -> Iterator[None]:
    before = {signal: list(signal.receivers or []) for signal in (parked, halted, trouble, recovered)}
    signals.connect()
    yield
    for signal, receivers in before.items():
        signal.receivers = receivers


def hear(signal: Signal) -> list[dict[str, Any]]:
    heard: list[dict[str, Any]] = []

    def note(sender: str, **values: Any) -> None:
        values.pop("signal")
        heard.append({"sender": sender, **values})

    signal.connect(note, weak=False)
    return heard


def test_an_event_that_is_parked_and_a_client_that_halts_are_signalled(world: World) -> None:
    of_parked, of_halted = hear(parked), hear(halted)
    world.client("c", max_attempts=1, on_exhausted="hold-key")
    world.client("h", max_attempts=1, on_exhausted="halt")
    [first] = world.publish("k")
    for client in ("c", "h"):
        world.fail(*world.hand_over(client))
    wait_until(lambda: of_parked and of_halted, what="both are heard")
    assert of_parked == [
        {
            "sender": "c",
            "client": "c",
            "offset": first,
            "key": "k",
            "attempt": 1,
            "task_id": f"c:{first}",
            "reason": "failed 1 time: ValueError: no",
            "error_type": "ValueError",
            "held": True,
        }
    ]
    why = {"reason": f"event {first} failed 1 time: ValueError: no", "error_type": "ValueError"}
    assert of_halted == [{"sender": "h", "client": "h", "offset": first, **why}]


def test_trouble_is_signalled_when_it_begins_and_when_it_is_over() -> None:
    began, ended = hear(trouble), hear(recovered)
    now = [0.0]
    logger = logging.getLogger("bridge")
    it = Trouble(logger, what="the pump waits", over="the pump works again", clock=lambda: now[0])
    it.went(ValueError("away"))
    it.went(ValueError("still away"))
    now[0] = 3600.0
    it.went(ValueError("away for an hour"))
    it.back()
    it.back()
    wait_until(lambda: ended, what="it is heard")
    about = {"sender": "", "client": "", "about": "the pump waits"}
    assert began == [{**about, "reason": "away", "error_type": "ValueError"}]
    assert ended == [{**about, "seconds": 3600.0}]


def test_a_receiver_that_raises_or_is_slow_harms_nothing(world: World, caplog: pytest.LogCaptureFixture) -> None:
    go_on = threading.Event()

    def slow(**_: Any) -> None:
        assert go_on.wait(60)
        raise ValueError("told to")

    parked.connect(slow, weak=False)
    heard = hear(parked)
    world.client(max_attempts=1)
    [first, second] = world.publish("k", "l")
    for delivery in world.hand_over():
        world.fail(delivery)
    assert world.rows("parked") == [first, second], "nobody has waited for it"
    assert heard == []
    go_on.set()
    wait_until(lambda: len(heard) == 2, what="the other one hears of both")
    assert [it["offset"] for it in heard] == [first, second]
    assert len([it for it in caplog.records if "told to" in it.getMessage()]) == 2


def test_where_nobody_is_connected_nothing_waits_to_be_sent() -> None:
    before = threading.active_count()
    tell(*[Happening(kind="parked", client="c")] * 1000)
    assert threading.active_count() <= before
    assert signals._mailer._waiting.empty()  # noqa: SLF001


def test_signals_that_nobody_takes_are_dropped_and_counted(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(signals, "MOST_WAITING", 3)
    mailer = signals._Mailer()  # noqa: SLF001
    monkeypatch.setattr(signals, "_mailer", mailer)
    go_on = threading.Event()
    parked.connect(lambda **_: go_on.wait(60), weak=False)
    heard = hear(parked)
    tell(*[Happening(kind="parked", client="c", offset=nth) for nth in range(10)])
    go_on.set()
    wait_until(lambda: len(heard) >= 3 and mailer._waiting.empty(), what="the rest is sent")  # noqa: SLF001
    assert len(heard) <= 4
    assert [it.getMessage() for it in caplog.records if "dropped" in it.getMessage()]


def test_observers_are_kept_once() -> None:
    calls: list[int] = []
    one = lambda _: calls.append(1)  # noqa: E731
    observe(one)
    observe(one)
    tell(Happening(kind="ready"))
    forget(one)
    tell(Happening(kind="ready"))
    assert calls == [1]
