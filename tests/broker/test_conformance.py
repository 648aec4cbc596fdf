"""All that the bridge borrows is as it was seen; where it is not, a warning says so.

`tests/sender/test_stencil_versions.py` runs these tests on the oldest Celery as well.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest
from amqp.exceptions import AccessRefused, NotAllowed, ResourceError
from celery import Celery, Task
from celery.app.trace import build_tracer
from redis.exceptions import ConnectionError as RedisConnectionError

from bridge.broker import conformance
from bridge.broker.conformance import Differs, FastWay, Part
from bridge.broker.fast_ways import ALL, CONFIRMS, JOINED_ACKS
from bridge.broker.internals.bookkeeping import try_bookkeeping
from bridge.broker.internals.failing import Failing, failing_task
from bridge.broker.internals.rabbitmq import try_confirms
from bridge.broker.internals.workers import real_app
from tests.support.withdrawn import METHODS, OF_CLASSES, changed, withdrawn


@pytest.fixture(autouse=True)
def _anew() -> Iterator[None]:
    conformance.forget()
    yield
    conformance.forget()


@pytest.mark.parametrize("way", ALL, ids=lambda way: way.name)
def test_all_is_there_in_the_installed_versions(way: FastWay, caplog: pytest.LogCaptureFixture) -> None:
    assert conformance.problem_of(way) == ""
    assert way.conforms()
    assert caplog.messages == []


def test_what_names_do_not_tell_is_so_in_the_installed_versions(redis_url: str) -> None:
    try_confirms()
    with Celery("any", broker=redis_url, set_as_current=False) as app, app.connection_for_read() as connection:
        before = connection.default_channel.qos
        try_bookkeeping(connection.default_channel)
        assert connection.default_channel.qos is before
        app.close()


@pytest.mark.parametrize("path", OF_CLASSES)
def test_each_name_that_is_withdrawn_is_said_once_by_each_way_that_needs_it(
    path: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(*withdrawn(path))
    off = [way for way in ALL if not way.conforms()]
    assert off == [way for way in ALL if path in [part.path for part in way.parts]] != []
    assert not any(way.conforms() for way in off)
    assert {record.levelno for record in caplog.records} == {logging.WARNING}
    for way, text in zip(off, caplog.messages, strict=True):
        assert text.startswith(f"{way.name} is off: {path} is not there in celery 5.")
        assert way.instead in text and "please report this line" in text and way.setting in text


@pytest.mark.parametrize("path", METHODS)
def test_a_method_that_wants_other_arguments_is_found(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(*changed(path))
    off = [way for way in ALL if not way.conforms()]
    assert off != []
    assert all(f"{path} takes other arguments" in conformance.problem_of(way) for way in off)


def test_a_module_that_is_gone_is_found() -> None:
    assert Part("kombu.transport.no_such:Channel").problem() == "kombu.transport.no_such:Channel is not there"
    assert Part("kombu:NoSuch", 1).problem() == "kombu:NoSuch is not there"


def test_a_trial_that_fails_switches_its_way_off_and_a_broker_that_is_away_does_not(
    caplog: pytest.LogCaptureFixture,
) -> None:
    way = FastWay(name="cutting", instead="it takes longer", parts=())

    def trial(error: Exception) -> None:
        raise error

    with pytest.raises(RedisConnectionError):
        way.conforms(partial(trial, RedisConnectionError("away")))
    assert caplog.messages == []
    assert not way.conforms(partial(trial, Differs("it is another one")))
    assert not way.conforms(partial(trial, KeyError("headers")))
    assert [text.partition(" in celery")[0] for text in caplog.messages] == ["cutting is off: it is another one"]


@pytest.mark.parametrize("refused", [AccessRefused, NotAllowed, ResourceError])
def test_g10_a_user_who_may_not_publish_is_no_other_version(
    refused: type[Exception], caplog: pytest.LogCaptureFixture
) -> None:
    def trial() -> None:
        raise refused("access to exchange 'amq.default' refused", (60, 40))

    with pytest.raises(refused):
        CONFIRMS.conforms(trial)
    assert caplog.messages == []


def test_bookkeeping_that_behaves_in_another_way_is_found(redis_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with Celery("any", broker=redis_url, set_as_current=False) as app, app.connection_for_read() as connection:
        monkeypatch.setattr("kombu.transport.virtual.QoS.can_consume", lambda _: True)
        assert not JOINED_ACKS.conforms(partial(try_bookkeeping, connection.default_channel))
        app.close()


def test_the_app_behind_current_app_is_the_app() -> None:
    from celery import current_app

    with Celery("mine", set_as_current=False) as app:
        assert real_app(app) is app
    assert real_app(current_app) is real_app(real_app(current_app))


def test_a_failed_task_that_calls_its_errbacks_is_seen_with_its_exception_its_worker_and_its_begin() -> None:
    found: list[Failing] = []

    class Errback(Task):
        abstract = True

        def apply_async(self, *_: Any, **__: Any) -> None:
            found.append(failing_task())

    with Celery("any", broker="memory://", set_as_current=False) as app:

        @app.task(name="any.boom")
        def boom() -> None:
            raise ValueError("boom")

        @app.task(name="any.errback", base=Errback)
        def errback() -> None: ...

        request = {"errbacks": [errback.si()], "hostname": "worker@host", "delivery_info": {}}
        trace = build_tracer("any.boom", boom, app=app, hostname="worker@host")
        trace("some-id", (), {}, request)
        app.close()
    [it] = found
    assert isinstance(it.error, ValueError)
    assert (it.host, "ValueError: boom" in it.traceback) == ("worker@host", True)
    assert 0 <= time.monotonic() - it.began < 3600
    assert failing_task() == Failing(), "nothing fails now"
