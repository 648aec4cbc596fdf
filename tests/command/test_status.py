"""`status`: what it counts, and that it fits the terminal."""

from __future__ import annotations

import json
import os
import signal
from typing import Any

import psycopg
import pytest
from rich.console import Console

from bridge.command.status_view import status_view
from bridge.store.status import ClientStatus
from tests.command.running import Run, Start, done, parsed
from tests.doctor.clinic import locked
from tests.support.world import World


def a_row(**other: Any) -> ClientStatus:
    row: dict[str, Any] = {
        "client": "c", "bridge": "bridge", "state": "active", "state_reason": None, "state_by": None,
        "offset": 10, "dispatched": 12, "horizon": 12,
        "epoch": 1, "task": "shop.bill", "queue": "celery", "topics": ["#"], "ordering": "key",
        "window": 1000, "lag_events": 1, "lag_seconds": 1.0, "open": 2, "waiting": 0, "retrying": 0, "parked": 3,
        "delivered": 20, "succeeded": 9, "trouble": None,
    }  # fmt: skip
    return ClientStatus(**row | other)


def test_status_counts_what_is_behind_open_waiting_and_parked(run: Run, eyes: psycopg.Connection[Any]) -> None:
    run("register", "billing", "--task", "shop.bill", "--topics", "order.#")
    for topic in ("order.a", "other", "order.b", "order.c"):
        run("publish", topic)
    eyes.execute("""INSERT INTO fq.deliveries (client_id, "offset", epoch, due_at) VALUES ('billing', 1, 1, now())""")
    eyes.execute(
        """INSERT INTO fq.parked (client_id, "offset", epoch, attempt, attempts, reason, first_at)
           VALUES ('billing', 3, 1, 5, 5, 'exhausted', now())"""
    )
    [row] = parsed(run("status", "billing", "--json"))
    assert {
        "client",
        "bridge",
        "state",
        "offset",
        "dispatched",
        "horizon",
        "lag_events",
        "lag_seconds",
        "open",
        "waiting",
        "parked",
    } <= set(row)
    assert (row["client"], row["state"], row["lag_events"], row["open"], row["parked"]) == (
        "billing",
        "active",
        3,
        1,
        1,
    )
    assert row["lag_seconds"] > 0
    assert parsed(run("status", "--json"))[0]["client"] == "billing"
    table = done(run("status"))
    assert [word for line in table.splitlines() if line.startswith("billing") for word in line.split()][:3] == [
        "billing",
        "active",
        "3",
    ]
    assert "1 / 1,000" in table


def test_status_says_why_a_client_stands_still(run: Run, eyes: psycopg.Connection[Any]) -> None:
    run("register", "billing", "--task", "shop.bill")
    eyes.execute(
        "UPDATE fq.clients SET state = 'halted', state_by = 'bridge', state_reason = 'event 7', "
        "trouble = 'no [red]queue'"
    )
    said = done(run("status"))
    assert "billing is halted by bridge: event 7" in said
    assert "billing could not be served: no [red]queue" in said


@pytest.mark.parametrize("width", [140, 104, 60, 40])
def test_a_narrow_terminal_loses_columns_and_no_digits(width: int) -> None:
    out = Console(width=width, record=True, file=open(os.devnull, "w"))  # noqa: SIM115
    rows = [a_row(), a_row(client="a-client-with-a-very-long-name.production", lag_events=100_000, parked=123_456)]
    out.print(status_view(rows, width=width))
    out.file.close()
    text = out.export_text()
    assert all(len(line) <= width for line in text.splitlines())
    assert "100,000+" in text
    assert "123,456" in text
    assert ("dispatched" in text, "offset" in text, "open" in text) == (width > 60, width > 60, width > 40)


def test_a_watched_status_ends_quietly_at_ctrl_c(run: Run, start: Start) -> None:
    run("register", "billing", "--task", "shop.bill")
    process = start("status", "--watch", "0.1", "--json")
    assert process.stdout is not None
    seen = [json.loads(process.stdout.readline())[0]["client"] for _ in range(2)]
    process.send_signal(signal.SIGINT)
    rest = process.communicate(timeout=30)
    assert (seen, process.returncode, rest[1]) == (["billing", "billing"], 130, "")


def test_the_bridges_are_shown_where_there_are_several() -> None:
    def shown(*rows: ClientStatus) -> str:
        out = Console(width=100)
        with out.capture() as captured:
            out.print(status_view(rows, width=100))
        return captured.get()

    assert "bridge" not in shown(a_row(), a_row(client="d"))
    assert "bridge-b" in shown(a_row(), a_row(client="d", bridge="bridge-b"))


def test_who_locks_a_table_that_status_does_not_read_is_named(run: Run, world: World, database: str) -> None:
    world.client()
    with locked(database, "fq.aside"):
        found = run("status")
    assert found.exit_code == 0
    assert "warning: nobody can read fq.aside: the transaction of" in found.stderr and "(somebody)" in found.stderr
    assert run("status").stderr == ""
