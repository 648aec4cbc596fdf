"""What people see in Flower: deliveries with their key and arguments, attempts, and few rows of the bridge itself."""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Iterator
from html import unescape
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.request import urlopen

import pytest

from bridge.demo.process import Process, inherited
from bridge.demo.servers.server import free_port
from tests.conftest import WORKERS
from tests.support import fleets
from tests.support.browser import open_page
from tests.support.databases import Databases, RedisDatabases
from tests.support.stage import Stage
from tests.support.waiting import wait_until

COLUMNS = "name,uuid,state,args,kwargs,result,received,runtime"  # as docs/running.md advises
PICTURE = Path(__file__).parents[2] / "docs" / "flower.png"


class Flower:
    """A Flower beside a bridge and a fleet; the bridge's beat comes each second, so that its ticks would show."""

    def __init__(self, stage: Stage, url: str, home: Path) -> None:
        self.stage, self.url, self._home = stage, url, home

    def tasks(self) -> dict[str, dict[str, Any]]:
        """Return all tasks that Flower knows, by id."""
        try:
            with urlopen(f"{self.url}/api/tasks?limit=1000", timeout=30) as answer:
                found: dict[str, dict[str, Any]] = json.load(answer)
                return found
        except URLError:
            return {}

    def page(self, path: str, *, picture: Path | None = None) -> str:
        """Open a page in a browser; return the text that a person sees."""
        html = open_page(f"{self.url}{path}", self._home / "browser", picture=picture)
        body = re.sub(r"(?s)<(script|style).*?</\1>", "", html)
        return " ".join(unescape(re.sub(r"<[^>]+>", " ", body)).split())


@pytest.fixture(scope="module")
def flower(
    request: pytest.FixtureRequest,
    _databases: Databases,
    _redis_databases: RedisDatabases,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Flower]:
    home, port = tmp_path_factory.mktemp("flower"), free_port()
    with _redis_databases.empty() as redis_url, _databases.clone() as database:
        stage = Stage(database, redis_url, home)
        request.node.stash[WORKERS] = stage.workers
        options = ["--address=127.0.0.1", f"--port={port}", f"--tasks_columns={COLUMNS}"]
        command = [sys.executable, "-m", "celery", "-b", redis_url, "flower", *options]
        environment = {**inherited(), "FLOWER_UNAUTHENTICATED_API": "true"}
        process = Process("flower", command, log_path=home / "flower.log", directory=home, environment=environment)
        try:
            it = Flower(stage, f"http://127.0.0.1:{port}", home)
            stage.bridge(wait=False)
            stage.fleet()
            stage.workers[0].wait_until_ready()
            _sees_events(it)
            yield it
        finally:
            process.kill()
            stage.close()


def _sees_events(flower: Flower) -> None:
    """Wait until Flower has switched on the events of both workers."""
    flower.stage.client("probe")

    def is_seen() -> bool:
        flower.stage.publish("probe.sent")
        return any(it["state"] == "SUCCESS" and it["uuid"].startswith("probe") for it in flower.tasks().values())

    wait_until(is_seen, timeout=60, poll_seconds=0.5, what="Flower sees a task")


@pytest.mark.slow
def test_deliveries_have_readable_ids_and_show_their_key_and_the_real_arguments(flower: Flower) -> None:
    stage = flower.stage
    stage.client("billing")
    stage.client("mail", task="plain.send_invoice", call="kwargs")
    placed = stage.publish("billing.order.placed", {"total": 12.5, "do": "fail once"}, key="order-17")
    invoiced = stage.publish("mail.invoice", {"order_id": 17, "email": "ann@example.org"}, key="order-17")
    fleets.let_go_on(stage.redis_url, placed)
    stage.wait_until_done("billing", "mail")
    first, second, mail = f"billing:{placed}", f"billing:{placed}:a2", f"mail:{invoiced}"

    def ended() -> dict[str, dict[str, Any]]:
        tasks = {id: it for id, it in flower.tasks().items() if it["state"] in ("SUCCESS", "FAILURE")}
        return tasks if {first, second, mail} <= tasks.keys() else {}

    tasks = wait_until(ended, what="Flower has seen both attempts and the invoice")
    payload = '{"do": "fail once", "total": 12.5}'
    label = f"<billing.order.placed #{placed}, key order-17"
    assert (tasks[first]["state"], tasks[first]["args"]) == ("FAILURE", f"({label}> {payload},)")
    assert (tasks[second]["state"], tasks[second]["args"]) == ("SUCCESS", f"({label}, attempt 2> {payload},)")
    assert "told to fail once" in tasks[first]["exception"]
    assert tasks[mail]["args"] == f"<mail.invoice #{invoiced}, key order-17>"
    assert json.loads(tasks[mail]["kwargs"]) == {"order_id": 17, "email": "ann@example.org"}

    page = flower.page("/tasks")
    for text in (first, second, mail, "plain.handle", "plain.send_invoice", "key order-17", "ann@example.org"):
        assert text in page, "the list of tasks, as a browser shows it"
    page = flower.page(f"/task/{second}")
    assert f"{label}, attempt 2> {payload}" in page, "the page of one task"


def test_a_pump_is_a_row_for_what_it_handed_over_and_its_callbacks_are_none(flower: Flower) -> None:
    stage = flower.stage
    stage.client("quiet")

    def pump_rows() -> list[dict[str, Any]]:
        return [it for it in flower.tasks().values() if it["name"] == "bridge.pump"]

    def pumps() -> list[str]:
        return [it["result"] for it in pump_rows()]

    def ticks() -> int:
        return int(stage.ask("SELECT n_tup_upd FROM pg_stat_user_tables WHERE relid = 'fq.turns'::regclass"))

    stage.publish("quiet.happened")
    stage.wait_until_done("quiet")
    wait_until(pumps, what="the tick that handed it over has ended, and is a row")
    before, rows = ticks(), len(pumps())
    wait_until(lambda: ticks() > before + 6, what="more ticks have come and gone")
    assert len(pumps()) <= rows + 1, "at most the one that handed over the last event"
    assert all(re.fullmatch(r"\{'sent': [1-9]\d*, 'looked': \d+, 'troubled': 0\}", result) for result in pumps())
    names = {it["name"] for it in flower.tasks().values() if it["name"]}  # of some Flower has not heard the beginning
    assert names <= {"plain.handle", "plain.send_invoice", "bridge.pump"}
    assert all(re.fullmatch(r"<handed over: [1-9]\d*>", it["args"]) for it in pump_rows())
    if os.environ.get("BRIDGE_TEST_PICTURE"):  # the one in the docs
        flower.page("/tasks", picture=PICTURE)
