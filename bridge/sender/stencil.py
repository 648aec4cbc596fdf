"""A stencil: one message that Celery rendered, with the parts that change from event to event cut out.

Making a message the ordinary way costs about half a millisecond, nearly all of it for parts that never change. Here
Celery renders one real message with markers in it, and every further message is that one with the markers filled. Event
JSON goes in as the text that Postgres made, without being parsed. Pure: text in, text out.
"""

from __future__ import annotations

import json
import re
from base64 import b64encode
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from operator import itemgetter
from typing import NamedTuple

from bridge.bounds import HEADERS_OF_A_MESSAGE, TRACE_HEADERS
from bridge.model import Delivery
from bridge.sender.shown import label_of
from bridge.tracing.context import MOST_CHARACTERS

_escaped = json.encoder.encode_basestring_ascii  # in quotes, as it stands in JSON

# A message is rendered with these. A marker that stands for a number is cut out together with its quotes.
_NUMBERS = {
    "offset": "@@bridge-offset@@",
    "offsets": "@@bridge-offsets@@",
    "attempt": "@@bridge-attempt@@",
    "epoch": "@@bridge-epoch@@",
}
_TEXTS = {
    "task_id": "@@bridge-task-id@@",
    "label": "@@bridge-label@@",
    "argument": "@@bridge-argument@@",
    "signature": "@@bridge-signature@@",
    "tag": "@@bridge-tag@@",
    **{name: f"@@bridge-{name}@@" for name in MOST_CHARACTERS},
}
_EVENT = "@@bridge-event@@"
BODY = "@@bridge-body@@"
MARKERS: Mapping[str, str] = {**_NUMBERS, **_TEXTS, "event": _EVENT}
UNTRACED = ("",) * len(MOST_CHARACTERS)
# Of headers from the event: what the client asks for, and those of other tracers.
HEADER_MARKERS = tuple(f"@@bridge-header-{nth}@@" for nth in range(HEADERS_OF_A_MESSAGE + TRACE_HEADERS))


class _Template(NamedTuple):
    """A text in the `%` language, and a function that picks the values that fill it, in order, out of all values."""

    text: str
    pick: Callable[[Sequence[str]], tuple[str, ...]]

    def filled(self, values: Sequence[str]) -> str:
        return self.text % self.pick(values)


class Stencil:
    """Cuts messages for one client, task and set of trace headers.

    Args:
        envelope: All of a message but its body, as JSON rendered with `MARKERS` in the places of the changing parts.
            Where it has `BODY` in it, the body goes there in base64, as kombu's virtual transports store it.
        body: The body, rendered likewise.
    """

    def __init__(self, envelope: str, body: str) -> None:
        self._inside = BODY in envelope
        self._envelope = _template(envelope)
        self._body = _template(body)

    def cut(
        self,
        parcel: Sequence[Delivery],
        *,
        batched: bool,
        signature: str,
        tag: str,
        argument: str = "",
        headers: Sequence[str] = (),
    ) -> tuple[str, str]:
        """Make the message of these deliveries: its envelope and its body.

        Args:
            parcel: The events and where they go; their bodies are spliced in as they are.
            batched: Whether the task takes a list, even of one.
            signature: Signs its callbacks.
            tag: The message's delivery tag, unique in the broker.
            argument: What is shown of the argument.
            headers: The values of headers from the event, in the order of `HEADER_MARKERS`.
        """
        head = parcel[0]
        offset = str(head.offset)
        if batched:
            offsets = f"[{', '.join([str(delivery.offset) for delivery in parcel])}]"
            event = f"[{', '.join([delivery.body for delivery in parcel])}]"
        else:
            offsets, event = offset, head.body
        values = (  # in the order of MARKERS
            offset,
            offsets,
            str(head.attempt),
            str(head.epoch),
            head.task_id,
            _escaped(label_of(parcel))[1:-1],
            _escaped(argument)[1:-1] if argument else "",
            signature,
            tag,
            *(_of_trace(head.trace) if head.trace else UNTRACED),
            event,
        )
        body = self._body.filled(values)
        inside = b64encode(body.encode()).decode("ascii") if self._inside else ""
        return self._envelope.filled((*values, inside, *map(_in_json, headers))), body


def _of_trace(trace: Mapping[str, str]) -> list[str]:
    """Return trace headers as they stand in JSON. They differ from event to event: to remember them would not pay."""
    return [_escaped(trace.get(name, ""))[1:-1] for name in MOST_CHARACTERS]


@lru_cache(maxsize=4096)
def _in_json(text: str) -> str:
    """Return the text as it stands between the quotes of a JSON string."""
    return json.dumps(text)[1:-1]


def _template(text: str) -> _Template:
    """Cut the markers out of a text."""
    names = {f'"{marker}"': name for name, marker in {**_NUMBERS, "event": _EVENT}.items()}
    names |= {f'{{"{_EVENT}": null}}': "event"}  # where the event's fields are keyword arguments
    names |= {marker: name for name, marker in {**_TEXTS, "body": BODY}.items()}
    names |= {marker: marker for marker in HEADER_MARKERS}
    order = [*MARKERS, "body", *HEADER_MARKERS]
    parts = re.split("(" + "|".join(re.escape(marker) for marker in names) + ")", text)
    template = "".join("%s" if part in names else part.replace("%", "%%") for part in parts)
    return _Template(template, itemgetter(*(order.index(names[part]) for part in parts if part in names)))
