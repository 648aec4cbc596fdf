"""Send what a pass takes, slice by slice, until the broker takes no more: then the rest of the pass is for later.

What it has taken before has to be remembered. Rolled back, it would go out again with each pass for as long as the
broker has room for a part only.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from bridge.errors import BrokerRefuses, NotTaken, Unsent
from bridge.model import Client, Delivery

Send = Callable[[Client, Sequence[Delivery]], Sequence[Unsent]]


class Sending:
    """Sends the slices of one pass.

    Args:
        send: Publishes deliveries, and returns when the broker has them; returns those that were not sent.

    Attributes:
        unsent: All that was not sent.
    """

    def __init__(self, send: Send) -> None:
        self.unsent: list[Unsent] = []
        self._send = send
        self._has_taken = False
        self._why = ""  # the broker takes no more

    def send(self, client: Client, deliveries: Sequence[Delivery]) -> None:
        """Send these deliveries too, unless the broker takes no more.

        Raises:
            BrokerRefuses: it has taken nothing in this pass, and takes no more: the rest need not be looked for.
            BrokerUnavailable, and others of a broker: nothing of the pass may be remembered.
        """
        if not deliveries:
            return
        if not self._why:
            try:
                found = self._send(client, deliveries)
            except BrokerRefuses as error:
                if not self._has_taken:
                    raise
                self._why = str(error)
            else:
                self.unsent += found
                self._has_taken = self._has_taken or len(found) < len(deliveries)
                self._why = next((str(it) for it in found if isinstance(it, NotTaken)), "")
                if self._why and not self._has_taken:
                    raise BrokerRefuses(self._why)
                return
        self.unsent += [NotTaken(it.offset, self._why) for it in deliveries]
