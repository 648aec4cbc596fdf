"""Run commands, in this process or in one of their own, and read what they printed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from celery import Celery
from celery.bin.base import CLIContext
from click.testing import CliRunner, Result

from bridge.command import bridge
from tests.support.world import World

ROOT = Path(__file__).parents[2]

Run = Callable[..., Result]
Start = Callable[..., subprocess.Popen[str]]


def bill(event: dict[str, Any]) -> None: ...


def celery_app(url: str) -> Celery:
    """Make an app with a task of its own, on this database."""
    app = Celery("shop", set_as_current=False)
    app.conf.update(bridge_database_url=url, broker_url="memory://")
    app.task(name="shop.bill", shared=False)(bill)
    return app


def runner(url: str) -> Run:
    """Run commands in this process, as `celery -A shop bridge …` does."""
    app = celery_app(url)

    def run(*args: str, input: str | bytes | None = None) -> Result:
        return CliRunner().invoke(bridge, args, input=input, obj=CLIContext(app=app, no_color=False, workdir=None))

    return run


def shell(*args: str, url: str = "", directory: Path = ROOT, input: str = "") -> subprocess.CompletedProcess[str]:
    """Run `python -m …` in a process of its own."""
    return called(sys.executable, "-m", *args, url=url, directory=directory, input=input)


def called(*words: str, url: str = "", directory: Path = ROOT, input: str = "") -> subprocess.CompletedProcess[str]:
    """Run a command line in a process of its own."""
    return subprocess.run(
        words,
        cwd=directory,
        env=os.environ | {"BRIDGE_DATABASE_URL": url, "PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path])},
        input=input,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def done(result: Result) -> str:
    """Return what a command printed that succeeded without a word on stderr."""
    assert (result.exit_code, result.stderr) == (0, ""), result.output
    return result.stdout


def refused(result: Result) -> str:
    """Return the one line of a command that failed."""
    assert result.exit_code != 0, result.output
    assert result.stdout == ""
    assert len(result.stderr.splitlines()) == 1, result.stderr
    assert result.stderr.startswith("error: ")
    return result.stderr


def parsed(result: Result) -> Any:
    """Return the JSON that a command printed."""
    return json.loads(done(result))


def lines(result: Result) -> list[Any]:
    """Return the JSON that a command printed, line by line."""
    return [json.loads(line) for line in done(result).splitlines()]


def actions(world: World) -> list[tuple[str, str]]:
    """Return what the journal holds: action and by."""
    return world.eyes.execute(
        "SELECT action, by FROM fq.journal WHERE action NOT IN ('register', 'change') ORDER BY id"
    ).fetchall()
