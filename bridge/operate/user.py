"""Who runs this process, for the journal."""

from __future__ import annotations

import getpass
import os
import socket


def user_at_host() -> str:
    """Return who runs this process, as user@host."""
    try:
        user = getpass.getuser()
    except (ImportError, KeyError, OSError):  # a container without an entry in its passwd
        user = str(os.getuid())
    return f"{user}@{socket.gethostname()}"
