"""Tell a message that a queue can never take from a queue that is full.

RabbitMQ refuses both with the same word: a message above `max-length-bytes` is refused by an empty queue, too. So what
was refused is tried by itself while its queue is empty. Where that is refused some times in a row, and the queue takes
others meanwhile, or never took one so large, the message is at fault. That it took others before proves nothing: its
limit may be new.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence

from bridge.broker.confirms import FULL
from bridge.errors import NotTaken, Unsent
from bridge.model import Client, Delivery
from bridge.sender.halving import Refusal, Send, send_around
from bridge.sender.parcels import pack
from bridge.sender.portions import is_ordinary, size_of

TIMES = 3  # somebody else may fill the queue at the same moment, and its fleet empty it
MOST_REMEMBERED = 10_000
WORDS = "queue {queue!r} takes others, and refuses it while it is empty: is max-length-bytes of the queue too small?"


class Full:
    """What this process remembers of queues that refuse messages.

    Args:
        length: Returns how many messages wait in a queue; None where the broker does not say.

    Attributes:
        taken: How many times each queue has taken something.
    """

    def __init__(self, length: Callable[[str], int | None]) -> None:
        self.taken = Counter[str]()
        self._largest = dict[str, int]()  # in bytes, of the messages that each queue has taken
        self._length = length
        # Of each message, by its client and its first event: how many times in a row it was refused, and `taken`
        # before the first of them.
        self._times: dict[tuple[str, int], tuple[int, int]] = {}

    def took(self, queue: str, size: int = 0) -> None:
        """Note that a queue has taken something, and its size where it is a single large message."""
        self.taken[queue] += 1
        if size:
            self._largest[queue] = max(size, self._largest.get(queue, 0))

    def look_again(
        self, client: Client, deliveries: Sequence[Delivery], unsent: list[Unsent], send: Send, *, before: int
    ) -> list[Unsent]:
        """Try the first message that was refused by itself, if its queue is empty.

        Args:
            client: Whose.
            deliveries: What was sent.
            unsent: What of it was not taken, for whatever reason.
            send: Sends some of it.
            before: How many times the queue had taken something before the call.
        """
        first = next((it.offset for it in unsent if isinstance(it, NotTaken) and str(it) == FULL), None)
        if first is None or self._length(client.queue) != 0:
            return unsent
        message = next(some for _, some in pack(client, deliveries) if any(it.offset == first for it in some))

        def alone(some: Sequence[Delivery]) -> list[Unsent]:
            left = send(some)
            if not left or self._length(client.queue) != 0:
                if len(some) == len(message):
                    self._times.pop((client.id, first), None)
            elif self._is_at_fault(client, first, some, before):
                raise Refusal(WORDS.format(queue=client.queue))
            return left

        again = send_around(client, message, alone)
        self.forget_others(client, message, again)
        return [it for it in unsent if all(it.offset != one.offset for one in message)] + again

    def forget_others(self, client: Client, deliveries: Sequence[Delivery], unsent: Sequence[Unsent]) -> None:
        """Forget the refusals of what was sent, or set aside, by now."""
        if self._times:
            left = {it.offset for it in unsent if isinstance(it, NotTaken)}
            for it in deliveries:
                if it.offset not in left:
                    self._times.pop((client.id, it.offset), None)

    def _is_at_fault(self, client: Client, first: int, some: Sequence[Delivery], before: int) -> bool:
        """Note that an empty queue has refused a message; tell whether that is the message's fault.

        Of a batch each half is tried then. Where nothing else goes out meanwhile, as in a strict order, its size has to
        show it: it is larger than all that the queue has taken.
        """
        if len(self._times) > MOST_REMEMBERED:
            self._times.clear()
        times, before = self._times.get((client.id, first), (0, before))
        self._times[client.id, first] = times + 1, before
        if times + 1 < TIMES or len(some) > 1:
            return times + 1 >= TIMES
        takes_others = self.taken[client.queue] > before
        is_largest = not is_ordinary(size_of(some), self._largest.get(client.queue, 0))
        return takes_others or (is_largest and self.taken[client.queue] > 0)
