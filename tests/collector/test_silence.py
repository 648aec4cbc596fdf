"""A worker's own consumer on a Redis that fell silent: a slow one keeps it, after a lost one it connects anew (G10)."""

from __future__ import annotations

import socket
import ssl
import time
from contextlib import suppress
from types import SimpleNamespace
from typing import Any
from urllib.parse import urlsplit

import pytest
from kombu import Connection, Consumer, Queue
from redis import Redis

from bridge.broker.internals.redis_waits import end_waits, is_polling, watch_arrivals
from bridge.collector.silence import Waits
from tests.support.link import Link
from tests.support.waiting import wait_until

LONG = 1000.0  # seconds


class Reading:
    """A consumer of the queue `q` as a worker has one, and what it suspects.

    Its clock jumps ahead of the world's by `ahead` seconds.
    """

    def __init__(self, url: str) -> None:
        self.got: list[Any] = []
        self.ahead = 0.0
        self.connection = Connection(url)
        channel = self.connection.default_channel
        watch_arrivals(channel, lambda *_: True)
        Consumer(channel, [Queue("q", exchange="", routing_key="q")], callbacks=[self._take], no_ack=True).consume()
        self.waits = Waits(SimpleNamespace(connection=self.connection), clock=self._clock)

    @property
    def transport(self) -> Any:
        return self.connection.transport

    def drain(self) -> bool:
        """Read what there is; return False, so that a condition can come after it."""
        with suppress(TimeoutError):
            self.connection.drain_events(timeout=0.1)
        return False

    def _take(self, body: Any, message: Any) -> None:
        self.got.append(body)

    def _clock(self) -> float:
        return time.monotonic() + self.ahead


def test_g10_what_a_slow_redis_has_for_a_worker_is_not_lost(redis_url: str) -> None:
    port = urlsplit(redis_url).port
    assert port is not None
    link = Link(port)
    try:
        reading = Reading(redis_url.replace(f":{port}/", f":{link.port}/"))
        wait_until(lambda: reading.drain() or is_polling(reading.transport), what="it polls")
        with Redis.from_url(redis_url) as eyes, Connection(redis_url) as publisher:
            link.mute()
            publisher.Producer().publish("first", exchange="", routing_key="q")
            wait_until(lambda: not eyes.llen("q"), what="Redis has given the message to the worker's poll")
            reading.waits.suspect()
            assert reading.got == []
            link.unmute()
            reading.waits.look()
            wait_until(lambda: reading.drain() or reading.got == ["first"], what="the message of meanwhile")
            reading.ahead = LONG
            for _ in range(2):
                reading.waits.look()
            publisher.Producer().publish("second", exchange="", routing_key="q")
            wait_until(lambda: reading.drain() or len(reading.got) == 2, what="the connection is as it was")
    finally:
        link.close()


def test_g10_a_worker_whose_redis_is_gone_connects_anew_once_there_is_one(redis_url: str) -> None:
    port = urlsplit(redis_url).port
    assert port is not None
    link = Link(port)
    try:
        reading = Reading(redis_url.replace(f":{port}/", f":{link.port}/"))
        wait_until(lambda: reading.drain() or is_polling(reading.transport), what="it polls")
        link.lose()
        wait_until(lambda: reading.drain() or is_polling(reading.transport), what="it waits for ever")
        reading.waits.suspect()
        reading.drain()
        reading.waits.look()
        reading.drain()
        reading.waits.look()
        reading.drain()  # not yet: the server has only just answered
        reading.ahead = LONG
        reading.waits.look()
        with pytest.raises(reading.connection.connection_errors):
            wait_until(reading.drain, what="the end of the connection")
    finally:
        link.close()


def test_ending_waits_forgets_no_session_of_tls() -> None:
    server = socket.create_server(("127.0.0.1", 0))
    plain = socket.create_connection(server.getsockname())
    context = ssl.create_default_context()
    with server, context.wrap_socket(plain, server_hostname="x", do_handshake_on_connect=False) as wrapped:
        channel = SimpleNamespace(client=SimpleNamespace(connection=SimpleNamespace(_sock=wrapped)))
        assert end_waits(SimpleNamespace(channels=[channel])) == 1
        assert vars(wrapped)["_sslobj"] is not None, "or bytes that have come already would be read as they are"
        assert socket.socket.recv(wrapped, 1) == b"", "it is at its end"
