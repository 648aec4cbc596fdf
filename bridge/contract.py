"""The contract between the processes: the names of the bridge's tasks and headers, and callbacks that are signed.

A bridge worker hands a fleet's worker a message with two callbacks in it. The fleet's worker publishes one of them when
the task ends. A bridge worker reads it, checks that it was signed by the bridge, and settles what it reports.
Everything that two of these processes must agree on stands here.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, NamedTuple

PUMP = "bridge.pump"
PRUNE = "bridge.prune"
BEAT, READY = "beat", "ready"  # who starts the pump: beat, or a bridge worker that has just begun
COMMIT = "bridge.commit"
FAIL = "bridge.fail"
SETTLE = "bridge.settle"  # many commits and fails in one message
MAP = "celery.map"  # Celery's own task, known to every worker: it calls another task for each item of a list
REASON = "reason"  # the keyword argument of a fail that tells why, where the worker knows
SETTLED_TASKS = (COMMIT, FAIL, SETTLE)  # a message that calls one of these carries callbacks, one or many

# Headers of the bridge's messages. The last two are only on those that carry no callbacks.
CLIENT_HEADER = "bridge_client"
OFFSET_HEADER = "bridge_offset"
GENERATION_HEADER = "bridge_generation"  # the log's, when the message was sent
ATTEMPT_HEADER = "bridge_attempt"
EPOCH_HEADER = "bridge_epoch"
OFFSETS_HEADER = "bridge_offsets"  # where the client takes batches
SIGNATURE_HEADER = "bridge_signature"
# Of a message with many callbacks: the `traceparent` of the tasks that they are about, by their ids.
TRACES_HEADER = "bridge_traces"
BEAT_HEADER = "bridge_beat"  # of a tick that beat sends

FIRST_GENERATION = 1
GENERATION_DIGITS = 9  # of the largest number that is read
DIGEST_DIGITS = 32

# How a fleet's worker publishes a callback. It is patient: a callback that can't be published fails a task whose work
# is done.
CALLBACK_RETRY = {"max_retries": 10, "interval_start": 0, "interval_step": 0.5, "interval_max": 5}


class CallbackArgs(NamedTuple):
    """The arguments of a callback: which attempt has ended, and the bridge's signature of it.

    They come back from outside, so nothing about their types is certain before `verified` has looked at them.

    Attributes:
        client: Id of the client.
        offset: The event's offset; of a batch, a list of its events' offsets.
        epoch: The client's epoch when the event was handed over.
        attempt: From 1.
        signature: Made by `sign`.
    """

    client: Any
    offset: Any
    epoch: Any
    attempt: Any
    signature: Any


# What a signature is made of: client, offset (of a batch: its `joined` offsets), epoch, attempt.
SignedFields = tuple[str, int | str, int, int]


def ticks_queue(queue: str) -> str:
    """Name the queue beside a bridge's queue to which the collector passes on the pump's ticks."""
    return f"{queue}.ticks"


def unreadable_queue(queue: str) -> str:
    """Name the queue beside a bridge's queue on which messages are set aside for people to look at."""
    return f"{queue}.unreadable"


def celery_link(task: str, queue: str, args: Sequence[object]) -> dict[str, Any]:
    """Make a callback as a Celery signature, for `link` or `link_error`, such that every fleet can publish it.

    An `exchange_type` other than `direct` keeps Celery from replacing the anonymous exchange by the fleet's own default
    queue. A plain `queue` option would end in QueueNotFound on fleets that create no missing queues, after their task
    has succeeded. The serializer is named because a fleet's own may be one that the bridge refuses, and the
    priority because on Redis a fleet's default one is another list than the one that a collector waits for.
    """
    return {
        "task": task,
        "args": list(args),
        "kwargs": {},
        "subtask_type": None,
        "immutable": True,
        "options": {
            "exchange": "",
            "routing_key": queue,
            "exchange_type": "topic",
            "serializer": "json",
            "priority": 0,
            "ignore_result": True,
            "retry": True,
            "retry_policy": CALLBACK_RETRY,
        },
    }


def args_in_headers(request: Any) -> CallbackArgs | None:
    """Return the arguments that a message without callbacks would report; Celery makes headers attributes of a request.

    Returns:
        None for a message that is not the bridge's, and for one that has callbacks, which report for it.
    """
    signature = getattr(request, SIGNATURE_HEADER, None)
    if signature is None or request.callbacks:
        return None
    client, offset, offsets, epoch, attempt = (
        getattr(request, header, None)
        for header in (CLIENT_HEADER, OFFSET_HEADER, OFFSETS_HEADER, EPOCH_HEADER, ATTEMPT_HEADER)
    )
    return CallbackArgs(client, offsets or offset, epoch, attempt, signature)


def joined(offsets: Sequence[int]) -> str:
    """Return offsets as they are signed: `42` for one event, `42,43,45` for a batch."""
    return ",".join(map(str, offsets))


def sign(secret: str, fields: SignedFields, *, generation: int) -> str:
    """Sign one attempt with keyed BLAKE2b, 128 bits: 32 hexadecimal digits. Source: RFC 7693, section 2.9.

    Args:
        secret: The bridge's key.
        fields: What is signed.
        generation: The log's. It is the salt, and from the second on stands before the digits, as in `2.0f…`.
    """
    keyed = _keyed(secret, generation).copy()
    client, offsets, epoch, attempt = fields
    keyed.update(f"{client}:{offsets}:{epoch}:{attempt}".encode("utf-8", "replace"))
    digest: str = keyed.hexdigest()
    return digest if generation == FIRST_GENERATION else f"{generation}.{digest}"


def genuine_generation(signature: object, secret: str, fields: SignedFields) -> int | None:
    """Return the generation in which `sign` made this signature; None if it did not.

    Among texts of the right length it takes the same time wherever the first wrong digit is, so that its time does not
    help to guess the right digits one by one.
    """
    if not isinstance(signature, str):
        return None
    generation = FIRST_GENERATION if len(signature) == DIGEST_DIGITS else _said_generation(signature)
    if generation is None:
        return None
    genuine = hmac.compare_digest(
        signature.encode(errors="replace"), sign(secret, fields, generation=generation).encode()
    )
    return generation if genuine else None


def _said_generation(signature: str) -> int | None:
    """Return the generation that a signature claims; None if it claims none."""
    said = signature[: -DIGEST_DIGITS - 1]
    return int(said) if len(said) <= GENERATION_DIGITS and said.isascii() and said.isdecimal() else None


@lru_cache(maxsize=16)
def _keyed(secret: str, generation: int) -> Any:
    """Make a hash that has read the key; the key is hashed first because BLAKE2b takes 64 bytes at most."""
    salt = (generation - FIRST_GENERATION).to_bytes(8, "little", signed=True)  # zeros are no salt
    return hashlib.blake2b(key=hashlib.sha512(secret.encode()).digest(), salt=salt, digest_size=DIGEST_DIGITS // 2)
