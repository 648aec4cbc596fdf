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


class JsonFormatter(logging.Formatter):
    """Writes a record as one line of JSON: time, level, logger, process, message, what came as `extra`, exception."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line; it never raises, and is bounded whatever the record holds."""
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "process": record.processName,
            "pid": record.process,
            "message": cut(_message(record), most=LOGGED_TRACEBACK_CHARACTERS),
        }
        extra = [(name, value) for name, value in vars(record).items() if name not in COMMON]
        for name, value in extra[:MOST_FIELDS]:
            line.setdefault(name, _plain(value))
        if record.exc_info:
            text = self.formatException(record.exc_info)
            half = LOGGED_TRACEBACK_CHARACTERS // 2
            line["exception"] = text if len(text) <= 2 * half else f"{text[:half]} … {text[-half:]}"
        return json.dumps(line, ensure_ascii=True, default=repr)


def _message(record: logging.LogRecord) -> str:
    try:
        return record.getMessage()
    except Exception:  # arguments that do not fit
        return str(record.msg)


def _plain(value: object) -> Any:
    """Return a value that JSON has; a text is cut, and anything else is shown as text."""
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if value is None or isinstance(value, bool | int | float):
        return value
    try:
        return cut(value if isinstance(value, str) else repr(value), most=LOGGED_CHARACTERS)
    except Exception:
        return f"a {type(value).__name__} that can't be shown"


def use(format: LogFormat) -> None:
    """Let the handlers that this process logs with write in this format; `text` leaves them as they are."""
    if format == "text":
        return
    for name in ("", "celery", "celery.task", "celery.redirected"):
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
