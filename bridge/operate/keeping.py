"""The verbs of the log's age and size: prune it, let a client stop holding it, and hold it for a while."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

from bridge.errors import UsageError
from bridge.operate.lifecycle import release
from bridge.operate.registering import undeclared_clients
from bridge.operate.user import kept
from bridge.operate.viewer import Viewer
from bridge.retention.archive import archiver
from bridge.retention.prune import Pruned, prune
from bridge.settings.amount import seconds_of
from bridge.store.clients import DeclaredClient
from bridge.store.held import HeldClient, hold_log
from bridge.store.holds import Hold, end_hold, list_holds, save_hold

HOLD_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}", re.ASCII)
MOST_OFFSET = 2**63 - 2


class Keeper(Viewer):
    """The part of `Operator` that removes old events, or keeps them."""

    by: str

    def prune(
        self,
        *,
        older_than: timedelta | str | None = None,
        keep: int | None = None,
        archive: str | None = None,
        dry_run: bool = False,
    ) -> Pruned:
        """Remove old events that nobody needs any more, in small batches with pauses in between.

        It never removes what a client has not finished, what is parked, open or in a replay, and what a hold keeps.

        Args:
            older_than: Remove only events that are older, such as `30d`; None: of any age.
            keep: How many of the newest events stay in any case.
            archive: A directory or URL where each event is archived before it is removed; None: `bridge_archive`.
            dry_run: Only say what would be removed.

        Raises:
            UsageError: neither span nor number is given, or one of them can't be; or somebody began to need an event
                while it went on, which ends it.
        """
        if keep is not None and not 0 <= keep <= MOST_OFFSET:
            raise UsageError(f"can't keep {keep} events: must be 0 or more")
        before = None if older_than is None else _moment_before(older_than)
        place = self._archive(archive)
        first = None if place is None else archiver(self._store, place)
        return prune(self._store, before=before, keep=keep, dry_run=dry_run, first=first, by=self.by)

    def undeclared(self) -> list[DeclaredClient]:
        """List the clients that the app's code has declared once, and does not any more; see `remove`.

        Clients that a person or plain SQL has registered are never among them.

        Raises:
            BridgeError: a module of the app's tasks can't be imported.
        """
        return undeclared_clients(self.app, self._store)

    def release(self, client: str, *, reason: str) -> HeldClient:
        """Let a client that nobody serves stop holding the log, and return it as it was.

        It is halted, and its cursor stays. After `resume` it goes on behind what was pruned meanwhile.

        Raises:
            UsageError: no reason is given.
        """
        return release(self._store, client, reason=kept(reason), by=self.by)

    def hold(self, name: str, *, start: int, seconds: float) -> Hold:
        """Keep all events from the offset `start` on from being pruned, for so many seconds; again: renew it.

        Raises:
            UsageError: the name, the offset or the time can't be, or these events are pruned already.
        """
        if not HOLD_NAME.fullmatch(name):
            raise UsageError(f"{name!r} can't name a hold: letters, digits, '_', '-' and '.', at most 100")
        if not 0 <= start <= MOST_OFFSET or not 0 < seconds <= 100 * 365 * 86_400:
            raise UsageError("a hold begins at an offset from 0 on, and lasts for a century at most")
        with self._store.transaction() as connection:
            pruned = hold_log(connection)
            if pruned is not None and start <= pruned:
                raise UsageError(f"events up to {pruned} may be gone already: hold what is above {pruned}")
            return save_hold(connection, name, offset=start, seconds=seconds, by=self.by)

    def end_hold(self, name: str) -> bool:
        """End a hold, and tell whether there was one."""
        return end_hold(self._store, name)

    def holds(self) -> list[Hold]:
        """List the holds that have not expired; what keeps most comes first."""
        return list_holds(self._store)


def _moment_before(span: timedelta | str) -> datetime:
    try:
        seconds = seconds_of(span) if isinstance(span, str) else span.total_seconds()
        if seconds < 0:
            raise ValueError("must not be negative")
        return datetime.now(UTC) - timedelta(seconds=seconds)
    except (ValueError, OverflowError) as error:
        raise UsageError(f"span {span!r} can't be used: {error}") from None
