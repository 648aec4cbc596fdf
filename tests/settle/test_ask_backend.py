"""A result backend is asked aside: one that hangs, raises or lies delays no outcome (G10)."""

from __future__ import annotations

import logging
import socket
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from celery import Celery

from bridge.app import Bridge
from bridge.contract import sign
from bridge.model import Failure
from bridge.settle.ask_backend import PAUSE_SECONDS, BackendAsker, asker_of
from bridge.settle.read_callbacks import settle_callbacks
from bridge.settle.settle import Settled
from tests.support.waiting import wait_until
from tests.support.world import World

LONG = 60.0
BOOM = Failure(type="ValueError", message="boom")


class Backend:
    """A result backend that a test lets hang; the clock of its asker moves when the test says so."""

    def __init__(self) -> None:
        self.now = 0.0
        self.asked: list[str] = []
        self.answers: dict[str, Any] = {}
        self.go_on = threading.Event()
        self.go_on.set()
        self.asker = BackendAsker(self.ask, clock=lambda: self.now)

    def ask(self, id: str) -> object:
        self.asked.append(id)
        assert self.go_on.wait(LONG)
        answer = self.answers.get(id, {"result": ValueError("boom")})
        if isinstance(answer, BaseException):
            raise answer
        return answer

    def why(self, *ids: str, within_seconds: float = LONG) -> dict[str, Failure] | None:
        """Ask about these; None if the backend is left alone."""
        question = self.asker.begin(ids)
        return None if question is None else dict(self.asker.end(question, within_seconds=within_seconds))


@pytest.fixture
def backend() -> Iterator[Backend]:
    it = Backend()
    yield it
    it.go_on.set()


def test_it_says_why_tasks_failed(backend: Backend) -> None:
    assert backend.why("c:1", "c:2") == {"c:1": BOOM, "c:2": BOOM}
    assert backend.asked == ["c:1", "c:2"]


def test_g10_a_backend_that_does_not_answer_is_left_alone_for_a_minute_and_said_once(
    backend: Backend, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    backend.go_on.clear()
    assert backend.why("c:1", within_seconds=0.01) == {}
    assert backend.why("c:2") is None
    backend.now = PAUSE_SECONDS - 1
    assert backend.why("c:3") is None
    backend.now = PAUSE_SECONDS + 1
    assert backend.why("c:4", within_seconds=0.01) == {}, "asked by another thread: the first one still waits"
    assert backend.why("c:5") is None
    assert caplog.text.count("the result backend does not say why tasks fail: no answer") == 1
    backend.go_on.set()
    backend.now += 2 * PAUSE_SECONDS + 1
    assert backend.why("c:6") == {"c:6": BOOM}
    assert "the result backend answers again" in caplog.text
    assert {"c:2", "c:3", "c:5"}.isdisjoint(backend.asked)


def test_a_backend_that_takes_long_to_make_is_made_before_the_first_question_counts_the_time() -> None:
    made, go_on = threading.Event(), threading.Event()

    def make() -> None:
        assert go_on.wait(LONG)
        made.set()

    asker = BackendAsker(lambda id: {"result": ValueError("boom")} if made.is_set() else None, make=make)
    asker.prepare()
    asker.prepare()
    assert not made.is_set(), "nobody waits for it"
    go_on.set()
    wait_until(made.is_set, timeout=LONG, what="it is made by itself")
    question = asker.begin(["c:1"])
    assert question is not None and asker.end(question, within_seconds=LONG) == {"c:1": BOOM}


def test_g10_threads_that_wait_for_ever_are_few(backend: Backend) -> None:
    def waiting() -> int:
        return sum(thread.name == "bridge-reasons" and thread.is_alive() for thread in threading.enumerate())

    before = waiting()
    backend.go_on.clear()
    for minute in range(0, 24 * 60):
        backend.now = 60.0 * minute
        backend.why(f"c:{minute}", within_seconds=0.0)
    assert waiting() - before < 40, "in a day"
    backend.go_on.set()
    wait_until(lambda: waiting() <= before, timeout=LONG, what="those that were given up end")


@pytest.mark.parametrize(
    "answer",
    [
        ValueError("\x00"),
        SystemExit(1),
        KeyError(),
        RecursionError(),
        None,
        5,
        "x",
        [],
        {"result": 5},
        {"traceback": []},
    ],
    ids=repr,
)
def test_g10_one_answer_that_can_t_be_read_costs_the_others_nothing(backend: Backend, answer: object) -> None:
    backend.answers["c:2"] = answer
    found = backend.why("c:1", "c:2", "c:3")
    assert found is not None
    assert (found["c:1"], found["c:3"]) == (BOOM, BOOM)
    assert found.get("c:2", Failure()).message is None


def test_g10_a_backend_that_only_raises_is_not_asked_about_each_failure(
    backend: Backend, caplog: pytest.LogCaptureFixture
) -> None:
    backend.answers = {f"c:{n}": ConnectionError("refused\x00") for n in range(2000)}
    assert backend.why(*backend.answers) == {}
    assert len(backend.asked) < 10
    assert r"ConnectionError: refused\x00" in caplog.text


def test_what_is_known_in_time_is_told_and_the_backend_is_asked_again(backend: Backend) -> None:
    second = threading.Event()
    ask = backend.ask

    def slow(id: str) -> object:
        if id == "c:2":
            second.wait(LONG)
        return ask(id)

    asker = BackendAsker(slow, clock=lambda: 0.0)
    question = asker.begin(["c:1", "c:2"])
    assert question is not None
    wait_until(lambda: "c:1" in question.found, timeout=LONG, what="the first one is known")
    assert asker.end(question, within_seconds=0.0) == {"c:1": BOOM}
    second.set()
    again = asker.begin(["c:3"])
    assert again is not None and asker.end(again, within_seconds=LONG) == {"c:3": BOOM}


@pytest.fixture
def bridge(world: World) -> Iterator[Callable[[str], Bridge]]:
    apps: list[Bridge] = []

    def with_backend(url: str | None) -> Bridge:
        app = Celery("bridge", broker="memory://", backend=url, set_as_current=False)
        address = world.store.engine.url.render_as_string(hide_password=False)
        app.conf.update(bridge_secret="s", bridge_database_url=address)
        apps.append(Bridge(app))
        return apps[-1]

    yield with_backend
    for it in apps:
        it.store.close()
        it.app.close()


def test_g10_while_the_backend_hangs_successes_and_failures_are_settled(
    world: World, bridge: Callable[[str], Bridge], monkeypatch: pytest.MonkeyPatch
) -> None:
    world.client(ordering="none")
    world.publish(*[None] * 4)
    calls: list[Any] = []
    for delivery in world.hand_over():
        task = "bridge.fail" if delivery.offset == 2 else "bridge.commit"
        calls.append((task, ["c", delivery.offset, 1, 1, sign("s", ("c", delivery.offset, 1, 1), generation=1)]))
    it = bridge("cache+memory://")
    for_ever = threading.Event()
    asked: list[str] = []

    def hang(self: object, id: str) -> object:
        asked.append(id)
        for_ever.wait()
        return {}

    monkeypatch.setattr("celery.backends.base.Backend.get_task_meta", hang)
    assert settle_callbacks(it, calls) == Settled(succeeded=3, retried=1), "it does not wait for the backend's answer"
    assert asked == ["c:2"]
    assert world.rows("deliveries", "state, error_type") == [("retrying", None)]
    for_ever.set()


def test_g10_while_the_backend_can_t_even_be_made_successes_and_failures_are_settled(
    world: World, bridge: Callable[[str], Bridge]
) -> None:
    world.client(ordering="none")
    world.publish(None, None)
    calls: list[Any] = []
    for task, delivery in zip(("bridge.fail", "bridge.commit"), world.hand_over(), strict=True):
        calls.append((task, ["c", delivery.offset, 1, 1, sign("s", ("c", delivery.offset, 1, 1), generation=1)]))
    with socket.create_server(("127.0.0.1", 0)) as silent, ThreadPoolExecutor(1) as threads:
        it = bridge(f"db+postgresql+psycopg://bridge@127.0.0.1:{silent.getsockname()[1]}/results")
        settling = threads.submit(settle_callbacks, it, calls)
        try:
            assert settling.result(LONG) == Settled(succeeded=1, retried=1), "its server takes connections, and is mute"
        finally:
            silent.close()  # which ends whoever waits for it


def test_an_app_without_a_backend_or_with_one_that_can_t_be_made_asks_none(
    bridge: Callable[[str | None], Bridge], caplog: pytest.LogCaptureFixture
) -> None:
    for url, has_backend in ((None, False), ("nothing.of.the:Kind", True)):
        app = bridge(url).app
        for _ in range(3):
            if (asker := asker_of(app)) and (question := asker.begin(["c:1"])):
                assert asker.end(question, within_seconds=LONG) == {}
        assert (asker_of(app) is not None) == has_backend
    assert caplog.text.count("the result backend does not say why tasks fail") == 1
    assert "No module named 'nothing'" in caplog.text
