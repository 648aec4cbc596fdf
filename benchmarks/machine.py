"""Describe what a run was made on: the machine, the versions, and how busy it was with other things."""

from __future__ import annotations

import os
import platform
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import psutil
from redis import Redis

PACKAGES = (
    "celery-event-bridge",
    "celery",
    "kombu",
    "redis",
    "psycopg",
    "sqlalchemy",
    "procrastinate",
    "pgqueuer",
)


def machine() -> dict[str, Any]:
    """Return processor, cores, memory, system, and the load average before the run."""
    return {
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "memory_gib": round(psutil.virtual_memory().total / 2**30, 1),
        "system": platform.platform(),
        "load_average_before": [round(load, 2) for load in os.getloadavg()],
    }


def versions(*, postgres: str, redis_url: str) -> dict[str, str]:
    """Return the versions of everything that takes part; packages that are not installed are left out."""
    with Redis.from_url(redis_url) as redis:
        info: Any = redis.info("server")
    found = {"python": sys.version.split()[0], "postgres": postgres, "redis-server": info["redis_version"]}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.machine())
