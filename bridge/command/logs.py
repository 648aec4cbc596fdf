"""How a command writes what it logs: on stderr, as text or as JSON."""

from __future__ import annotations

import logging
from typing import get_args

import click

from bridge.settings.bridge import LogFormat

LIBRARIES = ("amqp", "celery", "kombu", "redis")


class _Spoken(logging.Handler):
    """Says what the bridge logs as commands say it: `warning: …`, in one line."""

    def emit(self, record: logging.LogRecord) -> None:
        """Print a line on stderr."""
        from bridge.command.group import say_error, say_warning  # which lists the commands by this module's option

        say = say_warning if record.levelno < logging.ERROR else say_error
        say(record.getMessage())


def speak() -> None:
    """Let what the bridge warns of be said as warnings are, unless somebody has set up logging."""
    logger = logging.getLogger("bridge")
    if not logger.handlers and not logging.getLogger().handlers:
        handler = _Spoken(logging.WARNING)
        logger.addHandler(handler)
        logger.propagate = False
        for name in LIBRARIES:  # what they warn of, a command says itself where it matters
            logging.getLogger(name).addHandler(logging.NullHandler())


def _log_as(_: click.Context, __: click.Parameter, format: LogFormat | None) -> None:
    """Let this process log from level INFO on; without the option it logs as it did."""
    if format is None:
        return
    from bridge.observe.log_format import JsonFormatter  # only now: it comes with what workers need

    handler = logging.StreamHandler()
    handler.setFormatter(JsonFormatter() if format == "json" else logging.Formatter("%(levelname)s: %(message)s"))
    logging.getLogger().addHandler(handler)
    logging.getLogger("bridge").setLevel(logging.INFO)


log_format = click.option(
    "--log-format",
    type=click.Choice(get_args(LogFormat)),
    expose_value=False,
    callback=_log_as,
    help="Write what is logged to stderr, from level INFO on: as text, or one JSON object a line.",
)
