"""What is followed goes on when Postgres is back: a line when it goes, a line when it is back, and nothing left out."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest
from psycopg import sql

from tests.command.running import Start
from tests.conftest import Connect
from tests.support.world import World

SECONDS = 30.0
GONE, BACK = "warning: nothing new is seen: ", "warning: what is new is seen again, after "


@contextmanager
def away(admin: psycopg.Connection[Any], world: World) -> Iterator[None]:
    """End all sessions of the database, and let nobody in."""
    name = world.eyes.info.dbname
    let_in = sql.SQL("ALTER DATABASE {} ALLOW_CONNECTIONS {}")
    admin.execute(let_in.format(sql.Identifier(name), sql.SQL("false")))
    admin.execute("SELECT pg_terminate_backend(pid, 60000) FROM pg_stat_activity WHERE datname = %s", [name])
    try:
        yield
    finally:
        admin.execute(let_in.format(sql.Identifier(name), sql.SQL("true")))


def handle_one(world: World) -> None:
    world.publish("a")
    world.fail(*world.hand_over())


CASES: dict[str, tuple[list[str], Callable[[World], object]]] = {
    "tail": (["tail", "--follow", "--json"], handle_one),
    "tail from a place": (["tail", "--follow", "--from", "beginning", "--json"], handle_one),
    "parked": (["parked", "c", "--follow", "--json"], handle_one),
    "journal": (["journal", "c", "--follow", "--json"], lambda world: world.client(max_attempts=1, window=77)),
    "status": (["status", "--watch", "0.1", "--json"], handle_one),
}


OFTEN = ("tail", "status")
TRIED = [pytest.param(name, marks=[] if name in OFTEN else [pytest.mark.slow]) for name in CASES]


@pytest.mark.parametrize("name", TRIED)
def test_g10_what_is_followed_goes_on_after_postgres_was_away(
    world: World, start: Start, connect: Connect, postgres_url: str, database: str, *, name: str
) -> None:
    command, something = CASES[name]
    world.client(max_attempts=1)
    handle_one(world)
    process = start(*command)
    assert process.stdout is not None and process.stderr is not None
    first = json.loads(process.stdout.readline())
    with away(connect(postgres_url), world):
        said = process.stderr.readline()
        assert said.startswith(GONE) and "Postgres is not available" in said
    assert process.stderr.readline().startswith(BACK)
    world.eyes = connect(database)
    world.store.close()  # its sessions were ended too
    something(world)
    while (second := json.loads(process.stdout.readline())) == first:
        pass
    process.send_signal(signal.SIGINT)
    rest = process.communicate(timeout=SECONDS)
    assert (process.returncode, rest[1]) == (130, "")
    if name.startswith(("tail", "parked")):
        assert (first["offset"], second["offset"]) == (1, 2)


def test_what_can_t_be_seen_even_once_is_an_error_at_once(
    world: World, start: Start, connect: Connect, postgres_url: str
) -> None:
    with away(connect(postgres_url), world):
        process = start("tail", "--follow")
        out, err = process.communicate(timeout=SECONDS)
    assert (process.returncode, out) == (1, "")
    assert err.startswith("error: Postgres is not available") and len(err.splitlines()) == 1
