"""Two trees are measured in turns, and compared row by row."""

from __future__ import annotations

import sys
from pathlib import Path
from textwrap import dedent

import pytest
from rich.console import Console

from benchmarks.compare import Comparison, Trees, show
from bridge.errors import BridgeError

# Stands for a tree's Python: it notes that it ran, and "measures" the tree's number times 1, 2, 3, …
FAKE = """\
    #!{python}
    import json, os, pathlib, sys
    tree = pathlib.Path.cwd()
    assert sys.argv[1:3] == ["-m", "benchmarks"] and "PYTHONPATH" not in os.environ, sys.argv
    with open(tree.parent / "order", "a") as order:
        order.write(tree.name + " ")
    runs = (tree.parent / "order").read_text().split().count(tree.name)
    if (tree / "broken").exists():
        sys.exit("out of order")
    rows = [{{"name": "rate", "unit": "/s", "ours": {number} * runs}}]
    rows += [{{"name": "only " + tree.name, "unit": "ms", "ours": 1}}]
    pathlib.Path(sys.argv[sys.argv.index("--json") + 1]).write_text(json.dumps({{"figures": [{{"rows": rows}}]}}))
"""


def tree(place: Path, name: str, number: float) -> Path:
    """Make a checkout whose benchmarks measure this number."""
    python = place / name / ".venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text(dedent(FAKE).format(python=sys.executable, number=number))
    python.chmod(0o755)
    return place / name


def test_trees_take_turns_and_the_ratio_is_that_of_each_round(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", "/somewhere")
    trees = Trees(tree(tmp_path, "new", 30), tree(tmp_path, "old", 20), tmp_path)
    trees.measure("pump", rounds=3)
    assert (tmp_path / "order").read_text().split() == ["new", "old", "old", "new", "new", "old"]
    rate, only_new, only_old = trees.compared()
    assert rate == Comparison(figure="pump", row="rate", unit="/s", new=[30, 60, 90], old=[20, 40, 60])
    assert rate.ratios == [1.5, 1.5, 1.5]
    assert (only_new.ratios, only_old.ratios) == ([], []), "a row that one tree lacks has no ratio"


def test_the_table_shows_the_median_and_the_range_of_the_ratios(capsys: pytest.CaptureFixture[str]) -> None:
    row = Comparison(figure="pump", row="rate", unit="/s", new=[90, 100, 120], old=[100, 100, 100])
    show(Console(width=160), [row, Comparison(figure="pump", row="gone", unit="ms", new=[], old=[5])])
    lines = [" ".join(line.replace("│", " ").split()) for line in capsys.readouterr().out.splitlines()]
    assert "pump rate 100/s 100/s 1.000 0.900 to 1.200" in lines
    assert "pump gone not measured 5.00 ms" in lines


def test_a_run_that_fails_is_named_with_what_it_printed(tmp_path: Path) -> None:
    trees = Trees(tree(tmp_path, "new", 30), tree(tmp_path, "old", 20), tmp_path)
    (tmp_path / "old" / "broken").touch()
    with pytest.raises(BridgeError, match=r"(?s)the pump in .*/old has ended with exit code 1.*out of order"):
        trees.measure("pump", rounds=1)
