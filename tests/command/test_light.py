"""Help, completion and looking start fast: they import nothing that they do not need. No time is measured."""

from __future__ import annotations

import subprocess
import sys

import pytest

from bridge.command import LISTED, bridge
from tests.command.running import ROOT

# What takes long, and what of ours brings it along.
WORKERS = (
    "celery.worker.consumer",
    "celery.bin",
    "celery.apps",
    "bridge.installing",
    "bridge.sender",
    "bridge.pump.loop",
)
BROKERS = ("redis", "opentelemetry.sdk", "bridge.operate.doctor")
SERVERS = ("sqlalchemy", "psycopg", "celery.app.base", "bridge.operate.operator", "bridge.store")
SHOWN = ("rich",)
NEVER = ("alembic", "prometheus_client", "fsspec")
HEAVY = {
    "--help": (*WORKERS, *BROKERS, *SERVERS, *SHOWN, *NEVER),
    "status --help": (*WORKERS, *BROKERS, *SERVERS, *NEVER),
    "status": (*WORKERS, *BROKERS, *NEVER),
    "status --json": (*WORKERS, *BROKERS, *NEVER),
    "clients": (*WORKERS, *BROKERS, *NEVER),
    "tail": (*WORKERS, *BROKERS, *NEVER),
    "explain c --offline": (*WORKERS, "alembic"),
    "publish a": (*WORKERS, *BROKERS, *NEVER),
}
PROGRAM = """
import sys
from bridge.__main__ import main
try:
    main({words!r}.split(), prog_name="eventbridge")
finally:
    print("".join(f"\\nloaded {{name}}" for name in sys.modules))
"""


def loaded(code: str, url: str = "", **env: str) -> set[str]:
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env={"BRIDGE_DATABASE_URL": url, "PATH": "/usr/bin:/bin", **env},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    found = {line.split()[1] for line in done.stdout.splitlines() if line.startswith("loaded ")}
    assert found, done.stderr
    return found


@pytest.mark.parametrize("words", HEAVY)
def test_a_command_imports_nothing_heavy_that_it_does_not_need(untouched: str, words: str) -> None:
    assert sorted(loaded(PROGRAM.format(words=words), untouched) & set(HEAVY[words])) == []


def test_completing_a_command_imports_nothing_heavy() -> None:
    typed = {"_EVENTBRIDGE_COMPLETE": "bash_complete", "COMP_WORDS": "eventbridge st", "COMP_CWORD": "1"}
    assert sorted(loaded(PROGRAM.format(words=""), **typed) & set(HEAVY["--help"])) == []


def test_to_import_the_package_is_light_and_its_names_come_when_they_are_used() -> None:
    code = """
import sys, bridge
before = set(sys.modules)
assert bridge.signals.parked and bridge.errors.BridgeError is bridge.BridgeError
from bridge.installing import EARLY_SECONDS
assert callable(bridge.install) and bridge.install.__name__ == "install"
for name in bridge.__all__:
    assert getattr(bridge, name) is not None and name in dir(bridge)
try:
    bridge.nonsense
except AttributeError as error:
    assert "no attribute 'nonsense'" in str(error)
print("".join(f"\\nloaded {name}" for name in before))
"""
    assert sorted(loaded(code) & {"celery", "kombu", *HEAVY["--help"]}) == []


def test_what_is_listed_of_a_command_is_what_it_says_itself() -> None:
    for it in (it for commands in LISTED.values() for it in commands):
        command = bridge.commands[it.name]
        assert (command.name, command.get_short_help_str(200)) == (it.name, it.about)
