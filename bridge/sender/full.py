"""Tell a message that a queue can never take from a queue that is full.

RabbitMQ refuses both with the same word: a message above `max-length-bytes` is refused by an empty queue, too. So what
was refused is tried by itself while its queue is empty. Where that is refused some times in a row, and the queue takes
others, the message is at fault.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from bridge.broker.confirms import FULL
from bridge.errors import NotTaken, Unsent
from bridge.model import Client, Delivery
from bridge.sender.halving import Refusal, Send, send_around
from bridge.sender.parcels import pack

TIMES = 3  # somebody else may fill the queue at the same moment, and its fleet empty it
MOST_REMEMBERED = 10_000
WORDS = "queue {queue!r} takes others, and refuses it while it is empty: is max-length-bytes of the queue too small?"


class Full:
    """What this process remembers of queues that refuse messages.

    Args:
        length: Returns how many messages wait in a queue; None where the broker does not say.
    """

    def __init__(self, length: Callable[[str], int | None]) -> None:
        self._length = length
        self._took: set[str] = set()  # queues
        self._times: dict[tuple[str, int], int] = {}  # of each message, by its client and its first event

    def note_taken(self, queue: str) -> None:
        """Remember that a queue has taken something."""
        self._took.add(queue)

    def look_again(
        self, client: Client, deliveries: Sequence[Delivery], unsent: list[Unsent], send: Send
    ) -> list[Unsent]:
        """Try the first message that was refused by itself, if its queue is empty.

        Args:
            client: Whose.
            deliveries: What was sent.
            unsent: What of it was not taken, for whatever reason.
            send: Sends some of it.
        """
        first = next((it.offset for it in unsent if isinstance(it, NotTaken) and str(it) == FULL), None)
        if first is None or self._length(client.queue) != 0:
            return unsent
        message = next(some for _, some in pack(client, deliveries) if any(it.offset == first for it in some))

        def alone(some: Sequence[Delivery]) -> list[Unsent]:
            left = send(some)
            if not left or self._length(client.queue) != 0:
                self._times.pop((client.id, first), None)
            elif self._is_at_fault(client, first):
                raise Refusal(WORDS.format(queue=client.queue))
            return left

        again = send_around(client, message, alone)
        return [it for it in unsent if all(it.offset != one.offset for one in message)] + again

    def _is_at_fault(self, client: Client, first: int) -> bool:
        """Note that an empty queue has refused a message; tell whether that is the message's fault."""
        if len(self._times) > MOST_REMEMBERED:
            self._times.clear()
        self._times[client.id, first] = self._times.get((client.id, first), 0) + 1
        return self._times[client.id, first] >= TIMES and client.queue in self._took
