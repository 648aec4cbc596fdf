"""The contract between the processes: names of the bridge's tasks, the callbacks' signature, and how they are signed.

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
COMMIT = "bridge.commit"
FAIL = "bridge.fail"
SETTLE = "bridge.settle"  # many commits and fails in one message
MAP = "celery.map"  # Celery's own task, known to every worker: it calls another task for each item of a list
CALLBACKS = (COMMIT, FAIL, SETTLE)

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


# An attempt as it is signed: client, offset (of a batch: its offsets with commas between them), epoch, attempt.
Attempt = tuple[str, int | str, int, int]


def ticks_queue(queue: str) -> str:
    """Name the queue beside a bridge's queue to which the collector passes on the pump's ticks."""
    return f"{queue}.ticks"


def callback_signature(task: str, queue: str, args: Sequence[object]) -> dict[str, Any]:
    """Make the Celery signature that a fleet's worker publishes when an attempt ends, so that every fleet accepts it.

    An `exchange_type` other than `direct` keeps Celery from replacing the anonymous exchange by the fleet's own default
    queue. A plain `queue` option would end in QueueNotFound on fleets that create no missing queues, after their task
    has succeeded. The serializer is named because a fleet's own may be one that the bridge refuses.
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
            "ignore_result": True,
            "retry": True,
            "retry_policy": CALLBACK_RETRY,
        },
    }


def callback_in_headers(headers: Any) -> CallbackArgs | None:
    """Read what a message without callbacks would report from its headers, which are attributes of a task's request.

    Returns:
        None for a message that is not the bridge's, or has callbacks.
    """
    signature = getattr(headers, "bridge_signature", None)
    if signature is None:
        return None
    offsets, *others = (
        getattr(headers, f"bridge_{name}", None) for name in ("offsets", "client", "offset", "epoch", "attempt")
    )
    client, offset, epoch, attempt = others
    return CallbackArgs(client, offsets or offset, epoch, attempt, signature)


def sign(secret: str, attempt: Attempt) -> str:
    """Sign one attempt with keyed BLAKE2b, 128 bits: 32 hexadecimal digits. Source: RFC 7693, section 2.9."""
    keyed = _keyed(secret).copy()
    keyed.update("{}:{}:{}:{}".format(*attempt).encode(errors="replace"))
    digest: str = keyed.hexdigest()
    return digest


def is_genuine(signature: object, secret: str, attempt: Attempt) -> bool:
    """Tell whether `sign` made this signature; it takes the same time whatever is wrong with it."""
    if not isinstance(signature, str):
        return False
    return hmac.compare_digest(signature.encode(errors="replace"), sign(secret, attempt).encode())


@lru_cache(maxsize=16)
def _keyed(secret: str) -> Any:
    """Make a hash that has read the key; the key is hashed first because BLAKE2b takes 64 bytes at most."""
    return hashlib.blake2b(key=hashlib.sha512(secret.encode()).digest(), digest_size=16)
