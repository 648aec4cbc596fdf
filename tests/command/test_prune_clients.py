"""`register --prune`: what the code declared once and does not now is removed, after it was shown and confirmed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import psycopg
import pytest

import bridge
from tests.command.running import Run, celery_app, done, parsed, runner
from tests.conftest import Connect


@pytest.fixture
def deploy(database: str, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Run]:
    """Return a command line of an app whose code declares these clients, and no others."""

    def deploy(*ids: str) -> Run:
        monkeypatch.setattr("bridge.declare._declared", {})
        app = celery_app(database)
        for id in ids:
            bridge.client(id)(app.tasks["shop.bill"])
        return runner(database) if not ids else _with(app)

    return deploy


def _with(app: Any) -> Run:
    from celery.bin.base import CLIContext
    from click.testing import CliRunner

    from bridge.command import bridge as commands

    def run(*args: str, input: str | bytes | None = None) -> Any:
        context = CLIContext(app=app, no_color=False, workdir=None)
        return CliRunner().invoke(commands, args, input=input, obj=context)

    return run


def ids(eyes: psycopg.Connection[Any]) -> list[str]:
    return [id for (id,) in eyes.execute("SELECT id FROM fq.clients ORDER BY id")]


def test_prune_shows_asks_and_removes_and_leaves_what_people_registered(
    deploy: Callable[..., Run], connect: Connect
) -> None:
    eyes = connect()
    run = deploy("a", "b", "c")
    done(run("register"))
    done(run("register", "by-hand", "--task", "shop.bill"))
    eyes.execute("INSERT INTO fq.clients (id, task) VALUES ('by-sql', 'shop.bill')")
    run = deploy("a")
    assert done(run("register", "--prune", "--dry-run")).splitlines() == [
        f"client {id} would be removed: its cursor at -1, 0 open deliveries and 0 parked events" for id in "bc"
    ]
    assert [it["id"] for it in parsed(run("register", "--prune", "--dry-run", "--json"))] == ["b", "c"]
    asked = run("register", "--prune", input="n\n")
    assert (asked.exit_code, "remove b with its cursor at -1" in asked.stderr) == (1, True)
    assert ids(eyes) == ["a", "b", "by-hand", "by-sql", "c"]
    assert "b is not declared any more by the code of app shop: `bridge register --prune` removes it" in done(
        run("status")
    )
    assert run("register", "--prune", "--json").exit_code == 2, "--json asks nobody"
    eyes.execute("INSERT INTO fq.deliveries (client_id, \"offset\", epoch, due_at) VALUES ('c', 1, 1, now())")
    pruned = run("register", "--prune", "--yes")
    assert pruned.exit_code == 0
    assert "client b is removed" in pruned.stdout
    assert "client c stays: its cursor at -1, 1 open delivery and" in pruned.stderr
    assert ids(eyes) == ["a", "by-hand", "by-sql", "c"]
    noted = eyes.execute("SELECT details ->> 'reason' FROM fq.journal WHERE action = 'remove'").fetchall()
    assert noted == [("the code declares it no more",)]
    eyes.execute("DELETE FROM fq.deliveries")
    assert parsed(run("register", "--prune", "--yes", "--json"))["removed"] == ["c"]
    assert "every one that was declared once is declared still" in done(run("register", "--prune"))


def test_prune_is_about_all_clients(run: Run) -> None:
    assert run("register", "c", "--prune").exit_code == 2
    assert run("register", "--dry-run").exit_code == 2
    assert "every client that was declared once is declared still" in done(run("register", "--prune", "--dry-run"))
