"""A stencil: one message that Celery rendered, with the parts that change from event to event cut out.

Making a message the ordinary way costs about half a millisecond, nearly all of it for parts that never change. Here
Celery renders one real message with markers in it, and every further message is that one with the markers filled. Event
JSON goes in as the text that Postgres made, without being parsed. Pure: text in, text out.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, cast

from bridge.bounds import HEADERS_OF_A_MESSAGE, PIECE_BYTES, TRACE_HEADERS
from bridge.model import Delivery
from bridge.sender.pieces import Base64, Pieces, event_in
from bridge.sender.template import Parts, Slot, Template, encoded, in_base64
from bridge.tracing.context import MOST_CHARACTERS

_escaped = json.encoder.encode_basestring_ascii  # in quotes, as it stands in JSON

# A message is rendered with these. A marker that stands for a number is cut out together with its quotes, where these
# are all that is around it: the offset is a part of the task's id too.
_NUMBERS = {"offset": "@@bridge-offset@@", "offsets": "@@bridge-offsets@@"}
_TEXTS = {
    "label": "@@bridge-label@@",
    "argument": "@@bridge-argument@@",
    "signature": "@@bridge-signature@@",
    "tag": "@@bridge-tag@@",
}
_TRACE = {name: f"@@bridge-{name}@@" for name in MOST_CHARACTERS}
_EVENT = "@@bridge-event@@"
BODY = "@@bridge-body@@"
MARKERS: Mapping[str, str] = {**_NUMBERS, **_TEXTS, "event": _EVENT, **_TRACE}
UNTRACED = ("",) * len(MOST_CHARACTERS)
# Of headers from the event: what the client asks for, and those of other tracers.
HEADER_MARKERS = tuple(f"@@bridge-header-{nth}@@" for nth in range(HEADERS_OF_A_MESSAGE + TRACE_HEADERS))


_ORDER = (*MARKERS, *HEADER_MARKERS)  # of the values that fill a template


class Stencil:
    """Cuts messages for one client, task, epoch, attempt and set of headers.

    Args:
        envelope: All of a message but its body, as JSON rendered with `MARKERS` in the places of the changing parts.
            Where it has `BODY` in it, the body goes there in base64, as kombu's virtual transports store it.
        body: The body, rendered likewise.
    """

    def __init__(self, envelope: str, body: str) -> None:
        around, inside = _parts(envelope), _parts(body)
        self._body = Template(inside, _ORDER)
        self._runs: list[Template] = []  # of the body in base64: what changes
        order = _ORDER
        nth = next((nth for nth, slot in enumerate(around.slots) if slot.name == "body"), None)
        if nth is not None:
            found, runs = encoded(inside)
            self._runs = [Template(run, _ORDER) for run in runs]
            around = _with(around, nth, found)
            order = (*map(str, range(len(runs))), *_ORDER)
        self._envelope = Template(around, order)

    def cut(
        self,
        parcel: Sequence[Delivery],
        *,
        batched: bool,
        signature: str,
        tag: str,
        label: str,
        argument: str = "",
        headers: Sequence[str] = (),
    ) -> tuple[str | Pieces, str | Pieces]:
        """Make the message of these deliveries: its envelope, and its body where that is not in the envelope.

        Whichever of them holds a large event is in pieces.

        Args:
            parcel: The events and where they go; their bodies are spliced in as they are.
            batched: Whether the task takes a list, even of one.
            signature: Signs its callbacks.
            tag: The message's delivery tag, unique in the broker.
            label: What is shown of it.
            argument: What is shown of the argument, where that stands by itself.
            headers: The values of headers from the event, in the order of `HEADER_MARKERS`.
        """
        head = parcel[0]
        offset = str(head.offset)
        if batched:
            offsets = f"[{', '.join([str(delivery.offset) for delivery in parcel])}]"
            event = _list_of([delivery.body for delivery in parcel])
        else:
            body = head.body
            offsets, event = offset, body if isinstance(body, str) else event_in([body], batched=False)
        said = _escaped(argument)[1:-1] if argument else ""
        values: tuple[Any, ...]
        values = (offset, offsets, _escaped(label)[1:-1], said, signature, tag, event)  # in the order of MARKERS
        if head.trace or headers:  # else no slot is theirs
            values += (*(_of_trace(head.trace) if head.trace else UNTRACED), *map(_in_json, headers))
        if not isinstance(event, str):
            return self._in_pieces(values)
        if self._runs:
            runs = [in_base64(run.filled(values)) for run in self._runs]
            return self._envelope.filled((*runs, *values)), ""
        return self._envelope.filled(values), self._body.filled(values)

    def _in_pieces(self, values: tuple[Any, ...]) -> tuple[str | Pieces, Pieces | str]:
        """Make the same of a message that is too long to be there as a whole."""
        if self._runs:
            runs = [Base64(run.picked(values)) for run in self._runs]
            return Pieces(self._envelope.picked((*runs, *values))), ""
        return self._envelope.filled(values), Pieces(self._body.picked(values))


def _list_of(bodies: Sequence[str | bytearray]) -> str | Pieces:
    try:
        event = f"[{', '.join(cast('Sequence[str]', bodies))}]"
    except TypeError:  # one is large; to ask each of them first would take longer
        return event_in(bodies, batched=True)
    return event if len(event) <= PIECE_BYTES else event_in(bodies, batched=True)


def _of_trace(trace: Mapping[str, str]) -> list[str]:
    """Return trace headers as they stand in JSON. They differ from event to event: to remember them would not pay."""
    return [_escaped(trace.get(name, ""))[1:-1] for name in MOST_CHARACTERS]


@lru_cache(maxsize=4096)
def _in_json(text: str) -> str:
    """Return the text as it stands between the quotes of a JSON string."""
    return json.dumps(text)[1:-1]


def _parts(text: str) -> Parts:
    """Cut the markers out of a JSON text, which becomes compact: Celery's has a space behind each comma and colon."""
    names = {f'"{marker}"': name for name, marker in {**_NUMBERS, "event": _EVENT}.items()}
    names |= {f'{{"{_EVENT}":null}}': "event"}  # where the event's fields are keyword arguments
    values = set(names)
    names |= {marker: name for name, marker in {**_NUMBERS, **_TEXTS, **_TRACE, "body": BODY}.items()}
    names |= {marker: marker for marker in HEADER_MARKERS}
    compact = json.dumps(json.loads(text), separators=(",", ":"))
    parts = re.split("(" + "|".join(re.escape(marker) for marker in names) + ")", compact)
    return Parts(parts[::2], [Slot(names[found], found in values) for found in parts[1::2]])


def _with(around: Parts, nth: int, inside: Parts) -> Parts:
    """Put one text into a slot of another."""
    before, behind = around.constants[: nth + 1], around.constants[nth + 1 :]
    first, *middle, last = inside.constants
    constants = [*before[:-1], before[-1] + first, *middle, last + behind[0], *behind[1:]]
    return Parts(constants, [*around.slots[:nth], *inside.slots, *around.slots[nth + 1 :]])
