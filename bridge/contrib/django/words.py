"""In a Django project the commands are typed as `manage.py bridge …`: so the log advises them like that, too."""

from __future__ import annotations

import logging
import re

LOGGERS = (  # all of them: a filter does not see what a logger below its own logs
    "bridge",
    "bridge.broker",
    "bridge.collector",
    "bridge.metrics",
    "bridge.outbox",
    "bridge.settings.bridge",
    "bridge.watch",
)
ADVISED = re.compile(r"`eventbridge(?= )")
TYPED = "`manage.py bridge"


class AsTyped(logging.Filter):
    """Puts `manage.py bridge` in the place of `eventbridge` in what is logged."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Change the words of a line that advises a command; every line is logged."""
        said = record.getMessage()
        if ADVISED.search(said):
            record.msg, record.args = ADVISED.sub(TYPED, said), None
        return True


def advise_as_typed() -> None:
    """Let the bridge's loggers of this process advise commands as they are typed in a Django project."""
    for name in LOGGERS:
        logger = logging.getLogger(name)
        if not any(isinstance(it, AsTyped) for it in logger.filters):
            logger.addFilter(AsTyped())
