"""The command line: `eventbridge …`, `python -m bridge …`, or `celery -A proj bridge …` beside Celery's own commands.

A command reads its options, calls `bridge.Operator`, and shows the result. It decides nothing by itself.
"""

import click

from bridge import __version__
from bridge.command import (
    audit,
    demo,
    doctor,
    erase,
    explain,
    exporter,
    health,
    journal,
    migrate,
    parked,
    prune,
    publish,
    recall,
    register,
    replay,
    resync,
    scheduled,
    seek,
    show,
    state,
    status,
    tail,
)
from bridge.command.group import BridgeGroup
from bridge.command.logs import log_format

__all__ = ["bridge"]


@click.group(cls=BridgeGroup)
@log_format
@click.version_option(__version__, prog_name="celery-event-bridge")
def bridge() -> None:
    """Deliver the events of a Postgres table as Celery tasks.

    Each client is a named reader of the log: a task, a queue, topics, and a cursor that moves when its tasks succeed.
    """


bridge.add_section("Set up", migrate.migrate_command, register.register_command, register.clients_command)
bridge.add_section("Watch", status.status_command, explain.explain_command, tail.tail_command)
bridge.add_section("Watch", show.show_command)
bridge.add_section("Watch", parked.parked_command, journal.journal_command, audit.audit_command)
bridge.add_section("Watch", doctor.doctor_command, health.health_command)
bridge.add_section("Watch", exporter.exporter_command)
bridge.add_section("Act", publish.publish_command, state.pause_command, state.resume_command, state.remove_command)
bridge.add_section("Act", seek.seek_command, replay.replay_command, parked.redrive_command, parked.discard_command)
bridge.add_section("Act", recall.recall_command, resync.resync_command, scheduled.scheduled_command)
bridge.add_section("Keep", prune.prune_command, prune.release_command, prune.hold_command, erase.erase_command)
bridge.add_section("Try", demo.demo_command)
