"""Show one event as it stands at one client: what it holds, why its attempts failed, what was done to it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import fields
from typing import Any, Protocol

import click
from rich.text import Text

from bridge.bounds import KEPT_FAILURES
from bridge.command.group import not_there
from bridge.command.output import console, laid_out, print_json
from bridge.command.texts import SHOWN_CHARACTERS, plain
from bridge.store.failures import FailedAttempt
from bridge.store.fate import EventFate
from bridge.wording import counted, moment

HOW_TO_LEARN_WHY = (
    "To learn it, do one of these: start the fleet's workers with -E, or set bridge_enable_events = True for the "
    "bridge worker; set result_backend of the bridge's app to the fleet's; or install the bridge in the fleet's app"
)
MOST_ATTEMPTS = 20  # that are shown
STATES = {
    "parked": "it is parked",
    "redriven": "it is parked, and goes out again",
    "open": "it is open: handed over, and not finished yet",
    "waiting": "it waits for an earlier event of its key",
    "ahead": "it was not handed over yet",
    "finished": "it is finished",
    "discarded": "it was discarded",
    "unwanted": "its topic is none of the client's",
}


class Failed(Protocol):
    """What is known of a failure."""

    @property
    def error_type(self) -> str | None:
        """Name of the exception."""

    @property
    def error(self) -> str | None:
        """Its message."""

    @property
    def host(self) -> str | None:
        """The worker."""

    @property
    def runtime_seconds(self) -> float | None:
        """How long it ran."""


def said_error(failed: Failed) -> str:
    """Say in a line how an attempt failed, as far as it is known; where nothing is, an empty text."""
    kind, message = plain(failed.error_type or ""), plain(failed.error or "")
    named = kind and message.startswith(f"{kind}(")  # some say their own type: `TimeLimitExceeded(3,)`
    error = message if named else ": ".join(filter(None, (kind, message)))
    ran = f"after {failed.runtime_seconds:,.3g} s" if failed.runtime_seconds is not None else ""
    where = f"on {plain(failed.host)}" if failed.host else ""
    circumstances = " ".join(filter(None, (where, ran)))
    return f"{error} ({circumstances})" if error and circumstances else error or circumstances


def show_fate(
    ctx: click.Context, fate: EventFate | None, *, client: str, offset: int, traceback: bool, as_json: bool
) -> None:
    """Print what has become of an event; as JSON it is a list of one, or of none."""
    if as_json:
        print_json([_fate_json(fate)] if fate else [])
    if fate is None:
        message = f"there is no event {offset} in the log, and none is parked for client {client}"
        not_there(ctx, message, as_json=as_json)
    elif not as_json:
        out = console(ctx)
        out.print(laid_out(Text("\n").join(_lines(fate, traceback=traceback)), out))


def _fate_json(fate: EventFate) -> dict[str, Any]:
    """Return its fields; payload and headers as values, and as texts where Python can't read them."""
    shown = {field.name: getattr(fate, field.name) for field in fields(fate)}
    for name in ("payload", "headers"):
        shown[name] = _value(shown.pop(f"{name}_json"))
    return shown


def _value(text: str | None) -> Any:
    try:
        return None if text is None else json.loads(text)
    except (ValueError, RecursionError):  # an integer of a million digits, say
        return text


def _lines(fate: EventFate, *, traceback: bool) -> Iterator[Text]:
    title = Text.assemble((plain(fate.client_id), "bold"), f"  event {fate.offset}  ")
    title.append(plain(fate.topic) if fate.topic else "not in the log any more, it can't be redriven", style="cyan")
    if fate.key is not None:
        title.append(f"  key={plain(fate.key)}" + (", which it holds" if fate.held else ""))
    yield title
    yield Text(f"  {STATES[fate.state]}" + (f": {plain(fate.reason)}" if fate.reason else ""), style="bold")
    if fate.created_at is not None:
        yield Text(f"  published {moment(fate.created_at)}", style="dim")
    for name, text in (("payload", fate.payload_json), ("headers", fate.headers_json)):
        if text is not None:
            yield Text(f"  {name}  {plain(text)}" + ("…" if len(text) == SHOWN_CHARACTERS else ""))
    yield from _attempts(fate, traceback=traceback)
    for deed in fate.history:
        about = "" if deed.named else ", with more than a thousand others, perhaps this one"
        why = f": {plain(deed.reason)}" if deed.reason else ""
        yield Text(f"  {moment(deed.at)}  {deed.action} by {plain(deed.by)}{why}{about}", style="green")
    if fate.attempts and not any(failed.error_type for failed in fate.failures) and fate.failures:
        yield Text(f"  Why it failed is not known. {HOW_TO_LEARN_WHY}")


def _attempts(fate: EventFate, *, traceback: bool) -> Iterator[Text]:
    """Show each attempt: the failed ones with their reasons, and those that no failure is known of."""
    failures = {failed.attempt: failed for failed in fate.failures}
    first = max((fate.attempts or 0) - MOST_ATTEMPTS + 1, min(failures) if len(failures) >= KEPT_FAILURES else 1)
    if first > 1:
        yield Text(f"  {counted(first - 1, 'attempt')} before, of which nothing is kept", style="dim")
    for number in range(first, (fate.attempts or 0) + 1):
        failed = failures.get(number)
        if failed is None:
            last = number == fate.attempts and fate.state == "open"
            yield Text(f"  attempt {number}  " + ("is out" if last else "no outcome came"), style="dim")
            continue
        told = f"{said_error(failed)}{_told_by(failed)}"
        yield Text(f"  attempt {number}  failed {moment(failed.at)}  {told}".rstrip(), style="red")
        if failed.traceback and (traceback or failed is fate.failures[-1]):
            for line in failed.traceback.splitlines():
                yield Text(f"    {plain(line)}", style="dim")


def _told_by(failed: FailedAttempt) -> str:
    """Say that nobody has signed what is told; what else tells is the fleet itself, or its result backend."""
    return ", as its task-failed event says" if failed.told_by == "event" else ""
