"""Look at what is measured: Postgres in one round of bounded statements, and whether the broker answers.

A scrape never waits for longer than a few seconds, whatever hangs: then it says that the database, or the broker, is
down. Many scrapes within a second share one look.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass

from celery import Celery
from kombu.exceptions import KombuError

from bridge.app import bridge_of
from bridge.broker.opening import connection_to
from bridge.broker.queue_length import queue_length
from bridge.broker.transports import bounded, need_transport
from bridge.contract import unreadable_queue
from bridge.errors import BridgeError
from bridge.metrics.latest import Latest
from bridge.settings.amount import bytes_of, seconds_of
from bridge.store import Store
from bridge.store.metrics import Numbers, read_numbers
from bridge.store.migrate import check_schema
from bridge.trouble import Trouble

logger = logging.getLogger("bridge.metrics")

DATABASE_SECONDS = 4.0  # longest wait of one scrape; Prometheus itself waits for 10 seconds
STATEMENT_SECONDS = 2.0
BROKER_SECONDS = 2.0
FRESH_SECONDS = 1.0  # for so long one look stands for all scrapes
BROKER_FRESH_SECONDS = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class BrokerNumbers:
    """What the broker has said; None where it does not tell.

    Attributes:
        messages: That wait in the bridge's own queue.
        unreadable: That were set aside.
    """

    messages: int | None
    unreadable: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """All that is known at one moment.

    Attributes:
        bridge: The name of the bridge that asks.
        numbers: What Postgres has said; None if it does not answer.
        broker: What the broker has said; None if it does not answer.
        keep_seconds: The setting `bridge_keep`; None for ever.
        log_limit_bytes: The setting `bridge_log_limit`; None for none.
    """

    bridge: str
    numbers: Numbers | None
    broker: BrokerNumbers | None
    keep_seconds: float | None
    log_limit_bytes: float | None


class Reading:
    """Looks for one exporter, with a connection to Postgres of its own.

    Args:
        app: Its configuration names the database and the broker.

    Raises:
        ConfigurationError: no database is set, or its address can't be read.
    """

    def __init__(self, app: Celery) -> None:
        self._app = app
        self._settings = settings = bridge_of(app).settings
        self._store = Store(
            settings.need_database_url(),
            connect_timeout_seconds=min(settings.connect_timeout_seconds, STATEMENT_SECONDS),
            statement_timeout_seconds=min(settings.statement_timeout_seconds, STATEMENT_SECONDS),
            role="metrics",
        )
        self._checked = False
        self._numbers = Latest(self._look_at_database, fresh_seconds=FRESH_SECONDS)
        self._broker = Latest(self._look_at_broker, fresh_seconds=BROKER_FRESH_SECONDS)
        self._database_trouble = Trouble(logger, what="metrics lack the database", over="metrics have the database")
        self._broker_trouble = Trouble(logger, what="metrics lack the broker", over="metrics have the broker")

    def snapshot(self) -> Snapshot:
        """Look, or take a look of the last second; this takes no longer than a few seconds and raises nothing."""
        self._broker.begin()
        numbers = self._numbers.get(within_seconds=DATABASE_SECONDS)
        return Snapshot(
            bridge=self._settings.queue,
            numbers=numbers,
            broker=self._broker.get(within_seconds=BROKER_SECONDS),
            keep_seconds=seconds_of(self._settings.keep) if self._settings.keep else None,
            log_limit_bytes=bytes_of(self._settings.log_limit) if self._settings.log_limit else None,
        )

    def close(self) -> None:
        """Close the connections to Postgres."""
        self._store.close()

    def _look_at_database(self) -> Numbers | None:
        try:
            if not self._checked:
                check_schema(self._store.engine)
                self._checked = True
            found = read_numbers(
                self._store, bridge=self._settings.queue, interval_seconds=self._settings.interval_seconds
            )
        except BridgeError as error:
            self._checked = False  # it may be another schema when it is back
            self._database_trouble.went(error)
            return None
        except Exception as error:  # an exporter that ends because of one look would be noticed by nobody
            self._checked = False
            self._database_trouble.went(f"{type(error).__name__}: {error}", unexpected=error)
            return None
        self._database_trouble.back()
        return found

    def _look_at_broker(self) -> BrokerNumbers | None:
        seconds = min(self._settings.connect_timeout_seconds, BROKER_SECONDS)
        try:
            need_transport(self._app)
            options = bounded(self._app, socket_timeout=seconds, socket_connect_timeout=seconds)
            with connection_to(self._app, transport_options=options, connect_timeout=seconds) as connection:
                connection.ensure_connection(max_retries=1, timeout=seconds, reraise_as_library_errors=True)
                queue = self._settings.queue
                found = BrokerNumbers(
                    messages=queue_length(connection, queue, seconds=seconds),
                    unreadable=queue_length(connection, unreadable_queue(queue), seconds=seconds),
                )
        except (KombuError, OSError, BridgeError) as error:
            self._broker_trouble.went(error)
            return None
        except Exception as error:  # each transport's driver has errors of its own
            self._broker_trouble.went(f"{type(error).__name__}: {error}")
            return None
        self._broker_trouble.back()
        return found
