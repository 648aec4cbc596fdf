"""A machine of a new user: the wheel in an environment of its own, a directory, and processes in terminals."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.request import urlopen

import psycopg

from bridge.demo.process import SETTINGS, Process, inherited
from bridge.demo.servers.server import free_port
from tests.support.following import Command, blocks, matches
from tests.support.stage import REPOSITORY
from tests.support.waiting import wait_until

INSTALL_SECONDS = 600
READY_SECONDS = 90.0
LOOKS = ("status", "parked", "explain", "show", "tail", "clients", "journal", "health")  # typed again until they fit
RUNS_ON = re.compile(r"^(celery .*\b(worker|beat|flower)\b|uvicorn ).*")
ANSWERS = "Application startup complete"  # what uvicorn says when it does


class Machine:
    """What a new user has: an empty directory, a fresh environment, a database, a broker, and a few terminals.

    Args:
        home: An empty directory.
        database: URL of an empty database.
        broker: URL of the broker.
    """

    def __init__(self, home: Path, database: str, broker: str) -> None:
        self.home, self.database, self.broker = home, database, broker
        self.flower_port, self.web_port = free_port(), free_port()
        self.places = {
            **{f"//localhost/{name}": database[database.index("//") :] for name in ("shop", "warehouse", "web")},
            **{f"redis://localhost:6379/{number}": broker for number in range(3)},
            "amqp://localhost//": broker,
            "localhost:8000": f"127.0.0.1:{self.web_port}",
        }
        self.terminals: dict[str, Process] = {}
        self.env: dict[str, str] = {
            **inherited((*SETTINGS, "COLUMNS")),  # what a pipe gets is as wide as it is
            "PATH": f"{home / 'env' / 'bin'}:/usr/bin:/bin",
            "PYTHONPATH": "",
            "FLOWER_ADDRESS": "127.0.0.1",
            "FLOWER_PORT": str(self.flower_port),
            "FLOWER_UNAUTHENTICATED_API": "true",
            "UVICORN_PORT": str(self.web_port),
        }

    def install(self, *packages: str) -> None:
        """Build the wheel from this repository, and install it into a fresh environment beside `packages`."""
        if ready := os.environ.get("BRIDGE_TEST_WALK_ENV"):  # while you write a page: an environment that has it all
            (self.home / "env").symlink_to(ready)
            return
        python = str(self.home / "env" / "bin" / "python")
        wheels = self.home / "wheels"
        quiet = ["--quiet", "--disable-pip-version-check", "--no-input"]
        for command in (
            [sys.executable, "-m", "venv", str(self.home / "env")],
            [python, "-m", "pip", "wheel", *quiet, "--no-deps", "--wheel-dir", str(wheels), str(REPOSITORY)],
        ):
            subprocess.run(command, check=True, timeout=INSTALL_SECONDS)
        [wheel] = wheels.glob("*.whl")
        subprocess.run(
            [python, "-m", "pip", "install", *quiet, str(wheel), *packages], check=True, timeout=INSTALL_SECONDS
        )

    def write(self, file: str, text: str) -> None:
        """Write a file of the user's project."""
        path = self.home / "project" / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(self.here(text), encoding="utf-8")

    def here(self, text: str) -> str:
        """Put the addresses of this machine in place of those that the pages show."""
        for shown, real in self.places.items():
            text = text.replace(shown, real)
        return text

    def sql(self, statements: str) -> list[tuple[Any, ...]]:
        """Run SQL as psql does; return the rows of the last statement."""
        with psycopg.connect(self.database, autocommit=True) as connection:
            cursor = connection.execute(statements)
            while cursor.nextset():
                pass
            return cursor.fetchall() if cursor.description else []

    def type(self, line: str, *, may_fail: bool = False) -> str:
        """Type a command that ends; return what it prints."""
        done = subprocess.run(
            ["bash", "-c", self.here(line)],
            cwd=self.home / "project",
            env=self.env,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=120,
            check=False,
        )
        assert may_fail or done.returncode == 0, f"{line}\n{done.stdout}"
        return done.stdout

    def run_on(self, line: str, env: Mapping[str, str] | None = None) -> None:
        """Type a command that goes on, in a terminal of its own; one like it is stopped first, as by Ctrl-C."""
        words = shlex.split(self.here(line), comments=True)
        words = [word for word in words if word != "&"]
        [name, *_] = re.findall(r"-n (\w+)|(flower|uvicorn)", line) or [("process", "")]
        label = "".join(name)
        if label in self.terminals:
            self.terminals.pop(label).stop(number=signal.SIGTERM)
        program = self.home / "env" / "bin" / words[0]
        self.terminals[label] = Process(
            label,
            [program, *words[1:]],
            log_path=self.home / f"{label}.log",
            directory=self.home / "project",
            environment={**self.env, **(env or {})},
        )

    def see(self, command: Command) -> None:
        """Type a command of a page, and see that it prints what the page says."""
        match shlex.split(command.line, comments=True):
            case ["export", assignment]:
                name, _, value = assignment.partition("=")
                self.env[name] = self.here(value)
            case ["pip" | "createdb", *_] | ["python", "-m", "venv", *_]:
                pass  # done before
            case _ if RUNS_ON.match(command.line):
                self.run_on(command.line)
                if command.line.startswith("uvicorn"):
                    self.wait_for_log("uvicorn", ANSWERS)
                if command.line.endswith(" flower"):
                    self.wait_for_flower()
            case [program, *words] if program in ("eventbridge", "python", "celery") and set(words) & set(LOOKS):
                printed: list[str] = []

                def fits() -> bool:
                    printed.append(self.type(command.line))
                    return matches(command.output, printed[-1])

                try:
                    wait_until(fits, timeout=READY_SECONDS, poll_seconds=0.5, what="it prints what the page says")
                except AssertionError as error:
                    raise AssertionError(f"{command.line}\n{printed[-1]}\nexpected:\n{command.output}") from error
            case _:
                shown = self.type(command.line)
                assert not command.output or matches(command.output, shown), f"{command.line}\n{shown}"

    def follow(self, page: str) -> None:
        """Do what a page says, from its top to its end."""
        for block in blocks(page):
            if not block.is_run:
                continue
            if block.file:
                self.write(block.file, block.text)
            elif block.kind == "sql":
                self.sql(block.text)
            elif block.kind == "console":
                for command in block.commands():
                    self.see(command)

    def in_flower(self, id: str) -> dict[str, Any]:
        """Return what Flower's API says of a task; empty where it knows none."""
        try:
            with urlopen(f"http://127.0.0.1:{self.flower_port}/api/task/info/{id}", timeout=30) as answer:
                found: dict[str, Any] = json.load(answer)
                return found
        except URLError:
            return {}

    def wait_for_flower(self) -> None:
        """Wait until Flower hears a worker: what happened before, it does not know."""

        def hears_a_worker() -> bool:
            try:
                with urlopen(f"http://127.0.0.1:{self.flower_port}/api/workers?status=1", timeout=30) as answer:
                    return any(json.load(answer).values())
            except URLError:
                return False

        wait_until(hears_a_worker, timeout=READY_SECONDS, poll_seconds=0.2, what="Flower hears a worker")

    def wait_for_log(self, terminal: str, text: str) -> None:
        """Wait until a process that runs on has printed this."""
        process = self.terminals[terminal]

        def has_printed() -> bool:
            process.check()
            return text in process.log

        wait_until(has_printed, timeout=READY_SECONDS, what=f"{terminal} prints {text!r}")


@contextmanager
def machine(home: Path, database: str, broker: str) -> Iterator[Machine]:
    """Return a machine whose processes are ended afterwards."""
    it = Machine(home, database, broker)
    (home / "project").mkdir()
    try:
        yield it
    except BaseException:
        for name, process in it.terminals.items():
            print(f"--- {name}\n{process.log[-4000:]}")
        raise
    finally:
        for process in it.terminals.values():
            process.kill()
