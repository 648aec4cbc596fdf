"""Who runs this process and why it does something, for the journal."""

from __future__ import annotations

import getpass
import os
import socket

from bridge.bounds import REASON_CHARACTERS
from bridge.wording import storable


def user_at_host() -> str:
    """Return who runs this process, as user@host."""
    try:
        user = getpass.getuser()
    except (ImportError, KeyError, OSError):  # a container without an entry in its passwd
        user = str(os.getuid())
    return f"{user}@{socket.gethostname()}"


def kept(reason: object) -> str:
    """Return a reason as the journal keeps it: whatever is in it, and at most so long."""
    return storable(str(reason or ""), most=REASON_CHARACTERS)
