"""Older Celery versions, each in a virtual environment of its own: built once, then kept in pytest's cache.

There is no bridge in them and no driver for Postgres: to a worker in one, the bridge is a program that sends tasks.
`overlaid` gives the bridge itself an older Celery: it puts such an environment in front of the one that the tests run
in.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.servers import missing

BUILD_SECONDS = 240
OLDEST = "5.4.0"  # the oldest that the bridge itself runs on; fleets may be older

# Unpinned, pip pairs an old Celery with a kombu that its time did not know.
REQUIREMENTS = {
    "5.2.7": ("celery==5.2.7", "kombu==5.2.4", "redis==4.6.0", "vine<6", "click<9"),
    OLDEST: ("celery==5.4.0", "kombu==5.4.2", "redis==5.0.8", "vine<6", "click<9"),
}


def old_python(version: str, config: pytest.Config) -> Path:
    """Return a Python that has this version of Celery."""
    requirements = REQUIREMENTS[version]
    fingerprint = hashlib.sha256(repr((requirements, sys.version_info[:3], sys.base_prefix)).encode()).hexdigest()[:12]
    home = _cache(config) / f"celery-{version}-{fingerprint}"
    with _alone(home):
        if not home.exists():
            _build(home, requirements)
    return home / "bin" / "python"


def overlaid(python: Path) -> dict[str, str]:
    """Return the environment in which this process's Python has that one's Celery, kombu and redis-py, not its own."""
    home = python.parent.parent
    packages = sysconfig.get_path("purelib", vars={"base": str(home), "platbase": str(home)})
    return {**os.environ, "PYTHONPATH": os.pathsep.join([packages, *filter(None, [os.environ.get("PYTHONPATH")])])}


def _cache(config: pytest.Config) -> Path:
    cache: pytest.Cache | None = getattr(config, "cache", None)  # not with `-p no:cacheprovider`
    if cache is not None:
        return cache.mkdir("old-fleets")
    return Path(tempfile.gettempdir()) / f"bridge-old-fleets-{os.getuid()}"


@contextmanager
def _alone(home: Path) -> Iterator[None]:
    """Keep other processes of this test run, and other runs, from building the same: they wait for it instead."""
    home.parent.mkdir(parents=True, exist_ok=True)
    with home.with_name(f"{home.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # gone with its file, and with its process
        yield


def _build(home: Path, requirements: Sequence[str]) -> None:
    """Build a virtual environment beside its place and move it there whole: an interrupted run leaves no half."""
    draft = Path(tempfile.mkdtemp(prefix="draft-", dir=home.parent))
    python = draft / "bin" / "python"
    pip = [
        str(python),
        "-m",
        "pip",
        "install",
        "--quiet",
        "--disable-pip-version-check",
        "--no-input",
        "--retries",
        "1",
    ]
    try:
        for command in (
            [sys.executable, "-m", "venv", str(draft)],
            [*pip, *requirements],
            [str(python), "-c", "import celery.bin.celery, redis"],
        ):
            subprocess.run(command, check=True, capture_output=True, text=True, timeout=BUILD_SECONDS, cwd=home.parent)
        draft.rename(home)
    except subprocess.SubprocessError as error:
        said = (getattr(error, "stderr", None) or str(error)).strip().splitlines()
        missing(f"no virtual environment with {requirements[0]} can be built: {said[-1] if said else error}")
    finally:
        shutil.rmtree(draft, ignore_errors=True)
