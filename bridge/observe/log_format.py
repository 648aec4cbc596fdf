"""The log as JSON, one object a line, for a program that reads it: `--log-format json`, or `bridge_log_format`.

Only the standard library is needed: a record has its parts as attributes already.
"""

from __future__ import annotations

import json
import logging
import math
import os
from datetime import UTC, datetime
from typing import Any, get_args

import click
from celery import bootsteps

from bridge.bounds import LOGGED_CHARACTERS, LOGGED_TRACEBACK_CHARACTERS
from bridge.settings.bridge import BridgeSettings, LogFormat
from bridge.wording import cut

# What every record has. All else came with it: as `extra`, and is a field of the object.
COMMON = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "color", "taskName"}
MOST_FIELDS = 50
MOST_NAME_CHARACTERS = 100
LARGEST_INTEGER = 2**63 - 1  # beyond it, whoever reads JSON may round; Python itself writes no more than 4,300 digits


class JsonFormatter(logging.Formatter):
    """Writes a record as one line of JSON: time, level, logger, process, message, what came as `extra`, exception."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line; it never raises, and is bounded whatever the record holds."""
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": _plain(record.levelname),
            "logger": _plain(record.name),
            "process": _plain(record.processName),
            "pid": record.process,
            "message": _ends(_message(record)),
        }
        extra = [(name, value) for name, value in vars(record).items() if name not in COMMON]
        for name, value in extra[:MOST_FIELDS]:
            line.setdefault(cut(_shown(name), most=MOST_NAME_CHARACTERS), _plain(value))
        if record.exc_info:
            line["exception"] = _ends(self.formatException(record.exc_info))
        elif record.exc_text:  # of a record that came from another process
            line["exception"] = _ends(_shown(record.exc_text))
        if record.stack_info:
            line["stack"] = _ends(_shown(record.stack_info))
        return json.dumps(line, ensure_ascii=True)


def _message(record: logging.LogRecord) -> str:
    try:
        return record.getMessage()
    except Exception:  # arguments that do not fit, or that can't be shown
        return _shown(record.msg)


def _ends(text: str) -> str:
    """Return the beginning and the end of a text that is too long: the end of a traceback says what it was."""
    half = LOGGED_TRACEBACK_CHARACTERS // 2
    return text if len(text) <= 2 * half else f"{text[:half]} … {text[-half:]}"


def _plain(value: object) -> Any:
    """Return a value that JSON has; a text is cut, and anything else is shown as text."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int) and abs(value) <= LARGEST_INTEGER:
        return int(value)
    if isinstance(value, float) and math.isfinite(value):
        return float(value)
    return cut(_shown(value), most=LOGGED_CHARACTERS)


def _shown(value: object) -> str:
    """Return a text as it is, and what Python shows of anything else."""
    try:
        return str.__str__(value) if isinstance(value, str) else repr(value)
    except Exception:
        return f"{type(value).__name__} that can't be shown"


def use(format: LogFormat) -> None:
    """Let the handlers that this process logs with write in this format; `text` leaves them as they are."""
    if format == "text":
        return
    for name in (
        "",
        "celery",
        "celery.task",
        "celery.redirected",
        "multiprocessing",
    ):
        for handler in logging.getLogger(name).handlers:
            handler.setFormatter(JsonFormatter())


LOG_FORMAT = click.Option(
    ["--log-format"],
    type=click.Choice(get_args(LogFormat)),
    help="How this worker writes its log; else as bridge_log_format says.",
)


class WriteLog(bootsteps.Step):
    """Lets a worker write its log as the option `--log-format` says, or the setting `bridge_log_format`."""

    label = "Bridge log"

    def __init__(self, parent: Any, log_format: LogFormat | None = None, **kwargs: Any) -> None:
        super().__init__(parent, **kwargs)
        use(log_format or BridgeSettings.read(parent.app.conf, os.environ).log_format)
