"""CloudEvents 1.0 that come in: each is an event of the log, stored once for its source and id."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bridge.errors import InvalidEvent
from bridge.event import NewEvent
from bridge.log.apublish import apublish
from bridge.log.publish import publish
from bridge.store.callers import Target

VERSIONS = ("1.0", "0.3")
REQUIRED = ("id", "source", "type")
TRACE = ("traceparent", "tracestate")  # of the extension Distributed Tracing: they travel as headers of their own
HEADER = "cloudevent"  # what the event was as a CloudEvent


def publish_cloudevent(target: Target, event: object) -> int:
    """Append a CloudEvent in the caller's own transaction, unless the log has it already.

    ::

        bridge.publish_cloudevent(connection, {
            "specversion": "1.0", "type": "com.example.order.paid", "source": "/shop", "id": "17",
            "subject": "order-17", "data": {"total": "9.50"},
        })

    Its `type` is the topic. Its `partitionkey`, or else its `subject`, is the key. Its `data` is the payload. Source
    and id together are the event's id, so that the same CloudEvent again is stored once. All its other attributes
    travel in the header `cloudevent`.

    Args:
        target: As for `bridge.publish`.
        event: A mapping in structured mode, or an object of the package `cloudevents`, of specversion 1.0 or 0.3.

    Returns:
        The offset; of one that is in the log already, that of the first.

    Raises:
        InvalidEvent: it is no CloudEvent, its type is no topic, or its data is binary; nothing was sent.
        InvalidTarget, IdTaken, Exception: as for `bridge.publish`.
    """
    topic, payload, key, headers, id = of_cloudevent(event)
    return publish(target, topic, payload, key=key, headers=headers, id=id)


async def apublish_cloudevent(target: Target, event: object) -> int:
    """Append a CloudEvent as `bridge.publish_cloudevent` does, on an asynchronous connection."""
    topic, payload, key, headers, id = of_cloudevent(event)
    return await apublish(target, topic, payload, key=key, headers=headers, id=id)


def of_cloudevent(event: object) -> NewEvent:
    """Return the event that a CloudEvent becomes.

    Raises:
        InvalidEvent: it is none that can be stored.
    """
    attributes, data = _parts(event)
    if attributes.get("specversion") not in VERSIONS:
        said = repr(attributes.get("specversion"))[:50]
        raise InvalidEvent(f"specversion {said} is none of a CloudEvent that the bridge knows: {', '.join(VERSIONS)}")
    for name in REQUIRED:
        if not isinstance(attributes.get(name), str) or not attributes[name]:
            raise InvalidEvent(f"a CloudEvent needs its {name}, as text: it is {repr(attributes.get(name))[:50]}")
    source, id = attributes["source"], attributes["id"]
    if any(character.isspace() for character in source):
        raise InvalidEvent(f"the source {source[:50]!r} of a CloudEvent is a URI reference, and has no spaces")
    key = attributes.get("partitionkey") or attributes.get("subject") or None
    other = {name: value for name, value in attributes.items() if name not in ("type", "specversion", *TRACE)}
    trace = {name: attributes[name] for name in TRACE if isinstance(attributes.get(name), str)}
    return NewEvent(attributes["type"], data, key, {**trace, HEADER: other}, f"{source} {id}")


def _parts(event: object) -> tuple[Mapping[str, Any], Any]:
    """Return the attributes of a CloudEvent, and its data.

    Raises:
        InvalidEvent: it is no CloudEvent, or its data is binary.
    """
    get_attributes, get_data = getattr(event, "get_attributes", None), getattr(event, "get_data", None)
    if callable(get_attributes) and callable(get_data):
        attributes, data = dict(get_attributes()), get_data()
    elif isinstance(event, Mapping):
        attributes = {name: value for name, value in event.items() if name not in ("data", "data_base64")}
        data = event.get("data") if event.get("data_base64") is None else b""
    else:
        raise InvalidEvent(
            f"a {type(event).__name__} is no CloudEvent: pass a mapping in structured mode, or an object of the "
            "package cloudevents"
        )
    if isinstance(data, bytes | bytearray | memoryview):
        raise InvalidEvent(
            "the data of this CloudEvent is binary, and a payload is JSON: decode it, or publish it as text"
        )
    return attributes, data
