"""The benchmarks run, and their output can be read. No test asserts a time."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from benchmarks.figures import FIGURES
from benchmarks.measure import interleaved, percentile, ratio
from benchmarks.result import Figure, Row, Target

REPOSITORY = Path(__file__).parents[2]


def run(*args: str) -> subprocess.CompletedProcess[str]:
    """Run `python -m benchmarks` in a process of its own, as `make bench` does."""
    env = {**os.environ, "BRIDGE_PASS_LIMIT": "not a number", "PYTHONWARNINGS": "default", "COLUMNS": "200"}
    command = [sys.executable, "-m", "benchmarks", *args]
    return subprocess.run(command, cwd=REPOSITORY, env=env, capture_output=True, text=True, timeout=240, check=False)


@pytest.fixture(scope="module")
def smoke(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, dict[str, Any]]:
    """Return what two cheap figures print and write; with a table beside the JSON."""
    path = tmp_path_factory.mktemp("benchmarks") / "found" / "report.json"
    table = path.with_name("table.md")
    done = run("publishing", "scale", "--size", "tiny", "--json", str(path), "--table", str(table))
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout, json.loads(path.read_text()) | {"table": table.read_text()}


@pytest.mark.slow
def test_a_run_writes_every_figure_with_its_machine_its_versions_and_its_raw_numbers(
    smoke: tuple[str, dict[str, Any]],
) -> None:
    _, report = smoke
    assert [figure["name"] for figure in report["figures"]] == ["publishing", "scale"]
    assert report["failed"] == {}
    assert report["machine"]["cores"] >= 1
    assert {"python", "postgres", "redis-server", "celery", "kombu"} <= set(report["versions"])
    assert report["postgres_settings"]["synchronous_commit"] == "on"
    assert all(figure["raw"] and figure["setup"] for figure in report["figures"])


def test_every_row_has_our_figure_and_what_it_is_compared_with(smoke: tuple[str, dict[str, Any]]) -> None:
    _, report = smoke
    rows = [row for figure in report["figures"] for row in figure["rows"]]
    assert len(rows) >= 6
    for row in rows:
        assert row["ours"] > 0
        assert row["other"] > 0
        assert row["ratio"] > 0
        assert row["beside"]
    assert sum(bool(row["targets"]) for row in rows) == 6
    assert all((row["met"] is None) == (not row["targets"]) for row in rows)


def test_the_table_says_how_postgres_ran_and_what_the_targets_are(smoke: tuple[str, dict[str, Any]]) -> None:
    printed, _ = smoke
    assert "synchronous_commit on, fsync off" in printed
    assert "≥ 50x" in printed
    assert "≤ 1.1x" in printed


def test_the_table_in_markdown_has_a_line_for_each_row(smoke: tuple[str, dict[str, Any]]) -> None:
    _, report = smoke
    rows = [row["name"] for figure in report["figures"] for row in figure["rows"]]
    told = [line.split(" | ")[0].removeprefix("| ") for line in report["table"].splitlines() if line.startswith("| ")]
    assert told == ["figure", "---", *rows]


def test_an_unknown_figure_is_refused_before_anything_starts() -> None:
    done = run("pumpp")
    assert done.returncode == 2
    assert "there is no figure 'pumpp'" in done.stderr
    assert "end-to-end" in done.stderr


def test_contenders_take_turns_and_every_second_round_runs_backwards() -> None:
    order: list[str] = []

    def take_turn(name: str) -> float:
        order.append(name)
        return len(order)

    contenders = {name: partial(take_turn, name) for name in "ab"}
    assert interleaved(contenders, rounds=3) == {"a": [1, 4, 5], "b": [2, 3, 6]}
    assert order == ["a", "b", "b", "a", "a", "b"]


def test_a_ratio_is_the_median_of_the_rounds_and_not_the_ratio_of_the_medians() -> None:
    assert ratio([10, 100, 30], [1, 20, 2]) == 10
    assert percentile([4, 1, 3, 2], 0.5) == 3
    assert percentile([1], 0.99) == 1


def test_a_row_is_met_only_when_all_of_its_targets_are() -> None:
    targets = (Target(least=40), Target(least=30_000, of="ours"))
    made = Row(name="x", unit="/s", targets=targets, ours=40_000, ratio=41)
    assert made.met is True
    assert replace(made, ours=20_000).met is False
    assert replace(made, ratio=39).met is False
    assert replace(made, targets=()).met is None
    assert json.loads(json.dumps(Figure(name="f", rows=[made]).as_json()))["rows"][0]["met"] is True


def test_every_figure_of_the_list_is_documented() -> None:
    for name, measure in FIGURES.items():
        assert sys.modules[measure.__module__].__doc__, name
