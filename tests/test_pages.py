"""The how-to pages: their blocks run, in order, beside a real Postgres and a real Redis."""

from __future__ import annotations

import shlex
from typing import Any

import psycopg
import pytest

from tests.command.running import Run, runner
from tests.support.following import DOCS, Block, blocks
from tests.support.world import World

PAGES = [
    "dead-letters.md",
    "deploy.md",
    "exactly-once.md",
    "redis.md",
    "replay.md",
    "sizing.md",
    "troubleshooting.md",
    "upgrade.md",
]
MOST_NOT_RUN = 3
# What a command may answer on a log with three events, of which the second is parked, and without a worker.
REFUSED = {"doctor", "health"}


@pytest.fixture
def shop(world: World) -> World:
    """Return a log with three events, of which the second is parked."""
    world.client("billing", task="shop.bill", ordering="none", max_attempts=1)
    world.publish("order-16", "order-17", "order-18")
    first, second, third = world.hand_over("billing")
    world.succeed(first, third)
    world.fail(second)
    world.eyes.execute("CREATE TABLE transfers (number int)")
    return world


def run_command(line: str, run: Run) -> None:
    program, name, *words = shlex.split(line, comments=True)
    assert program == "eventbridge", f"nothing here knows how to run {line!r}"
    done = run(name, *words)
    assert done.exit_code == 0 or (done.exit_code == 1 and name in REFUSED), f"{line}\n{done.output}"


def run_block(block: Block, names: dict[str, object], eyes: psycopg.Connection[Any], run: Run) -> None:
    match block.kind:
        case "python":
            exec(compile(block.text, "a page", "exec"), names)
        case "sql":
            eyes.execute(block.text.encode())
        case "console":
            for command in block.commands():
                run_command(command.line, run)


@pytest.mark.parametrize("page", PAGES)
def test_the_blocks_of_a_page_run(page: str, shop: World, database: str) -> None:
    names: dict[str, object] = {}
    for block in blocks(page):
        if block.is_run:
            run_block(block, names, shop.eyes, runner(database))
    if page == "exactly-once.md":
        assert {"transfer", "transfer_elsewhere", "idempotency_key"} < names.keys()


def test_few_blocks_are_not_run_and_each_says_why() -> None:
    left_out = [page.name for page in DOCS.glob("*.md") for block in blocks(page) if not block.is_run]
    assert len(left_out) <= MOST_NOT_RUN, left_out
