"""`exporter`: it says where it listens, answers, and ends when it is told to."""

from __future__ import annotations

import re
import signal
from urllib.request import urlopen

from tests.command.running import Run, Start


def test_the_exporter_says_where_it_listens_answers_and_ends_when_it_is_told(start: Start) -> None:
    process = start("exporter", "--port", "0")
    assert process.stdout is not None
    [url] = re.findall(r"^metrics are at (http://127\.0\.0\.1:\d+/metrics)$", process.stdout.readline().strip())
    with urlopen(url, timeout=30) as answer:
        assert b"\nbridge_database_up 1.0\n" in answer.read()
    process.send_signal(signal.SIGTERM)
    assert process.wait(30) == 0


def test_what_stands_in_the_way_is_one_line(run: Run) -> None:
    done = run("exporter", "--address", "192.0.2.1")
    assert done.exit_code == 2
    assert done.stderr.startswith("error: metrics can't be served at 192.0.2.1 port 9810: ")
