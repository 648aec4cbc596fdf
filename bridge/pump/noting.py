"""Say at DEBUG which events a pass has handed over, when it is committed; at any other level it costs nothing."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from bridge.bounds import LOGGED_CHARACTERS
from bridge.errors import Unsent
from bridge.happened import Happening
from bridge.model import Client, Delivery
from bridge.pump.sending import Send
from bridge.wording import cleaned

logger = logging.getLogger("bridge")


class Noting:
    """Stands between a pass and the sender, and remembers what goes out, without the bodies: they may be large.

    Args:
        send: Publishes deliveries.
    """

    def __init__(self, send: Send) -> None:
        self._send = send
        self._noted: list[tuple[str, Delivery]] = []

    @property
    def send(self) -> Send:
        """The sender itself, unless the log is to have a line for each event."""
        return self._noting if logger.isEnabledFor(logging.DEBUG) else self._send

    def _noting(self, client: Client, deliveries: Sequence[Delivery]) -> Sequence[Unsent]:
        refused = self._send(client, deliveries)
        unsent = {it.offset for it in refused}
        self._noted += [(client.id, it._replace(body="")) for it in deliveries if it.offset not in unsent]
        return refused

    def say(self) -> None:
        """Write the lines of a pass that is committed."""
        for client, it in self._noted:
            happening = Happening(
                kind="handed-over",
                client=client,
                offset=it.offset,
                key=it.key,
                attempt=it.attempt,
                task_id=it.task_id,
            )
            key = "" if it.key is None else f" (key {cleaned(it.key, most=LOGGED_CHARACTERS)})"
            logger.debug(
                "client %s: event %s%s is handed over, attempt %s",
                client,
                it.offset,
                key,
                it.attempt,
                extra=happening.extra(),
            )
