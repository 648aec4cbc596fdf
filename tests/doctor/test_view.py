"""What people read: on 80 columns, what matters first, checks that one server stops in one line, nothing hostile."""

from __future__ import annotations

import json
from collections.abc import Sequence

import pytest
from celery import Celery
from celery.bin.base import CLIContext
from click.testing import CliRunner, Result

from bridge.command import bridge
from bridge.operate.doctor import Finding
from bridge.operate.operator import Operator

LONG = "a worker that consumes a queue and does not know a task drops what it gets, which is not what anybody wants"
FOUND = [
    Finding(
        check="tasks", level="at-risk", text=LONG, do="`eventbridge register c --task NAME`", page="docs/d.md#tasks"
    ),
    Finding(check="topics", level="warning", text="odd \x1b[2J name"),
    *(Finding(check=name, level="unknown", text="not looked at: away") for name in ("broker", "eviction", "queues")),
    Finding(check="pump", level="ok", text="a pump is at work"),
    Finding(check="visibility-timeout", level="ok", text=LONG),
]


def doctor(monkeypatch: pytest.MonkeyPatch, found: Sequence[Finding], *args: str) -> Result:
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setattr(Operator, "doctor", lambda self, **options: list(found))
    context = CLIContext(app=Celery("shop", broker="memory://", set_as_current=False), no_color=True, workdir=None)
    return CliRunner().invoke(bridge, ["doctor", *args], obj=context)


def test_what_matters_comes_first_on_eighty_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    result = doctor(monkeypatch, FOUND)
    assert result.exit_code == 1
    assert result.output == (
        "at risk  tasks\n"
        "  a worker that consumes a queue and does not know a task drops what it gets,\n"
        "  which is not what anybody wants\n"
        "  -> `bridge register c --task NAME`\n"
        "  more: `bridge about tasks`\n"
        "warning  topics\n"
        "  odd \\x1b[2J name\n"
        "  more: `bridge about topics`\n"
        "unknown  not looked at: away\n"
        "  broker, eviction, queues\n"
        "ok\n"
        "  pump, visibility-timeout\n"
        "\n"
        "1 at risk, 1 warning, 3 not known, 2 ok\n"
    )


def test_with_all_it_also_says_what_is_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    result = doctor(monkeypatch, FOUND[1:], "--all")
    assert result.exit_code == 0  # a warning is no failure
    assert (
        "ok\n"
        "  pump                a pump is at work\n"
        "  visibility-timeout  a worker that consumes a queue and does not know a task\n"
        "                      drops what it gets, which is not what anybody wants\n"
    ) in result.output
    assert all(len(line) <= 80 for line in result.output.splitlines())


def test_programs_get_everything_as_json(monkeypatch: pytest.MonkeyPatch) -> None:
    result = doctor(monkeypatch, FOUND, "--json")
    told = json.loads(result.output)
    assert (result.exit_code, told["at_risk"]) == (1, True)
    assert [it["check"] for it in told["findings"]] == [it.check for it in FOUND]
    assert set(told["findings"][0]) == {"check", "level", "text", "do", "page", "data"}


def test_many_findings_of_one_kind_are_one_paragraph_and_all_are_in_the_json(monkeypatch: pytest.MonkeyPatch) -> None:
    many = [
        Finding(
            check="topics",
            level="warning",
            text=f"no event in the log matches the topic t{n} of client c{n}",
            do=f"`eventbridge register c{n}`",
            data={"client": f"c{n}", "pattern": f"t{n}"},
        )
        for n in range(1, 889)
    ]
    other = Finding(check="topics", level="warning", text="quite another thing")
    result = doctor(monkeypatch, [*many, other])
    assert result.output == (
        "warning  topics\n"
        "  no event in the log matches the topic t1 of client c1\n"
        "  and 887 more like this of clients c2, c3, c4, …; --json has all\n"
        "  -> `bridge register c1`\n"
        "  more: `bridge about topics`\n"
        "warning  topics\n"
        "  quite another thing\n"
        "  more: `bridge about topics`\n"
        "\n"
        "889 warnings\n"
    )
    assert len(json.loads(doctor(monkeypatch, many, "--json").output)["findings"]) == 888
    assert doctor(monkeypatch, many[:3]).output.count("no event in the log") == 3, "a few are shown one by one"
