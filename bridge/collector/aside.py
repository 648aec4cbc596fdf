"""Set messages aside, on a queue beside the bridge's: what no worker can read, and what Postgres refuses for good.

People look at them there. The queue is bounded: where it is full, the oldest of its messages go. A broker that is there
and refuses to keep a message, for want of rights or of room, would refuse it again, and all others would wait with it.
So such a message is dropped, with a line in the log that shows its beginning; the lease of its event ends. A flood of
messages is no flood of lines.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

from amqp import Message
from amqp.exceptions import AccessRefused, PreconditionFailed
from redis import Redis
from redis.exceptions import ReadOnlyError, ResponseError

from bridge.bounds import UNREADABLE_BYTES, UNREADABLE_MESSAGES
from bridge.broker.confirms import Confirms
from bridge.broker.internals.rabbitmq import can_be_published
from bridge.errors import BrokerUnavailable
from bridge.trouble import Few
from bridge.wording import counted, one_line, said

logger = logging.getLogger("bridge.collector")

CONFIRM_SECONDS = 10.0
SHOWN_BYTES = 200  # of a message that is dropped
PERSISTENT = 2
COPIES = frozenset({"CC", "BCC"})  # headers that RabbitMQ acts upon
MOST_LINES = 20  # of one minute, in each of the places that set messages aside

# Keep messages on a list of at most so many, and of at most so many bytes; return how many old ones had to go. All of
# the list is measured: one large message among small ones would make an estimate either keep or drop far too much. The
# first command lets a Redis that is out of memory take the next one: what is kept has been taken off another list.
KEEP_ON_REDIS = """
local kept, most, bytes, dropped = KEYS[1], tonumber(ARGV[1]), tonumber(ARGV[2]), 0
redis.call('LTRIM', kept, 0, -1)
for nth = 3, #ARGV do redis.call('LPUSH', kept, ARGV[nth]) end
local function drop()
    dropped = dropped + 1
    return #redis.call('RPOP', kept)
end
while redis.call('LLEN', kept) > most do drop() end
local used = redis.pcall('MEMORY', 'USAGE', kept, 'SAMPLES', '0')
if type(used) == 'number' then
    while used > bytes and redis.call('LLEN', kept) > 0 do used = used - drop() end
end
return dropped
"""
# The same on RabbitMQ, as arguments of the queue.
ON_RABBITMQ = {
    "x-max-length": UNREADABLE_MESSAGES,
    "x-max-length-bytes": UNREADABLE_BYTES,
    "x-overflow": "drop-head",
}


def keep_on_redis(client: Redis, queue: str, messages: Sequence[bytes], *, why: str, lines: Few) -> None:
    """Keep messages, as they came, on a list.

    Raises:
        RedisError: they are not kept, and later they may be.
    """
    keep = client.register_script(KEEP_ON_REDIS)
    try:
        dropped = int(keep(keys=[queue], args=[UNREADABLE_MESSAGES, UNREADABLE_BYTES, *messages]))
    except ReadOnlyError:  # during a failover
        raise
    except ResponseError as error:
        say_lost(messages, queue=queue, why=why, error=error, lines=lines)
    else:
        _say(len(messages), queue=queue, why=why, dropped=dropped, lines=lines)


def keep_on_amqp(connection: Any, queue: str, messages: Sequence[Message], *, why: str, lines: Few) -> None:
    """Keep messages, as they came, on a queue; return when the broker has them.

    Raises:
        One of the connection's errors: not all are kept.
    """
    try:
        waiting = _declare(connection, queue)
        with connection.channel() as channel:
            confirms = Confirms(channel)
            for message in messages:
                channel.basic_publish(_kept(message), exchange="", routing_key=queue, mandatory=True)
            if confirms.wait(CONFIRM_SECONDS):
                raise BrokerUnavailable(f"the queue {queue!r} was deleted")
    except (BrokerUnavailable, *connection.channel_errors) as error:
        say_lost([_body(message) for message in messages], queue=queue, why=why, error=error, lines=lines)
    else:
        dropped = max(0, waiting + len(messages) - UNREADABLE_MESSAGES)
        _say(len(messages), queue=queue, why=why, dropped=dropped, lines=lines)


def _declare(connection: Any, queue: str) -> int:
    """Declare the queue on RabbitMQ; return how many messages it has."""
    options = {"queue": queue, "durable": True, "auto_delete": False, "arguments": ON_RABBITMQ}
    try:
        with connection.channel() as channel:  # of its own: an error closes it
            return int(channel.queue_declare(**options).message_count)
    except (PreconditionFailed, AccessRefused):  # somebody has declared it with bounds of their own, or for us
        with connection.channel() as channel:
            return int(channel.queue_declare(queue, passive=True).message_count)


def only_here(properties: dict[str, Any]) -> dict[str, Any]:
    """Return a message's properties without those that RabbitMQ would act upon when we publish it.

    It would put copies on the queues of a header `CC`, perhaps on the one that the message was just taken from, and it
    refuses any user but our own.
    """
    headers = properties.get("application_headers")
    if isinstance(headers, dict) and headers.keys() & COPIES:
        headers = {name: value for name, value in headers.items() if name not in COPIES}
        properties = {**properties, "application_headers": headers}
    return {name: value for name, value in properties.items() if name != "user_id"}


def _kept(message: Message) -> Message:
    """Return the message such that the broker takes and keeps it: not all properties that are read can be written."""
    properties = {name: value for name, value in only_here(message.properties).items() if name != "expiration"}
    body = _body(message)
    kept = Message(body, **{**properties, "delivery_mode": PERSISTENT})
    return kept if can_be_published(kept) else Message(body, delivery_mode=PERSISTENT)


def _body(message: Message) -> bytes:
    return bytes(message.body or b"")  # of an empty message it is an empty string


def few_lines() -> Few:
    """Return what leaves the lines of one place that sets messages aside."""
    return Few(logger, most=MOST_LINES)


def _say(number: int, *, queue: str, why: str, dropped: int, lines: Few) -> None:
    """Leave a line in the log."""
    line = f"{counted(number, 'message is', 'messages are')} set aside on {queue}: {said(why)}"
    if dropped:
        gone = counted(dropped, "message that was set aside before is", "messages that were set aside before are")
        line += f"; {queue} is full: {gone} dropped"
    lines.say(logging.WARNING, line)


def say_lost(messages: Sequence[bytes], *, queue: str, why: str, error: Exception, lines: Few) -> None:
    """Leave a line in the log about messages that the broker refuses to keep."""
    number = counted(len(messages), "message is dropped, it can't", "messages are dropped, they can't")
    shown = one_line(messages[0][:SHOWN_BYTES])
    lines.say(logging.ERROR, f"{number} be set aside on {queue} ({said(error)}): {said(why)}: {shown}")
