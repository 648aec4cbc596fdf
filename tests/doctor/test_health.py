"""Health is one line and an exit code: what is away is named, and a worker is not blamed for a broker."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable

import pytest
from celery import Celery
from celery.bin.base import CLIContext
from click.testing import CliRunner, Result

from bridge.command import bridge
from bridge.demo.servers.server import free_port
from tests.doctor.clinic import Clinic, locked

Run = Callable[..., Result]
AWAY = f"redis://127.0.0.1:{free_port()}/0"


@pytest.fixture
def run(clinic: Clinic) -> Run:
    """Run `eventbridge health` in this process, with settings of the app."""

    def run(*args: str, **settings: object) -> Result:
        app = Celery("probe", broker=str(settings.pop("broker_url", clinic.broker.url)), set_as_current=False)
        app.conf.update({"bridge_database_url": clinic.database} | settings)
        context = CLIContext(app=app, no_color=True, workdir=None)
        return CliRunner().invoke(bridge, ["health", "--timeout", "2", *args], obj=context)

    return run


def test_a_bridge_at_work_is_healthy_in_one_line(run: Run) -> None:
    found = run()
    assert (found.exit_code, found.output.count("\n")) == (0, 1), found.output
    assert found.output.startswith("healthy: Postgres answers; the broker answers; a pump was at work ")
    assert "; a collector was at work " in found.output


def test_a_probe_reads_each_sign_as_json(run: Run) -> None:
    told = json.loads(run("--json").output)
    assert told["ok"] and [it["name"] for it in told["signs"]] == ["postgres", "broker", "pump", "collector"]
    assert all(it["ok"] for it in told["signs"])


@pytest.mark.parametrize("name", ["pump", "collector"])
def test_what_was_not_at_work_lately_makes_it_unhealthy_unless_it_does_not_matter(
    run: Run, clinic: Clinic, name: str
) -> None:
    silent = {"bridge_queue": "silent"}
    never = run(**silent)
    assert never.exit_code == 1
    assert never.output == "not healthy: no pump has been at work; no collector has been at work\n"
    clinic.eyes.execute(
        "INSERT INTO fq.turns (bridge, name, holder, expires_at)"
        " VALUES ('silent', 'tick', 'x', now() - interval '100 s'), ('silent', 'collector 1', 'x', now())"
    )
    try:
        old = run(**silent)  # the collector's note holds for a minute, so it is as old as that
        assert old.exit_code == 1
        assert f"no {name} has been at work for " in old.output and "(limit 30 s)" in old.output
        other = {"pump": "collector", "collector": "pump"}[name]
        without = run(f"--{name}-seconds", "0", f"--{other}-seconds", "500", **silent)
        assert (without.exit_code, f"no {name}" in without.output) == (0, False)
    finally:
        clinic.eyes.execute("DELETE FROM fq.turns WHERE bridge = 'silent'")


def test_a_lock_of_a_table_that_no_pass_needs_is_no_reason_to_call_it_unhealthy(run: Run, clinic: Clinic) -> None:
    for table, healthy in (("fq.journal", True), ("fq.lanes", False)):
        with locked(clinic.database, table):
            assert (run().exit_code == 0) is healthy, table


def test_a_bridge_without_a_collector_needs_none(run: Run) -> None:
    found = run("--pump-seconds", "0", bridge_queue="silent", bridge_collector=False)
    assert (found.exit_code, found.output) == (0, "healthy: Postgres answers; the broker answers\n")


def test_servers_that_are_away_are_named_in_one_line(run: Run) -> None:
    found = run(broker_url=AWAY, bridge_database_url=f"postgresql://postgres@127.0.0.1:{free_port()}/x")
    assert (found.exit_code, found.output.count("\n")) == (1, 1)
    assert "not healthy: Postgres is not available: " in found.output and "; the broker redis://" in found.output
    nothing = run(bridge_database_url="")
    assert nothing.exit_code == 1 and "no database is set" in nothing.output


def test_a_worker_that_answers_is_alive_and_one_that_does_not_is_not(run: Run, clinic: Clinic) -> None:
    node = f"bridge@{os.uname().nodename}"
    assert (found := run("--worker", node)).exit_code == 0, found.output
    assert found.output == f"healthy: worker {node} answers\n"
    gone = run("--worker", "gone@here")
    assert (gone.exit_code, gone.output) == (
        1,
        "not healthy: worker gone@here does not answer, and the broker does\n",
    )
    assert f"worker celery@{os.uname().nodename} " in run("--worker").output


@pytest.mark.slow
def test_no_worker_is_restarted_because_the_broker_is_away_or_frozen(run: Run, clinic: Clinic) -> None:
    assert (away := run("--worker", "gone@here", broker_url=AWAY)).exit_code == 0
    assert "can't be asked, for the broker does not answer" in away.output
    frozen = int(clinic.broker.ask("INFO", "server")["process_id"])
    os.kill(frozen, signal.SIGSTOP)
    try:
        assert run("--worker", "gone@here", "--timeout", "0.3").exit_code == 0
        assert run("--timeout", "0.3").exit_code == 1
    finally:
        os.kill(frozen, signal.SIGCONT)


@pytest.mark.parametrize(
    "url",
    [
        "redis://:a#secret@h/0",
        "redis://:secret/b@h/0",
        "amqp://u:secret/@h//",
        "nothing://u:secret@h",
        "redis://:secret?@h",
    ],
)
def test_a_broker_s_address_that_can_t_be_read_is_unhealthy_and_nothing_of_it_is_repeated(run: Run, url: str) -> None:
    found = run(broker_url=url)
    assert (found.exit_code, found.output.count("\n")) == (1, 1), found.output
    assert "the broker does not answer: the broker's URL can't be " in found.output
    assert "%2F" in found.output or "about brokers" in found.output, "the way out"
    assert "secret" not in found.output and "secret" not in repr(found.exception)
