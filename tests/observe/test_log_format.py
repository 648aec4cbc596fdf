"""The log as JSON: one object a line, whatever a record holds."""

from __future__ import annotations

import json
import logging
import sys
from typing import Any

import click
import pytest
from billiard.util import get_logger
from celery import Celery
from click.testing import CliRunner

from bridge.command.logs import log_format
from bridge.happened import Happening
from bridge.observe.log_format import JsonFormatter, WriteLog


class Nasty:
    def __repr__(self) -> str:
        raise ValueError("told to")


def written(message: str, *args: Any, exc_info: Any = None, **extra: Any) -> dict[str, Any]:
    logger = logging.getLogger("bridge")
    record = logger.makeRecord("bridge", logging.WARNING, "f.py", 1, message, args, exc_info, extra=extra)
    line = JsonFormatter().format(record)
    assert "\n" not in line and line.isascii()
    read: dict[str, Any] = json.loads(line)
    return read


def test_a_line_has_the_parts_of_what_happened_as_fields() -> None:
    it = Happening(kind="parked", client="c", offset=7, key="k", attempt=2, task_id="c:7:a2", reason="it failed")
    line = written("client %s: %s", "c", "event 7 is parked", **it.extra())
    assert line["message"] == "client c: event 7 is parked"
    assert (line["level"], line["logger"]) == ("WARNING", "bridge")
    assert line["time"].endswith("+00:00")
    parts = {name: line[name] for name in ("happened", "client", "offset", "key", "attempt", "task_id", "reason")}
    assert parts == {
        "happened": "parked",
        "client": "c",
        "offset": 7,
        "key": "k",
        "attempt": 2,
        "task_id": "c:7:a2",
        "reason": "it failed",
    }


def test_an_exception_stands_in_its_line() -> None:
    try:
        raise ValueError("two\nlines")
    except ValueError:
        line = written("it broke", exc_info=sys.exc_info())
    assert "ValueError: two\nlines" in line["exception"]


@pytest.mark.parametrize(
    "value",
    [
        float("nan"),
        float("inf"),
        Nasty(),
        b"\xff",
        {"a": [1]},
        "\ud800",
        "x" * 10**6,
        {1},
        pytest.param(10**5000, id="huge"),
    ],
)
def test_a_line_is_json_and_bounded_whatever_comes_with_it(value: object) -> None:
    line = written("it is", value=value)
    assert len(json.dumps(line)) < 25_000
    assert line["value"] is not None


def test_a_message_whose_arguments_do_not_fit_is_written_all_the_same() -> None:
    assert written("%d events", "no number")["message"] == "%d events"


@pytest.mark.parametrize("odd", [Nasty(), 10**5000, ("a", 1), "k" * 10**6], ids=["mute", "huge", "tuple", "long"])
def test_a_line_is_written_whatever_stands_where_a_message_a_logger_or_the_name_of_a_field_is_expected(
    odd: Any,
) -> None:
    record = logging.makeLogRecord({"msg": odd, "name": odd, "levelname": odd, "exc_text": odd, "stack_info": odd})
    vars(record)[odd] = 1
    line = JsonFormatter().format(record)
    assert len(line) < 70_000
    assert {"time", "level", "logger", "message", "exception", "stack"} < set(json.loads(line))


def test_a_stack_that_was_asked_for_and_a_traceback_of_another_process_stand_in_their_line() -> None:
    record = logging.makeLogRecord({"msg": "m", "exc_text": "Traceback …\nKeyError", "stack_info": "Stack …\nf()"})
    line = json.loads(JsonFormatter().format(record))
    assert (line["exception"], line["stack"]) == ("Traceback …\nKeyError", "Stack …\nf()")


@pytest.mark.parametrize("logger", ["celery.task", get_logger().name])  # billiard's tells of a process that was lost
@pytest.mark.parametrize(("option", "setting", "used"), [("json", "", True), (None, "json", True), (None, "", False)])
def test_a_worker_writes_json_where_its_option_or_the_setting_says_so(
    option: Any, setting: str, logger: str, *, used: bool
) -> None:
    handler = logging.StreamHandler()
    logging.getLogger(logger).addHandler(handler)
    before = {id(it): it.formatter for it in logging.getLogger().handlers}
    try:
        with Celery("shop", set_as_current=False) as app:
            app.conf.update({"bridge_log_format": setting} if setting else {})
            WriteLog(type("Parent", (), {"app": app, "steps": []})(), log_format=option)
        assert isinstance(handler.formatter, JsonFormatter) is used
    finally:
        logging.getLogger(logger).removeHandler(handler)
        for it in logging.getLogger().handlers:
            it.setFormatter(before[id(it)])


def test_a_command_writes_what_it_logs_as_json_on_stderr() -> None:
    @click.command()
    @log_format
    def command() -> None:
        logging.getLogger("bridge").info("it works", extra={"client": "c"})

    handlers, level = list(logging.getLogger().handlers), logging.getLogger("bridge").level
    try:
        done = CliRunner().invoke(command, ["--log-format", "json"])
    finally:
        logging.getLogger().handlers[:] = handlers
        logging.getLogger("bridge").setLevel(level)
    assert done.exit_code == 0 and done.stdout == ""
    line = json.loads(done.stderr)
    assert (line["message"], line["client"]) == ("it works", "c")
