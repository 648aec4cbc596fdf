"""The commands that lines of the log advise, as they are called where this process runs."""

from __future__ import annotations

import logging

from bridge.calling import as_called, call_commands

LOGGERS = (  # those of the package; a filter of `bridge` would not see what the others write
    "bridge",
    "bridge.broker",
    "bridge.collector",
    "bridge.metrics",
    "bridge.outbox",
    "bridge.settings.bridge",
    "bridge.watch",
)


class AsCalled(logging.Filter):
    """Writes `eventbridge …` in a record's message as the commands are called here."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Let the record through."""
        try:
            said = record.getMessage()
        except Exception:  # its arguments do not fit: the handler says so
            return True
        if (advised := as_called(said)) != said:
            record.msg, record.args = advised, None
        return True


_filter = AsCalled()


def advise(words: str) -> None:
    """Let errors and lines of the log of this process advise commands that begin with these words."""
    call_commands(words)
    for name in LOGGERS:
        logging.getLogger(name).addFilter(_filter)
