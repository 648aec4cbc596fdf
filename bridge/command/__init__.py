"""The command line: `celery -A proj bridge …`, and `python -m bridge …` for who has no Celery project at hand.

A thin face: every command reads its options, calls a function that can be called without it, and shows the result.
"""

import click

from bridge import __version__
from bridge.command import demo, explain, journal, migrate, parked, publish, register, replay, seek, state, status, tail
from bridge.command.group import BridgeGroup

__all__ = ["bridge"]


@click.group(cls=BridgeGroup)
@click.version_option(__version__, prog_name="celery-event-bridge")
def bridge() -> None:
    """Deliver the events of a Postgres table as Celery tasks.

    Each client is a named reader of the log: a task, a queue, topics, and a cursor that moves when its tasks succeed.
    """


bridge.add_section("Set up", migrate.migrate, register.register, register.clients)
bridge.add_section("Watch", status.status, explain.explain, tail.tail, parked.parked, journal.journal)
bridge.add_section("Act", publish.publish, state.pause, state.resume, state.remove)
bridge.add_section("Act", seek.seek, replay.replay, parked.redrive, parked.discard)
bridge.add_section("Try", demo.demo)
