"""A Django project of its own, as docs/django.md tells to make one, in processes of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.contrib.django.conftest import database
from tests.support.documented import write_blocks

FILES = [
    "shop/settings.py",
    "shop/celery.py",
    "shop/__init__.py",
    "shop/tasks.py",
    "shop/orders.py",
    "shop/tests.py",
    "conftest.py",
    "test_orders.py",
]


class Project:
    """A project that `startproject` and the page have made.

    Args:
        directory: Where it goes.
        url: Its Postgres.
        broker: Its broker's URL.
        **settings: More of its settings.
    """

    def __init__(self, directory: Path, url: str, *, broker: str = "redis://127.0.0.1:1/0", **settings: Any) -> None:
        self.directory = directory
        directory.mkdir(exist_ok=True)
        path = os.pathsep.join(filter(None, [str(directory), os.environ.get("PYTHONPATH")]))
        self.env = {**os.environ, "PYTHONPATH": path, "DJANGO_SETTINGS_MODULE": "shop.settings"}
        self.run("-m", "django", "startproject", "shop", ".")
        assert write_blocks("django.md", directory) == FILES
        values = {"DATABASES": {"default": database(url)}, "CELERY_BROKER_URL": broker, **settings}
        with (directory / "shop/settings.py").open("a") as file:
            file.write("".join(f"{name} = {value!r}\n" for name, value in values.items()))

    def manage(self, *arguments: str) -> str:
        """Run manage.py, and return what it says."""
        return self.run("manage.py", *arguments)

    def python(self, code: str) -> str:
        """Run code in a process of the project."""
        return self.run("-c", f"import django; django.setup()\n{code}")

    def pytest(self, *arguments: str) -> str:
        """Run the project's tests under pytest-django."""
        return self.run("-m", "pytest", "-q", "-p", "no:cacheprovider", *arguments)

    def run(self, *arguments: str) -> str:
        """Run Python with these arguments, and return what it says."""
        done = subprocess.run(
            [sys.executable, *arguments],
            cwd=self.directory,
            env=self.env,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        said = done.stdout + done.stderr
        assert done.returncode == 0, said
        return said
