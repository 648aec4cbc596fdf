"""On a terminal of 80 and of 120 columns no line is wider than that, and what goes on in a next line is indented."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import struct
import subprocess
import sys
import termios

import pytest
from rich.console import Console
from rich.text import Text

from bridge.command.output import laid_out
from tests.command.running import ROOT
from tests.support.world import World

COMMANDS = (
    "--help",
    "status",
    "clients",
    "explain billing --offline",
    "parked",
    "parked billing --offset 1",
    "show 1",
    "show 99",
    "show --key order-1",
    "journal",
    "audit billing",
    "tail",
    "scheduled",
    "pause billing --reason lunch",
    "redrive billing --offset 99",
    "prune --keep 1 --dry-run",
    "seek billing --to beginning --dry-run",
    "resync",
    "about locked",
    "about settings",
    "doctor --timeout 0.1",
)
PROGRAM = """
import sys
from bridge.__main__ import main
for words in sys.argv[1:]:
    print(f"$ {words}", flush=True)
    try:
        main(words.split(), prog_name="eventbridge")
    except SystemExit:
        sys.stdout.flush()
"""
STYLE = re.compile(r"\x1b\[[0-9;]*m")
LONG = "the warehouse has no such article, and nobody knows where the other eleven boxes have gone since Monday noon"


def on_a_terminal(url: str, width: int) -> dict[str, list[str]]:
    """Return the lines that each command prints on a terminal of so many columns; one process runs them all."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, width, 0, 0))
    env = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "LINES", "NO_COLOR")}
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, *COMMANDS],
        cwd=ROOT,
        env=env | {"BRIDGE_DATABASE_URL": url, "TERM": "xterm"},
        stdin=subprocess.DEVNULL,
        stdout=theirs,
        stderr=theirs,
    )
    os.close(theirs)
    printed = b""
    try:
        while piece := os.read(ours, 65536):
            printed += piece
    except OSError:  # EIO: the other side is closed
        pass
    finally:
        os.close(ours)
        process.wait(60)
    told = STYLE.sub("", printed.decode()).replace("\r\n", "\n").split("$ ")[1:]
    return {lines[0]: lines[1:] for lines in map(str.splitlines, told)}


@pytest.fixture
def busy(world: World, database: str) -> str:
    """A database with long names, long errors, a long payload and every kind of thing that is listed."""
    world.client("billing", max_attempts=1)
    world.client("a-client-with-a-very-long-name.production")
    offsets = world.publish("order-1", "order-2", None)
    world.fail(*[it for it in world.hand_over("billing") if it.offset == offsets[0]])
    world.eyes.execute("UPDATE fq.parked SET error = %s, traceback = %s", [LONG * 3, f"Traceback:\n  {LONG * 2}"])
    world.eyes.execute(
        "INSERT INTO fq.events (topic, payload) VALUES ('order.created', jsonb_build_object('a', %s::text))", [LONG]
    )
    world.eyes.execute(
        "INSERT INTO fq.scheduled (due_at, topic, key, id) SELECT now() + interval '1 day', 'order.reminder.second',"
        " 'customer-1234567890', 'reminder-of-order-1234567890-number-' || n FROM generate_series(1, 3) n"
    )
    return database


@pytest.mark.parametrize("width", [80, pytest.param(120, marks=pytest.mark.slow)])
def test_nothing_is_wider_than_the_terminal(busy: str, width: int) -> None:
    told = on_a_terminal(busy, width)
    assert [words for words in COMMANDS if not told.get(words)] == [], told
    assert {words: wide for words, lines in told.items() if (wide := [it for it in lines if len(it) > width])} == {}


def test_a_long_line_goes_on_below_its_own_beginning() -> None:
    out = Console(width=20, file=open(os.devnull, "w"))  # noqa: SIM115
    try:
        shown = laid_out(Text("a title\n  red: a b c d e f g h i j k l m\n    deep one two three four"), out).plain
    finally:
        out.file.close()
    assert shown == "a title\n  red: a b c d e\n    f g h i j k l m\n    deep one\n      two three four"
