"""Register clients by their ids, with what the app's own code declares of them by `@bridge.client`."""

from __future__ import annotations

import sysconfig
import traceback
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

from celery import Celery

from bridge.app import bridge_of
from bridge.broker.accepting import is_known
from bridge.declare import app_name, options_left_out, options_of, registrations
from bridge.errors import BridgeError, Unavailable, UsageError
from bridge.model import Position, Registration
from bridge.settings.client import ClientSettings
from bridge.store import Store
from bridge.store.clients import DeclaredClient, Registered, list_declared, note_undeclared, register
from bridge.store.status import read_status
from bridge.wording import counted

OURS = str(Path(__file__).parents[1])
STANDARD = sysconfig.get_path("stdlib")


@dataclass(frozen=True, slots=True, kw_only=True)
class RegisteredClient:
    """What a registration did.

    Attributes:
        client: Id of the client.
        created: Whether it is new.
        offset: Its committed cursor; -1 is the beginning of the log. That of a client that existed has not moved.
        changed: The settings that changed: name to old and new value.
        unknown_task: The task that was named, if the app does not know it, and knows others. This is right where only
            the fleet does.
        notes: What does not go along with its events, or does not fit: options of its task in the app, a serializer
            that is not known here, and events that are open in the queue before.
    """

    client: str
    created: bool
    offset: int
    changed: Mapping[str, tuple[object, object]]
    unknown_task: str | None
    notes: tuple[str, ...] = ()


class DeclaredClients(NamedTuple):
    """What registering everything that the code declares did.

    Attributes:
        registered: Those that are registered now.
        refused: The error of each other client, by its id; nothing changed for these.
    """

    registered: list[RegisteredClient]
    refused: dict[str, BridgeError]


def complete_registration(
    app: Celery, client: str, given: Mapping[str, Any], *, start: Position | None = None
) -> Registration:
    """Put the settings that are given on top of those that the app's code declares for this client.

    Raises:
        InvalidClient: a setting is out of range.
        BridgeError: a module of the app's tasks can't be imported.
    """
    alone = Registration(id=client, given=given, start=start or Position())  # refused before anything is imported
    import_tasks(app)
    declared = next((found for found in registrations(app) if found.id == client), None)
    if declared is None:
        task = app.tasks.get(given.get("task"))
        return alone if task is None else replace(alone, defaults=options_of(task, app))
    return replace(declared, given={**declared.given, **given}, start=start or declared.start)


def declared_registrations(app: Celery, *, may_be_none: bool = False) -> list[Registration]:
    """Return every client that the app's code declares.

    Raises:
        UsageError: it declares none.
        BridgeError: a module of the app's tasks can't be imported.
    """
    import_tasks(app)
    found = list(registrations(app))
    if not found and not may_be_none:
        raise UsageError(
            f"the code of app {name_of(app)!r} declares no clients: put @bridge.client on a task, "
            "or name one: `eventbridge register CLIENT --task NAME`"
        )
    return found


def register_client(
    app: Celery, store: Store, registration: Registration, *, by: str, replace_task: bool = False
) -> RegisteredClient:
    """Register a client, or change its settings; never the cursor of one that exists.

    Raises:
        InvalidClient: a new client has no task, or the settings contradict each other; nothing changed.
        ClientConflict: the id calls another task already; nothing changed.
    """
    bridge = bridge_of(app).settings.queue
    result = register(store, registration, bridge=bridge, by=by, replace_task=replace_task)
    task = registration.given.get("task")
    return RegisteredClient(
        client=registration.id,
        created=result.created,
        offset=result.offset,
        changed=result.changed,
        unknown_task=task if task is not None and task not in app.tasks and _has_tasks(app) else None,
        notes=(
            *options_left_out(app, result.settings, registration.given),
            *_unknown_serializer(result.settings),
            *_left_behind(store, result),
        ),
    )


def _unknown_serializer(settings: ClientSettings) -> Iterator[str]:
    """Say that kombu does not know a client's serializer here: where it is misspelt, nothing ever goes out."""
    if not is_known(settings.serializer):
        yield (
            f"kombu knows no serializer {settings.serializer!r} here: fine if the bridge worker knows it, else "
            f"`eventbridge register {settings.id} --serializer json`"
        )


def _left_behind(store: Store, result: Registered) -> Iterator[str]:
    """Say that messages are in the queue that a client had before: no search for lost ones sees them there."""
    client, (before, now) = result.settings.id, result.changed.get("queue", (None, None))
    if result.created or before is None:
        return
    if number := read_status(store, client)[0].open:
        yield (
            f"{counted(number, 'open event was', 'open events were')} handed over to queue {before!r}, where the "
            f"bridge does not look any more: it hands them over again to {now!r}, and who still consumes {before!r} "
            f"handles them too. Before a queue is changed, `eventbridge pause {client} --drain` lets them finish"
        )


def register_clients(
    app: Celery, store: Store, wanted: Iterable[Registration], *, by: str, replace_task: bool = False
) -> DeclaredClients:
    """Register many clients; the trouble of one does not keep the others from it.

    Raises:
        StoreUnavailable: Postgres does not answer any more; clients before that are registered.
    """
    done, refused = list[RegisteredClient](), dict[str, BridgeError]()
    for registration in wanted:
        try:
            done.append(register_client(app, store, registration, by=by, replace_task=replace_task))
        except Unavailable:
            raise
        except BridgeError as error:
            refused[registration.id] = error
    note_undeclared(store, app_name(app), [it.id for it in registrations(app)], bridge=bridge_of(app).settings.queue)
    return DeclaredClients(done, refused)


def undeclared_clients(app: Celery, store: Store) -> list[DeclaredClient]:
    """Return the clients that the app's code has declared, and does not any more.

    Those that a person or plain SQL has registered are never among them, nor those of another app or bridge.

    Raises:
        BridgeError: a module of the app's tasks can't be imported.
    """
    import_tasks(app)
    declared = {found.id for found in registrations(app)}
    known = list_declared(store, app_name(app), bridge=bridge_of(app).settings.queue)
    return [client for client in known if client.id not in declared]


def import_tasks(app: Celery) -> None:
    """Import the modules in which the app's tasks are, as a worker does when it starts.

    Raises:
        BridgeError: one of them can't be imported; the message says where.
    """
    try:
        app.loader.import_default_modules()
        app.finalize()
    except BridgeError:
        raise
    except Exception as error:  # a user's module may raise anything
        raise BridgeError(f"the tasks of app {name_of(app)!r} can't be imported: {where_it_failed(error)}") from error


def _has_tasks(app: Celery) -> bool:
    """Tell whether an app has tasks at all that are not the bridge's or Celery's: the ready app has none."""
    return any(not name.startswith(("celery.", "bridge.")) for name in app.tasks)


def name_of(app: Celery) -> str:
    """Return what to call an app in a message."""
    return str(app.main or "default")


def where_it_failed(error: BaseException) -> str:
    """Say an exception in one line, with the place of the user's code that raised it; this is all of its traceback."""
    said = traceback.format_exception_only(error)[-1].splitlines()[0]
    if isinstance(error, SyntaxError):
        return f"{said} ({error.filename}:{error.lineno})"
    theirs = list(_users_frames(error))
    return f"{said} ({theirs[-1].filename}:{theirs[-1].lineno})" if theirs else said


def _users_frames(error: BaseException) -> Iterator[traceback.FrameSummary]:
    for frame in traceback.extract_tb(error.__traceback__):
        if not frame.filename.startswith((OURS, STANDARD, "<")) and "site-packages" not in frame.filename:
            yield frame
