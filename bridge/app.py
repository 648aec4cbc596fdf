"""The bridge on one Celery app: its settings, its store and its sender, each made when it is first used."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from celery import Celery

from bridge import signals
from bridge.broker.internals.workers import real_app
from bridge.observe import lines
from bridge.settings.bridge import BridgeSettings
from bridge.store import Store
from bridge.store.secret import read_secret

if TYPE_CHECKING:
    from bridge.sender.sender import Sender


class Bridge:
    """The bridge on one Celery app, in one process.

    Args:
        app: Its configuration holds the `bridge_*` settings, its broker takes the messages.
    """

    def __init__(self, app: Celery) -> None:
        lines.connect()
        signals.connect()
        self.app = app
        self.settings = BridgeSettings.read(app.conf, os.environ)
        self._store: Store | None = None
        self._url = ""
        self._secret = ""
        self._sender: Sender | None = None
        self.lock_seconds: float | None = None  # a person who waits sets it, before the store is made

    # Plain properties: functools.cached_property holds a lock in Python 3.11, which a pool child may inherit locked.
    @property
    def store(self) -> Store:
        """The event log; it connects when it is first used."""
        url = self.settings.need_database_url()
        if self._store is None or url != self._url:  # Django's tests put another database in the place of the real one
            self._forget_store()
            self._url = url
            self._store = Store(
                url,
                connect_timeout_seconds=self.settings.connect_timeout_seconds,
                statement_timeout_seconds=self.settings.statement_timeout_seconds,
                lock_seconds=self.lock_seconds,
            )
        return self._store

    def _forget_store(self) -> None:
        """Close what belongs to another database than the one that the settings name now."""
        if self._store is not None:
            self._store.close()
            self._secret, self._sender = "", None

    @property
    def secret(self) -> str:
        """The key that signs callbacks: the setting, else the one that the database keeps."""
        if not self._secret:
            self._secret = self.settings.secret or read_secret(self.store)
        return self._secret

    @property
    def is_served_here(self) -> bool:
        """Whether this process is a worker that consumes the bridge's queue: a bridge worker."""
        return bool(self.settings.queue in self.app.amqp.queues.consume_from)

    @property
    def sender(self) -> Sender:
        """The only writer of messages to the broker; it connects when it is first used."""
        if self._sender is None:
            from bridge.sender.sender import Sender  # only now: who only looks needs none of it

            made = Sender(
                self.app,
                queue=self.settings.queue,
                secret=self.secret,
                connect_timeout_seconds=self.settings.connect_timeout_seconds,
                redis_writer=self.settings.stencil,
                batch_bytes=self.settings.batch_bytes,
                shows=self.settings.show_payload,
            )
            self._sender = self._sender or made  # another thread may have been here while the secret was read
        return self._sender


def ready_app() -> Celery:
    """Make the app for who has none: the environment alone configures it."""
    app = Celery("bridge")
    app.conf.update(worker_prefetch_multiplier=1, task_default_queue="bridge", broker_connection_retry_on_startup=True)
    return app


_bridges: WeakKeyDictionary[Celery, Bridge] = WeakKeyDictionary()


def bridge_of(app: Celery) -> Bridge:
    """Return the bridge of this app; each process makes it once."""
    app = real_app(app)
    if app not in _bridges:
        _bridges[app] = Bridge(app)
    return _bridges[app]
