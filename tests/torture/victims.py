"""Find the processes that the torture kills."""

from __future__ import annotations

from contextlib import suppress

import psutil

from bridge.demo.process import Process


def children(process: Process, *, connected_to: int | None = None) -> list[psutil.Process]:
    """Return a process's children; if a port is given, only those that have a connection to it."""
    found = []
    with suppress(psutil.Error):
        for child in psutil.Process(process.pid).children():
            with suppress(psutil.Error):
                ports = {address.raddr.port for address in child.net_connections("tcp") if address.raddr}
                if connected_to is None or connected_to in ports:
                    found.append(child)
    return found


def is_beat(process: psutil.Process) -> bool:
    """Tell whether this child of a worker is its beat: the one that keeps the schedule open."""
    with suppress(psutil.Error):
        return any(".schedule" in file.path for file in process.open_files())
    return False
