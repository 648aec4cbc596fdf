"""Watch the log in a test, on the test's own connection: also what only its transaction sees, and rolls back."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Self, TypeVar

from celery import Celery, current_app

from bridge.broker.internals.workers import real_app
from bridge.errors import UsageError
from bridge.model import Client
from bridge.operate.registering import declared_registrations
from bridge.settings.client import SETTINGS
from bridge.store.callers import Target, arun_on, is_djangos, run_on
from bridge.testing.courier import MOST_ROUNDS, Courier, too_many_rounds
from bridge.testing.effect import effect_in, usable_after
from bridge.testing.events import PublishedEvent, events_of
from bridge.testing.handing import Delivered
from bridge.worker.transaction import stand_in

LAST_DRAWN, PUBLISHED, BODIES = "log/last_drawn", "testing/published", "testing/bodies"
APPEND = "testing/append_scheduled"

T = TypeVar("T")


class Recording:
    """What is published from now on, as the given connection sees it.

    ::

        class OrderTests(TestCase):
            def setUp(self):
                self.events = Recording(connection)

            def test_an_order_is_billed(self):
                place_order()
                self.assertEqual([event.topic for event in self.events.published()], ["order.created"])
                self.events.deliver_eagerly()
                self.assertEqual(Invoice.objects.count(), 1)

    Args:
        connection: All that `bridge.publish` takes, or with `after` all that `bridge.apublish` takes. The test's own,
            so that it sees what is not committed.
        app: The Celery app whose declared clients get the events; by default the current one.
        after: Offset after which the recording begins; by default that of the last event that there is.
    """

    def __init__(self, connection: Target, app: Celery | None = None, *, after: int | None = None) -> None:
        self.connection = connection
        self._app = app
        self._after = int(run_on(connection, LAST_DRAWN, {})[0][0]) if after is None else after
        self._couriers: dict[str, Courier] = {}

    @classmethod
    async def abegin(cls, connection: Target, app: Celery | None = None) -> Self:
        """Begin a recording on an asynchronous connection, or in an asynchronous test of Django's."""
        if is_djangos(connection):
            return await _in_djangos_thread(cls, connection, app)
        return cls(connection, app, after=int((await arun_on(connection, LAST_DRAWN, {}))[0][0]))

    def published(self, *topics: str) -> list[PublishedEvent]:
        """Return what was published since the recording began, in order.

        Args:
            *topics: AMQP topic patterns, of which one must match; all topics if there is none.
        """
        return events_of(run_on(self.connection, PUBLISHED, self._binds(topics)))

    async def apublished(self, *topics: str) -> list[PublishedEvent]:
        """Return the same, on an asynchronous connection, or in an asynchronous test of Django's."""
        if is_djangos(self.connection):
            return await _in_djangos_thread(self.published, *topics)
        return events_of(await arun_on(self.connection, PUBLISHED, self._binds(topics)))

    def deliver_eagerly(self, *clients: str, raise_errors: bool = True, scheduled: bool = False) -> list[Delivered]:
        """Call the handlers of the declared clients with what was published and not delivered yet, in order.

        What the handlers publish on this connection is delivered, too, until nothing is left. The message of each event
        is made as in production, and read as a worker reads it. An event whose handler raised is handed over again by
        the next call, as its next attempt.

        Args:
            *clients: Ids of the clients that get something; by default all that the app's code declares.
            raise_errors: Let through what a handler raises. Otherwise an event is tried again at once, up to the
                client's `max_attempts`, and then counts as parked.
            scheduled: Also deliver what is scheduled (`deliver_after`, `deliver_at`), as if it were due.

        Returns:
            What was delivered, in the order in which it happened.

        Raises:
            UsageError: a client is not declared, or its task is not known.
            InvalidEvent: no worker could read an event.
            BridgeError: the handlers go on publishing without end.
            Exception: what a handler raised.
        """
        done: list[Delivered] = []
        for _ in range(MOST_ROUNDS):
            before = len(done)
            couriers = self._chosen(clients)
            if scheduled:
                run_on(self.connection, APPEND, {})
            for courier in couriers:
                courier.take(run_on(self.connection, BODIES, courier.binds))
            done += self._round(couriers, raise_errors=raise_errors)
            if len(done) == before:
                return done
        raise too_many_rounds()

    async def adeliver_eagerly(
        self, *clients: str, raise_errors: bool = True, scheduled: bool = False
    ) -> list[Delivered]:
        """Do the same in an asynchronous test; handlers run in a thread, as they may block: Django's with Django."""
        if is_djangos(self.connection):
            return await _in_djangos_thread(
                self.deliver_eagerly, *clients, raise_errors=raise_errors, scheduled=scheduled
            )
        done: list[Delivered] = []
        for _ in range(MOST_ROUNDS):
            before = len(done)
            couriers = self._chosen(clients)
            if scheduled:
                await arun_on(self.connection, APPEND, {})
            for courier in couriers:
                courier.take(await arun_on(self.connection, BODIES, courier.binds))
            done += await asyncio.to_thread(self._round, couriers, raise_errors=raise_errors)
            if len(done) == before:
                return done
        raise too_many_rounds()

    def _round(self, couriers: Sequence[Courier], *, raise_errors: bool) -> list[Delivered]:
        """Deliver what the couriers have, the lowest offset first."""
        done: list[Delivered] = []
        token = stand_in.set(partial(effect_in, self.connection))
        try:
            while waiting := [courier for courier in couriers if courier.waiting]:
                courier = min(waiting, key=lambda one: one.next_offset)
                with usable_after(self.connection):
                    done += courier.deliver(self.app, raise_errors=raise_errors)
        finally:
            stand_in.reset(token)
        return done

    @property
    def app(self) -> Celery:
        """The app whose clients get the events."""
        return real_app(self._app or current_app)

    def _chosen(self, clients: Sequence[str]) -> list[Courier]:
        """Return a courier for each client that is declared, or chosen."""
        declared = {client.id: client for client in _declared(self.app)}
        for id in clients:
            if id not in declared:
                raise UsageError(
                    f"client {id!r} is not declared: put @bridge.client({id!r}) on its task, "
                    f"and import the module; declared are {', '.join(declared) or 'none'}"
                )
        return [
            self._couriers.setdefault(id, Courier(client, after=self._after))
            for id, client in declared.items()
            if not clients or id in clients
        ]

    def _binds(self, topics: Sequence[str]) -> dict[str, Any]:
        return {"after": self._after, "topics": list(topics) or ["#"]}


def _declared(app: Celery) -> list[Client]:
    """Return the clients that the app's code declares, as they are when they are registered for the first time."""
    found = []
    for registration in declared_registrations(app):
        wanted = registration.applied_to(None)
        found.append(
            Client(
                id=wanted.id,
                **{name: getattr(wanted, name) for name in SETTINGS},
                offset=-1,
                dispatched=-1,
                epoch=1,
                generation=1,
                filter="",
                state="active",
            )
        )
    return found


async def _in_djangos_thread(function: Callable[..., T], *args: Any, **options: Any) -> T:
    """Call a function in the thread to which Django's connections belong."""
    from asgiref.sync import sync_to_async

    called: T = await sync_to_async(function)(*args, **options)
    return called
