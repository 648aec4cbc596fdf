"""Bad input: it is named in one line, changes nothing, and never ends in a traceback."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
from celery import Celery
from celery.bin.base import CLIContext
from click.testing import CliRunner

from bridge.command import bridge
from tests.command.running import refused, runner, shell
from tests.conftest import Connect

BAD = [
    (["status", "nobody"], 2, "no client 'nobody' is registered"),
    (["pause", "nobody"], 2, "no client 'nobody' is registered: `bridge clients` lists them\n"),
    (["resume", "nobody"], 2, "no client 'nobody' is registered"),
    (["register"], 2, "declares no clients"),
    (["register", "--window", "3"], 2, "name the CLIENT"),
    (["register", "c"], 2, "say which task it calls (--task NAME)"),
    (["register", "a b", "--task", "t"], 2, "client id 'a b' is not usable"),
    (["register", "c", "--task", "t", "--window", "0"], 2, "window is 0, must be a whole number from 1"),
    (["register", "c", "--task", "t", "--window", "many"], 2, "'many' is not a valid integer"),
    (["register", "c", "--task", "t", "--max-attempts", "0"], 2, "max_attempts is 0"),
    (["register", "c", "--task", "t", "--backoff", "-1"], 2, "backoff_seconds is -1.0"),
    (["register", "c", "--task", "t", "--ack-timeout", "0"], 2, "ack_timeout_seconds is 0.0"),
    (["register", "c", "--task", "t", "--topics", "a..b"], 2, "topic pattern 'a..b' is malformed"),
    (["register", "c", "--task", "t", "--topics", ""], 2, "topic pattern '' is malformed"),
    (["register", "c", "--task", "t", "--ordering", "fifo"], 2, "'fifo' is not one of"),
    (["register", "c", "--task", "t", "--start", "soon"], 2, "position 'soon' is not one of"),
    (["register", "c", "--task", "t", "--start", "99"], 2, "offset 99 is above the horizon"),
    (["register", "c", "--task", ""], 2, "task is '', must be text, not empty"),
    (["register", "c", "--task", "t", "--ack-timeout", "soon"], 2, "'soon' is no time, such as 90 (seconds), 2m or 1h"),
    (["register", "c", "--task", "t", "--backoff", "nan"], 2, "'nan' is no time"),
    (["prune"], 2, "what is older than some time (--older-than SPAN), or all but the newest events (--keep N)"),
    (["publish"], 2, "name the TOPIC"),
    (["publish", "a..b"], 2, "topic 'a..b' is malformed"),
    (["publish", "a.*"], 2, "topic 'a.*' is malformed"),
    (["publish", "a", "hello"], 2, "payload is not JSON: expecting value at line 1 column 1: text needs double quotes"),
    (["publish", "a", "NaN"], 2, "payload is not JSON"),
    (["publish", "a", '"\\u0000"'], 2, "it holds a NUL character"),
    (["publish", "a", '"\\ud800"'], 2, "it holds half a surrogate pair"),
    (["publish", "a", "[" * 300 + "]" * 300], 2, "payload is nested too deeply"),
    (["publish", "a", "[" * 100_000], 2, "payload is nested too deeply"),
    (["publish", "a", "1" * 5000], 2, "payload is not JSON that can be read"),
    (["publish", "a", "1", "--headers", "[]"], 2, "headers must be a mapping"),
    (["publish", "a", "1", "--headers", "{"], 2, "headers is not JSON"),
    (["publish", "a", "1", "--key", "\udcff"], 2, "must be text without NUL or half characters"),
    (["publish", "--many", "/no/such/file"], 2, "No such file"),
    (["publish", "a", "--many", "-"], 2, "come from the file"),
    (["tail", "--topics", "*x"], 2, "topic pattern '*x' is malformed"),
    (["tail", "--from", "x"], 2, "position 'x' is not one of"),
    (["tail", "-n", "-1"], 2, "-1 is not in the range"),
    (["tail", "-n", "9" * 20], 2, "is too large: at most 9223372036854775807"),
    (["scheduled", "-n", "9" * 20], 2, "is too large: at most 9223372036854775807"),
    (["journal", "-n", "9" * 20], 2, "is too large: at most 9223372036854775807"),
    (["parked", "c", "-n", "9" * 20], 2, "is too large: at most 9223372036854775807"),
    (["status", "--watch", "0"], 2, "0.0 is not in the range"),
    (["status", "--watch", "9" * 30], 2, "is not in the range 0.1<=x<=1000000"),
    (["explain", "c", "--timeout", "1e308"], 2, "is not in the range"),
    (["doctor", "--timeout", "1000001"], 2, "is not in the range"),
    (["health", "--pump-seconds", "1e20"], 2, "is not in the range"),
    (["recall"], 2, "missing argument 'CLIENT': see `bridge recall --help`\n"),
    (["recall", "nobody"], 2, "no client 'nobody' is registered"),
    (["recall", "c", "--offset", "x"], 2, "'x' is not the offset of an event"),
    (["recall", "c", "--offset", "-1"], 2, "'-1' is not the offset of an event"),
    (["nonsense"], 2, "error: no such command 'nonsense'"),
    (["status", "--nonsense"], 2, "error: no such option"),
    (["redrive", "c"], 2, "error: say which parked events of client 'c'"),
    (["tail", "--from", "1", "--since", "1h"], 2, "error: say where to begin once: --from or --since"),
    (["demo", "--events", "0"], 2, "0 is not in the range"),
]


@pytest.mark.parametrize(("args", "code", "message"), BAD, ids=[" ".join(args)[:40] for args, _, _ in BAD])
def test_bad_input_is_named_and_changes_nothing(
    untouched: str, connect: Connect, args: Sequence[str], code: int, message: str
) -> None:
    result = runner(untouched)(*args)
    assert message in result.stderr
    assert "Traceback" not in result.output
    assert (result.exit_code, result.stdout) == (code, "")
    assert isinstance(result.exception, SystemExit)
    assert connect(untouched).execute(
        "SELECT (SELECT count(*) FROM fq.clients), (SELECT count(*) FROM fq.events)"
    ).fetchone() == (
        0,
        0,
    )


@pytest.mark.parametrize("args", [["status"], ["migrate"], ["tail"], ["clients"], ["publish", "a"], ["pause", "c"]])
def test_a_database_that_is_away_is_a_failure_in_one_line(args: list[str]) -> None:
    run = runner("postgresql://127.0.0.1:1/nothing")
    result = run(*args)
    assert "Postgres is not available" in refused(result)
    assert (
        "are host, user, password and database in bridge_database_url right?" in result.stderr
        and "\t" not in result.stderr
    )
    assert result.exit_code == 1


def test_a_setting_that_is_missing_or_malformed_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    run = runner("mysql://here/there")
    result = run("status")
    assert "the bridge needs postgresql://" in refused(result)
    assert result.exit_code == 2
    app = Celery("bare", set_as_current=False)
    context = CLIContext(app=app, no_color=False, workdir=None)
    assert "BRIDGE_DATABASE_URL" in refused(CliRunner().invoke(bridge, ["status"], obj=context))
    monkeypatch.setenv("BRIDGE_PASS_LIMIT", "lots")
    app = Celery("odd", set_as_current=False)
    context = CLIContext(app=app, no_color=False, workdir=None)
    assert "BRIDGE_PASS_LIMIT in the environment is 'lots'" in refused(
        CliRunner().invoke(bridge, ["status"], obj=context)
    )


def test_a_configuration_that_does_not_import_is_named(tmp_path: Path) -> None:
    (tmp_path / "project.py").write_text(
        "from celery import Celery\napp = Celery('p')\napp.config_from_object('missing')\n"
    )
    result = shell("bridge", "-A", "project", "status", directory=tmp_path)
    assert result.returncode == 2
    assert result.stderr.startswith("error: the configuration of app 'p' can't be read: ModuleNotFoundError")
    assert len(result.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("no_such_module", "app 'no_such_module' can't be loaded: ModuleNotFoundError"),
        ("json", "app 'json' can't be loaded: AttributeError"),
        ("json:dumps", "'json:dumps' is no Celery app but function"),
        ("broken", "RuntimeError: at import ({directory}/broken.py:1)"),
        ("misspelt", "SyntaxError: invalid syntax ({directory}/misspelt.py:2)"),
    ],
)
def test_an_app_that_can_t_be_found_is_named(name: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "broken.py").write_text("raise RuntimeError('at import')\n")
    (tmp_path / "misspelt.py").write_text("\napp = = 1\n")
    result = shell("bridge", "-A", name, "status", directory=tmp_path)
    assert (result.returncode, result.stdout) == (2, "")
    assert message.format(directory=tmp_path) in result.stderr
    assert len(result.stderr.splitlines()) == 1
