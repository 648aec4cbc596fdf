"""`eventbridge register --prune`: remove the clients that the code has declared once, and does not any more."""

from __future__ import annotations

from collections.abc import Sequence

from bridge.command.confirm import confirm
from bridge.command.group import say_warning
from bridge.command.invocation import say
from bridge.command.output import print_json
from bridge.operate.operator import Operator
from bridge.store.clients import DeclaredClient
from bridge.wording import counted

REASON = "the code declares it no more"


def show_undeclared(found: Sequence[DeclaredClient], *, as_json: bool) -> None:
    """Say which clients would be removed, and what they have."""
    if as_json:
        print_json([client._asdict() for client in found])
    elif not found:
        say("every client that was declared once is declared still")
    else:
        for client in found:
            say(f"client {client.id} would be removed: {_has(client)}")


def prune_undeclared(operator: Operator, *, yes: bool, as_json: bool) -> list[str]:
    """Remove these clients after a confirmation, and return their ids; one with open deliveries is left, and named."""
    found = operator.undeclared()
    for client in found:
        if client.open:
            say_warning(
                f"client {client.id} stays: {_has(client)}; `eventbridge pause {client.id} --drain` lets them finish"
            )
    gone = [client for client in found if not client.open]
    if not gone:
        if not as_json and not found:
            say("no client is to be removed: every one that was declared once is declared still")
        return []
    if not yes:
        them = "; ".join(f"{client.id} with {_has(client)}" for client in gone)
        confirm(f"remove {them}?", yes=yes, as_json=as_json)
    for client in gone:
        operator.remove(client.id, reason=REASON)
        if not as_json:
            say(f"client {client.id} is removed, its cursor stood at {client.offset}")
    return [client.id for client in gone]


def _has(client: DeclaredClient) -> str:
    return (
        f"its cursor at {client.offset}, {counted(client.open, 'open delivery', 'open deliveries')} "
        f"and {counted(client.parked, 'parked event')}"
    )
