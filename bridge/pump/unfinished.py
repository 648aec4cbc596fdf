"""Deliveries that end without a callback: done and not reported, never answered, or not fit for a message."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection

from bridge.bounds import REASON_CHARACTERS
from bridge.errors import Undeliverable
from bridge.model import Client, Failure
from bridge.settings.client import OnExhausted
from bridge.store import outcomes
from bridge.store.outcomes import Exhausted
from bridge.wording import storable

NEVER_ANSWERED = "never answered"


def finish_done(connection: Connection, client: Client) -> None:
    """Finish the deliveries that ended in a transaction of their handler, and whose callback was lost."""
    done = outcomes.done(connection, client)
    if done:
        outcomes.move_cursors(connection, outcomes.succeed(connection, done))


def give_up_unanswered(connection: Connection, client: Client, verdict: OnExhausted) -> bool:
    """Give up the deliveries whose last attempt was never answered; tell whether that halted the client."""
    unanswered = outcomes.expired(connection, client)
    outcomes.give_up(
        connection, [Exhausted(one.client, one.offset, NEVER_ANSWERED, Failure(), verdict) for one in unanswered]
    )
    return bool(unanswered) and verdict == "halt"


def give_up_refused(
    connection: Connection, client: Client, refused: Sequence[Undeliverable], verdict: OnExhausted
) -> None:
    """Give up the events that no message can be made of."""
    outcomes.give_up(
        connection,
        [
            # The words are a serializer's or a broker's: any text at all.
            Exhausted(
                client.id, it.offset, storable(f"undeliverable: {it}", most=REASON_CHARACTERS), Failure(), verdict
            )
            for it in refused
        ],
    )
