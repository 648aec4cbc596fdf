"""Common to the two writers that cut messages from a stencil: when they may be used, and how a stencil is rendered."""

from __future__ import annotations

import uuid
from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, ClassVar, Generic, NamedTuple, TypeVar

from celery import Celery, signals

from bridge.broker.conformance import Differs, FastWay
from bridge.contract import CallbackArgs
from bridge.model import Client, Delivery, task_id
from bridge.sender.celery import CeleryWriter
from bridge.sender.message import TaskCall, publish, signature_of
from bridge.sender.parcels import headers_of, is_batch, pack
from bridge.sender.pieces import Pieces
from bridge.sender.samples import SAMPLES
from bridge.sender.shown import argument_of, label_of
from bridge.sender.stencil import HEADER_MARKERS, MARKERS, Stencil
from bridge.sender.writer import Writer
from bridge.settings.client import SETTINGS
from bridge.tracing.listeners import is_heard

MOST_STENCILS = 1_000  # of one client

Place = TypeVar("Place")  # where messages of a stencil go, in the terms of a subclass
Rendered = tuple[Place, str, str]  # a message: where it goes, its envelope and its body
Cut = tuple[Place, str | Pieces, str | Pieces]  # the same; what holds a large event is in pieces


class Shape(NamedTuple):
    """Common to all messages of one stencil: their task, whether they carry lists, the names of headers from events."""

    task: str
    batched: bool
    epoch: int
    attempt: int
    trace: tuple[str, ...]
    headers: tuple[str, ...]


class Kept(NamedTuple, Generic[Place]):
    """The stencils of one client, for as long as its settings and the log's generation are these."""

    settings: tuple[object, ...]
    stencils: dict[tuple[object, ...], tuple[Place, Stencil]]  # by the fields of a Shape


class Cutter(Writer, Generic[Place]):
    """Cuts messages from stencils, which it keeps.

    Attributes:
        fast_way: The names that it borrows.
    """

    fast_way: ClassVar[FastWay]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._kept: dict[str, Kept[Place]] = {}  # by the client's id

    def conforms(self) -> bool:
        """Tell whether messages that are cut here are the ones that Celery would publish; a warning says why not.

        Raises:
            OSError, or one of the broker's errors: it could not be tried out.
        """
        return self.fast_way.conforms(self._try_out)

    def cut(self, client: Client, deliveries: Sequence[Delivery]) -> Iterator[Cut[Place]]:
        """Yield the messages of these deliveries in order: where each goes, its envelope and its body."""
        tag = uuid.uuid4().hex
        stencils = self._stencils_of(client)
        stands_alone = client.call == "kwargs"  # what is shown of the argument; else it stands behind the label
        for nth, (task, parcel) in enumerate(pack(client, deliveries)):
            first, headers, batched = parcel[0], headers_of(parcel), is_batch(client, parcel)
            shape = (task, batched, first.epoch, first.attempt, tuple(first.trace), tuple(headers))  # tuples are cheap
            found = stencils.get(shape)
            if found is None:
                found = self._keep(client, stencils, Shape(*shape))
            place, stencil = found
            label = label_of(parcel)
            argument = argument_of(client, parcel, batched=batched) if self._shows else ""
            if argument and not stands_alone:
                label, argument = f"{label} {argument}", ""
            texts = stencil.cut(
                parcel,
                batched=batched,
                signature=signature_of(self._secret, parcel),
                tag=f"{tag}.{nth}",
                label=label,
                argument=argument,
                headers=[*headers.values()] if headers else (),
            )
            yield place, *texts

    @abstractmethod
    def _rendered(self, write: Callable[[Any], object], own: Mapping[str, str]) -> Rendered[Place]:
        """Let `write` publish a message with a producer, and keep it, with its own headers, instead of sending it.

        Listeners of Celery's signals that only put trace headers into messages have no say in it.
        """

    @abstractmethod
    def _opened(self, rendered: Rendered[Place]) -> object:
        """Decode a message without the fields that are unique to each message, for comparison."""

    def _stencils_of(self, client: Client) -> dict[tuple[object, ...], tuple[Place, Stencil]]:
        """Return the client's stencils by shape; those of its earlier settings are dropped.

        Every setting counts. Where one that goes into messages were left out, a running pump would keep its old value.
        """
        settings = (client.generation, *(getattr(client, name) for name in SETTINGS))
        kept = self._kept.get(client.id)
        if kept is None or kept.settings != settings:
            kept = self._kept[client.id] = Kept(settings, {})
        return kept.stencils

    def _keep(
        self, client: Client, stencils: dict[tuple[object, ...], tuple[Place, Stencil]], shape: Shape
    ) -> tuple[Place, Stencil]:
        """Make a stencil of this shape, and keep it; each replay has an epoch of its own, so there may be many."""
        call = call_of_markers(client, shape, shows=self._shows)
        place, *texts = self._rendered(
            lambda producer: publish(self._app, producer, client, call, queue=self._queue),
            {**call.headers, **call.trace},
        )
        if len(stencils) >= MOST_STENCILS:
            stencils.clear()
        stencils[shape] = place, Stencil(*texts)
        return stencils[shape]

    def _try_out(self) -> None:
        """Cut messages of some samples, and compare them with what Celery makes of these; nothing is sent.

        Raises:
            Differs: they are not the same.
        """
        for client, deliveries in SAMPLES:

            def write(producer: Any, client: Client = client, deliveries: Sequence[Delivery] = deliveries) -> None:
                CeleryWriter(self._app, producer, queue=self._queue, secret=self._secret, shows=self._shows).send(
                    client, deliveries
                )

            [(place, envelope, body)] = self.cut(client, deliveries)
            own = {**headers_of(deliveries), **deliveries[0].trace}
            if self._opened((place, str(envelope), str(body))) != self._opened(self._rendered(write, own)):
                raise Differs("a message that is cut from a stencil is not the one that Celery makes")
        self._kept.clear()  # those of the samples


def call_of_markers(client: Client, shape: Shape, *, shows: bool) -> TaskCall:
    """Make the call that a stencil is rendered from."""
    offsets, signature = MARKERS["offsets"], MARKERS["signature"]
    return TaskCall(
        task=shape.task,
        task_id=task_id(client.id, MARKERS["offset"], shape.epoch, shape.attempt),
        value={MARKERS["event"]: None} if client.call == "kwargs" else MARKERS["event"],
        batched=shape.batched,
        label=MARKERS["label"],
        argument=MARKERS["argument"] if shows and client.call == "kwargs" else "",
        offset=MARKERS["offset"],
        trace={name: MARKERS[name] for name in shape.trace},
        headers=dict(zip(shape.headers, HEADER_MARKERS, strict=False)),
        callback=CallbackArgs(client.id, offsets, shape.epoch, shape.attempt, signature),
    )


def is_unheard(app: Celery) -> bool:
    """Tell whether skipping `send_task` can't be observed: nothing hears publish signals, and Celery adds nothing.

    Listeners that only put trace headers into messages do not count: the stencil carries these headers.
    """
    listened = (signals.before_task_publish, signals.after_task_publish, signals.task_sent)
    return (
        not any(is_heard(signal) for signal in listened)
        and not app.conf.task_send_sent_event
        and not app.conf.task_compression
        and app.conf.task_protocol == 2
    )
