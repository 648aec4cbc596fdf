"""What Flower and the log of a worker show of a delivery: its event in a word, and the beginning of its argument.

Celery shows the arguments of a task, up to a bound, and so does the bridge, unless `bridge_show_payload` is off. Pure:
text in, text out. It runs once for each message, so nothing is parsed.
"""

from __future__ import annotations

from collections.abc import Sequence

from bridge.bounds import SHOWN_CHARACTERS, SHOWN_KEY_CHARACTERS
from bridge.model import Client, Delivery
from bridge.wording import cleaned

_PAYLOAD, _HEADERS = '"payload": ', ', "headers": '  # as fq.body writes an event


def label_of(parcel: Sequence[Delivery]) -> str:
    """Name what a message carries, such as `<order.placed #42, key order-17, attempt 2>`."""
    head = parcel[0]
    attempt = f", attempt {head.attempt}" if head.attempt > 1 else ""
    if len(parcel) > 1:
        return f"<{head.topic} #{head.offset}..{parcel[-1].offset} ({len(parcel)} events){attempt}>"
    if head.key is None:
        return f"<{head.topic} #{head.offset}{attempt}>"
    plain = len(head.key) <= SHOWN_KEY_CHARACTERS and head.key.isprintable()
    key = head.key if plain else cleaned(head.key, most=SHOWN_KEY_CHARACTERS)
    return f"<{head.topic} #{head.offset}, key {key}{attempt}>"


def argument_of(client: Client, parcel: Sequence[Delivery], *, batched: bool) -> str:
    """Return the beginning of a message's argument, as JSON: the payload; of a batch, that of its first event."""
    body = parcel[0].body
    if not isinstance(body, str):
        text = _beginning_of_large(client, body)
    else:
        begin, end = 0, len(body)
        if client.call == "event" and (found := body.find(_PAYLOAD)) >= 0:
            begin = found + len(_PAYLOAD)
            end = body.rfind(_HEADERS, begin)
        text = body[begin:end] if end - begin <= SHOWN_CHARACTERS else f"{body[begin : begin + SHOWN_CHARACTERS]}…"
    if not batched:
        return text
    return f"[{text}, …]" if len(parcel) > 1 else f"[{text}]"


def _beginning_of_large(client: Client, body: bytearray) -> str:
    """Return the same of an event in bytes, of which a character takes four at most."""
    begin, end = 0, len(body)
    if client.call == "event" and (found := body.find(_PAYLOAD.encode())) >= 0:
        begin = found + len(_PAYLOAD)
        end = body.rfind(_HEADERS.encode(), begin)
    text = body[begin : min(end, begin + 4 * (SHOWN_CHARACTERS + 1))].decode(errors="ignore")  # its last one may be cut
    return text if len(text) <= SHOWN_CHARACTERS else f"{text[:SHOWN_CHARACTERS]}…"
