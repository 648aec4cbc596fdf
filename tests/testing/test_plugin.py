"""The pytest plugin in somebody else's test run, which is the one that docs/testing.md shows."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path

from tests.support.documented import write_blocks


def run(directory: Path, *arguments: str, **env: str) -> str:
    command = [sys.executable, *arguments]
    done = subprocess.run(
        command, cwd=directory, env={**os.environ, **env}, capture_output=True, text=True, timeout=120, check=False
    )
    said = done.stdout + done.stderr
    assert done.returncode == 0, said
    return said


def test_the_tests_of_the_page_on_testing_run_on_a_database_without_a_schema(
    tmp_path: Path, empty_database: str
) -> None:
    files = write_blocks("testing.md", tmp_path)
    assert files == ["conftest.py", "shop.py", "test_orders.py", "test_async.py"]
    (tmp_path / "pytest.ini").write_text("[pytest]\nfilterwarnings = error\n")
    assert "5 passed" in run(tmp_path, "-m", "pytest", "-q", TEST_DATABASE_URL=empty_database)


def test_installing_the_package_adds_nothing_to_anybodys_test_run() -> None:
    ours = [entry.name for entry in entry_points(group="pytest11") if entry.value.startswith("bridge")]
    assert ours == []
    unasked = "('bridge.testing', 'bridge.contrib', 'django.db', 'django.conf', 'pytest')"
    loaded = f"import sys, bridge; sys.exit(any(name.startswith({unasked}) for name in sys.modules))"
    assert subprocess.run([sys.executable, "-c", loaded], check=False).returncode == 0
