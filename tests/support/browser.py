"""A browser without a window, which opens pages as a person would: with their scripts."""

from __future__ import annotations

import shutil
from pathlib import Path
from subprocess import run

from tests.support.servers import missing

NAMES = ("chromium", "chromium-browser", "google-chrome")
LONGEST_SECONDS = 90.0
SCRIPTS_MILLISECONDS = 5000  # of the page's own time, which passes faster than ours while nothing is under way


def browser() -> str:
    """Return the path of Chromium; skip the test on a desk that has none, and fail it in CI."""
    found = next(filter(None, map(shutil.which, NAMES)), None)
    return found or missing("no Chromium is installed: scripts/servers installs it on Debian, as root")


def open_page(url: str, home: Path, *, picture: Path | None = None, size: tuple[int, int] = (1500, 700)) -> str:
    """Open a page, let its scripts work, and return what is in it then, as HTML; take a picture of it, if wanted."""
    command = [
        browser(),
        "--headless=new",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-dev-shm-usage",
        "--no-first-run",
    ]
    command += [f"--user-data-dir={home}", f"--virtual-time-budget={SCRIPTS_MILLISECONDS}"]
    command += ["--hide-scrollbars", f"--window-size={size[0]},{size[1]}"]
    command += [f"--screenshot={picture}"] if picture else ["--dump-dom"]
    done = run([*command, url], capture_output=True, text=True, timeout=LONGEST_SECONDS, check=True)
    return done.stdout
