"""The command line: `eventbridge …`, `python -m bridge …`, or `celery -A proj bridge …` beside Celery's own commands.

A command reads its options, calls `bridge.Operator`, and shows the result. It decides nothing by itself. Its module is
imported when it runs: to list all commands takes no more than this one.
"""

import click

from bridge import __version__
from bridge.command.group import BridgeGroup
from bridge.command.listed import Listed
from bridge.command.logs import log_format

__all__ = ["bridge"]


@click.group(cls=BridgeGroup)
@log_format
@click.version_option(__version__, prog_name="celery-event-bridge")
def bridge() -> None:
    """Deliver the events of a Postgres table as Celery tasks.

    Each client is a named reader of the log: a task, a queue, topics, and a cursor that moves when its tasks succeed.
    """


LISTED = {
    "Set up": (
        Listed("migrate", "migrate", "Create or upgrade the schema fq in the database."),
        Listed("register", "register", "Register a client, or change its settings."),
        Listed("clients", "register", "List the clients and their settings."),
    ),
    "Watch": (
        Listed("status", "status", "Show where every client stands, or only CLIENT."),
        Listed("explain", "explain", "Say why CLIENT stands where it stands, and what to do about it."),
        Listed("tail", "tail", "Show events of the log, oldest first."),
        Listed("show", "show", "Show what became of an event, or of a key, at every client."),
        Listed("parked", "parked", "List parked events, the last one first."),
        Listed("journal", "journal", "Show who did what to which client, the newest first."),
        Listed("audit", "audit", "Prove that every event is accounted for."),
        Listed("doctor", "doctor", "Check everything that the bridge rests on."),
        Listed("health", "health", "Say whether the bridge works now, for probes."),
        Listed("exporter", "exporter", "Export metrics to Prometheus or OpenTelemetry."),
        Listed("about", "about", "Say what a word of doctor or explain means."),
    ),
    "Act": (
        Listed("publish", "publish", "Append an event to the log, now or later."),
        Listed("pause", "state", "Stop handing events to CLIENT."),
        Listed("resume", "state", "Go on handing events to CLIENT, where it was paused or halted."),
        Listed("remove", "state", "Remove CLIENT with its cursor and its parked events."),
        Listed("seek", "seek", "Move the cursor of CLIENT, forward or back."),
        Listed("replay", "replay", "Hand old events to CLIENT again."),
        Listed("redrive", "parked", "Hand parked events to CLIENT again."),
        Listed("discard", "parked", "Give events of CLIENT up for good."),
        Listed("recall", "recall", "Hand open events to CLIENT again, whose messages are lost."),
        Listed("resync", "resync", "After a restore: say what was lost, and go on."),
        Listed("scheduled", "scheduled", "Show the events that are scheduled for later, or cancel some."),
    ),
    "Keep": (
        Listed("prune", "prune", "Remove old events that nobody needs any more."),
        Listed("release", "prune", "Let CLIENT, which nobody serves, stop holding the log."),
        Listed("hold", "prune", "Keep events from being pruned for a while."),
        Listed("erase", "erase", "Erase what the events of a key hold."),
    ),
    "Try": (Listed("demo", "demo", "Show the whole loop on a month of real departures."),),
}
for _title, _commands in LISTED.items():
    bridge.list_section(_title, *_commands)
