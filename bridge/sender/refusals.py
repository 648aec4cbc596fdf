"""Tell what a broker refuses about a message from a broker that is away.

RabbitMQ says a number: some of them are about what the message is, such as its size. Amazon SQS says a code. Redis
closes the connection on a value that it finds too large, and may or may not be heard to say why. There, and wherever a
connection is lost with a message that was sent alone, it takes a second look.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from amqp.exceptions import AMQPError, RecoverableConnectionError
from kombu import Producer
from redis.exceptions import AskError, ClusterCrossSlotError, ClusterDownError, RedisError, ResponseError
from redis.exceptions import ConnectionError as RedisConnectionError

from bridge.bounds import QUOTED_CHARACTERS
from bridge.broker.confirms import Confirms, ConfirmsOneByOne
from bridge.broker.internals.redis import redis_connection
from bridge.broker.transports import amazons_code
from bridge.errors import BrokerRefuses
from bridge.sender.halving import Refusal

# RabbitMQ's words on a message: content too large, precondition failed (its size), frame error, syntax error,
# unexpected frame, internal error. The last one may be its own fault, but not each time, and only with one message.
ABOUT_CONTENT = frozenset({311, 406, 501, 502, 505, 541})
PUBLISHING = frozenset({(60, 40), (0, 0)})  # the method that it refuses: `basic.publish`, or none, for a frame
# Amazon's codes on a message that is too large, or holds what it does not take. The first one is also about other
# things, so it counts only for a message that is larger than any that was taken.
ABOUT_SIZE = frozenset({"InvalidParameterValue", "InvalidMessageContents", "BatchRequestTooLong"})
ROOM_BYTES = 16 * 1024  # for all of a message but its body, which Redis gets in base64
OF_A_CLUSTER = (AskError, ClusterCrossSlotError, ClusterDownError)  # the first one is `MOVED` too: without that word
CLUSTER = "it is a Redis Cluster, to which Celery does not speak: take a Redis without cluster mode"


@contextmanager
def refusals(producer: Producer, confirms: Confirms | ConfirmsOneByOne | None, *, alone: int) -> Iterator[None]:
    """Turn the errors that are about what is sent within into `Refusal`; let the others through.

    What the broker takes only in part, because it is full, it is said of which messages it has.

    Args:
        producer: That which sends.
        confirms: Knows what the broker has taken all the same.
        alone: The size in bytes of the one message that is sent, if the broker is not known to take that size; else 0.
    """
    before = confirms.published if confirms is not None else 0
    try:
        yield
    except BrokerRefuses as error:
        if confirms is not None and not error.taken:
            error.taken = confirms.taken_since(before)
        raise
    except Exception as error:
        if _is_about_content(error):
            taken = confirms.taken_since(before) if confirms is not None else frozenset()
            raise Refusal(said(error), taken=taken) from error
        if alone and amazons_code(error).rpartition(".")[2] in ABOUT_SIZE:
            raise Refusal(said(error)) from error
        if not alone or not (is_cut(error) or type(error) is ResponseError):
            raise
        if producer.connection.transport.driver_type != "redis":
            raise Refusal(f"the broker ends the connection on it: {said(error)}", certain=False) from error
        if words := _echo(producer, 4 * alone // 3 + ROOM_BYTES):
            raise Refusal(words) from error
        raise


def _is_about_content(error: Exception) -> bool:
    """Tell whether RabbitMQ said so; py-amqp raises the same errors by itself, for a queue's name that is too long."""
    if not isinstance(error, AMQPError) or error.reply_code not in ABOUT_CONTENT:
        return False
    return error.method_sig is not None and tuple(error.method_sig) in PUBLISHING


def is_cut(error: Exception) -> bool:
    """Tell whether the connection was lost without a word that says why."""
    if isinstance(error, AMQPError):
        return isinstance(error, RecoverableConnectionError) and not error.reply_code
    closed = (ConnectionResetError, BrokenPipeError, ConnectionAbortedError, RedisConnectionError)
    return type(error) in closed or (type(error) is OSError and error.errno is None)


def said(error: Any) -> str:
    """Return a broker's words, at most so many."""
    number = getattr(error, "reply_code", None)
    text = getattr(error, "reply_text", None) or str(error)
    return (f"{number}: {text}" if number else text)[:QUOTED_CHARACTERS]


def said_of_redis(error: Exception) -> str:
    """Return Redis' words, or what they mean."""
    return f"{CLUSTER} ({error})" if isinstance(error, OF_A_CLUSTER) else str(error)


def _echo(producer: Producer, size: int) -> str:
    """Send Redis a value of this size that changes nothing; return why it refuses it, nothing if it takes it.

    It ends the connection on a value that is too large. A server that only refuses the command has read the value.
    """
    words = ""
    try:
        with redis_connection(producer.channel) as connection:
            for value in (b"x" * size, b"is it still there?"):
                connection.send_command("ECHO", value)
                try:
                    connection.read_response()
                except ResponseError as error:  # `ECHO` is not allowed, or has another name
                    words = words or said(error)
    except (RedisError, OSError) as error:
        if is_cut(error):
            return f"Redis refuses values of its size: {words or said(error)}"
        raise
    return ""
