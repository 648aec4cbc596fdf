"""Erase: replace what the events of a key hold, for good; their offsets, topics and every cursor stay.

First the events are erased, then the texts that attempts at them have left: a failure that is settled later finds its
event erased, and leaves no text (`fq.unless_erased`). Each step is a transaction of its own that looks at a bounded
number of rows, and a run that was interrupted is finished by the next. What the fleet has in its hands it keeps until
those attempts end.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from uuid import uuid4

from sqlalchemy import Connection

from bridge.archive.erase import erase_in_archive
from bridge.archive.places import Place
from bridge.errors import StoreLocked, UnknownClient
from bridge.store import Store
from bridge.store.archive import log_identity
from bridge.store.clients import list_clients
from bridge.store.erase import (
    Erasable,
    KeyHolder,
    count_erasable,
    erase_events,
    erase_texts,
    key_holders,
    last_drawn,
    replace_key,
)
from bridge.store.horizon import read_horizon
from bridge.store.journal import WHOLE_LOG, note
from bridge.store.scheduled import count_scheduled_of_key, erase_scheduled

BATCH_EVENTS = 500  # of one transaction
LOCK_SECONDS = 0.2  # whoever needs any client waits behind us for so long
LOCK_TRIES = 100
PAUSE_SECONDS = 0.1

Step = Callable[[Connection, int], tuple[int | None, int]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Erasure:
    """What an erasure did, or would do. The names are the keys of `erase --json`.

    Attributes:
        dry_run: Whether nothing was changed.
        events: How many events of the key there were.
        erased: How many of them had content to be erased; the others were erased before.
        exact: Whether these are all; else there are at least so many.
        texts: How many parked events and deliveries had the text of an error to be erased.
        texts_left: How many still have one, because a handler has them in its transaction.
        in_flight: Of each client, how many attempts hold an event as it was until they end.
        pseudonym: What replaces the key; None where the key stays.
        keys_replaced: How many events have the pseudonym now.
        keys_kept: How many keep the key although it was to be replaced, because a client needs it still.
        scheduled_keys_replaced: How many events that are due later have the pseudonym now, and no id any more.
        scheduled: How many events that are due later were erased, or would be.
        archived: How many archived events were erased, or would be; None where no archive was named.
        complete: Whether no open transaction can commit another event of the key that was written before.
    """

    dry_run: bool
    events: int
    erased: int
    exact: bool
    texts: int
    texts_left: int = 0
    in_flight: dict[str, int]
    pseudonym: str | None = None
    keys_replaced: int = 0
    keys_kept: int = 0
    scheduled_keys_replaced: int = 0
    scheduled: int = 0
    archived: int | None = None
    complete: bool = True


def erase(
    store: Store, key: str, *, by: str, key_too: bool = False, archive: Place | None = None, dry_run: bool = False
) -> Erasure:
    """Erase what the events of a key hold.

    Args:
        store: The event log and its clients.
        key: The ordering key.
        by: Who does it, for the journal, which does not tell the key.
        key_too: Also replace the key by a random pseudonym, on the events that no client needs any more.
        archive: Where events are that were pruned: they are erased too.
        dry_run: Only count.

    Raises:
        StoreLocked: clients were busy for so long that no key could be replaced; the events are erased.
    """
    upto = last_drawn(store)
    found = count_erasable(store, key, upto=upto)
    holders = key_holders(store, key, upto=upto)
    pseudonym = f"erased-{uuid4().hex}" if key_too else None
    in_archive = partial(_erase_archive, store, key, archive, pseudonym)
    if dry_run:
        texts = sum(holder.texts for holder in holders)
        scheduled = count_scheduled_of_key(store, key)
        archived = in_archive(dry_run=True)
        return _told(found, holders, dry_run=True, texts=texts, scheduled=scheduled, archived=archived)
    scheduled, renamed = _erase_scheduled(
        store, key, pseudonym, by=by
    )  # first: one that is appended now has an offset above `upto`
    upto = last_drawn(store)
    erased = _erase_events(store, key, found, upto=upto, by=by, key_too=key_too)
    archived = in_archive(dry_run=False)
    if archived:  # a replay may have put some of them back before the archive was done
        erased += _erase_events(store, key, found, upto=upto)
    texts = sum(_erase_texts(store, key, holder.client) for holder in key_holders(store, key, upto=upto))
    replaced, kept = 0, 0
    if pseudonym is not None:
        replaced = _replace_key(store, key, pseudonym, upto=upto)
        kept = count_erasable(store, key, upto=upto).events
    left = key_holders(store, key, upto=upto)
    return _told(
        found._replace(to_erase=erased),
        left,
        texts=texts,
        texts_left=sum(holder.texts for holder in left),
        pseudonym=pseudonym if replaced or archived or renamed else None,
        scheduled=scheduled,
        scheduled_keys_replaced=renamed,
        archived=archived,
        keys_replaced=replaced,
        keys_kept=kept,
        complete=read_horizon(store) >= upto,
    )


def _erase_scheduled(store: Store, key: str, pseudonym: str | None, *, by: str) -> tuple[int, int]:
    """Erase what the scheduled events of a key hold; one that is appended at this moment is waited for.

    Returns:
        How many had content, and how many have the pseudonym now.
    """
    with store.transaction() as connection:
        scheduled, renamed = erase_scheduled(connection, key, pseudonym=pseudonym)
        if scheduled or renamed:
            note(connection, WHOLE_LOG, "erase", by=by, details={"scheduled": scheduled})
    return scheduled, renamed


def _erase_archive(
    store: Store, key: str, archive: Place | None, pseudonym: str | None, *, dry_run: bool
) -> int | None:
    if archive is None:
        return None
    return erase_in_archive(archive, key, log=log_identity(store).id, pseudonym=pseudonym, dry_run=dry_run)


def _told(found: Erasable, holders: list[KeyHolder], *, dry_run: bool = False, texts: int, **more: object) -> Erasure:
    return Erasure(
        dry_run=dry_run,
        events=found.events,
        erased=found.to_erase,
        exact=found.exact,
        texts=texts,
        in_flight={holder.client: holder.in_flight for holder in holders if holder.in_flight},
        **more,  # type: ignore[arg-type] # fields of Erasure
    )


def _erase_events(
    store: Store, key: str, found: Erasable, *, upto: int, by: str | None = None, key_too: bool = False
) -> int:
    """Erase the events batch by batch; where somebody has asked for it, the first batch notes it in the journal."""
    details = {"events": found.to_erase, "exact": found.exact, "upto": upto, "key_too": key_too}

    def step(connection: Connection, after: int) -> tuple[int | None, int]:
        if after < 0 and found.events and by is not None:
            note(connection, WHOLE_LOG, "erase", by=by, details=details)
        return erase_events(connection, key, after=after, upto=upto, most=BATCH_EVENTS)

    return _in_batches(store, step)


def _erase_texts(store: Store, key: str, client: str) -> int:
    try:
        return _in_batches(
            store, lambda connection, after: erase_texts(connection, client, key, after=after, most=BATCH_EVENTS)
        )
    except UnknownClient:  # it was removed meanwhile, with all that it held
        return 0


def _replace_key(store: Store, key: str, pseudonym: str, *, upto: int) -> int:
    """Replace the key of what every client has finished."""
    finished = min((client.offset for client in list_clients(store) if not client.is_reader), default=upto)

    def step(connection: Connection, after: int) -> tuple[int | None, int]:
        return replace_key(
            connection,
            key,
            pseudonym,
            after=after,
            upto=min(upto, finished),
            most=BATCH_EVENTS,
            lock_seconds=LOCK_SECONDS,
        )

    return _in_batches(store, step, tries=LOCK_TRIES)


def _in_batches(store: Store, step: Step, *, tries: int = 1) -> int:
    """Take a step after another, each in a transaction of its own, until one finds nothing; return what all changed."""
    after: int | None = -1
    changed, failed = 0, 0
    while after is not None:
        try:
            with store.transaction() as connection:
                after, more = step(connection, after)
        except StoreLocked:
            failed += 1
            if failed >= tries:
                raise
            time.sleep(PAUSE_SECONDS)  # let those go on that wait behind us
        else:
            changed, failed = changed + more, 0
    return changed
