"""G1: Postgres moves to another version, and so to another system identifier, while the bridge runs and waits.

`pg_upgrade` takes the sequences along, and a dump of a log at rest does too: nothing was lost, and nobody has to decide
anything.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

import psycopg
import pytest

from bridge.demo.servers import postgres_versions
from bridge.demo.servers.postgres_server import _runnable_by, _unprivileged_user
from bridge.store.migrate import migrate
from tests.conftest import OLDEST_POSTGRES, WORKERS
from tests.support import servers
from tests.support.clusters import Clusters, clusters, free_port
from tests.support.fleets import let_go_on, offsets
from tests.support.stage import Stage
from tests.support.waiting import wait_until
from tests.whole.test_backup_page import blocks

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

SERVER = "SELECT system_identifier, current_setting('server_version_num')::int / 10000 FROM pg_control_system()"
TROUBLE = "SELECT trouble FROM fq.mark_troubles"


class Two(NamedTuple):
    """A place for clusters, and the programs of the oldest and the newest Postgres at hand."""

    servers: Clusters
    old: Path
    new: Path


@pytest.fixture
def two() -> Iterator[Two]:
    found = {version: place for version, place in postgres_versions().items() if version >= OLDEST_POSTGRES}
    if len(found) < 2:
        servers.missing("a second version of PostgreSQL is not installed: install your system's package postgresql")
    old, *_, new = found.values()
    with clusters() as it:
        yield Two(it, old, _runnable_by(_unprivileged_user(), new, it.home))


@pytest.fixture
def stage(request: pytest.FixtureRequest, two: Two, redis_url: str, tmp_path: Path) -> Iterator[Stage]:
    """A bridge and a fleet at work on the old server."""
    data, port = two.servers.make("old"), free_port()
    with (data / "postgresql.conf").open("a") as file:
        file.write(f"port = {port}\n")
    url = two.servers.start(data, port)
    migrate(url)
    with ExitStack() as stack:
        stage = Stage(url, redis_url, tmp_path)
        stack.callback(stage.close)
        request.node.stash[WORKERS] = stage.workers
        stage.bridge(wait=False)
        stage.fleet()
        stage.client("loop")
        yield stage


@pytest.mark.parametrize("mode", ["--link", "--copy"])
def test_g1_the_bridge_goes_on_by_itself_after_pg_upgrade_as_the_page_says(two: Two, stage: Stage, mode: str) -> None:
    published = stage.publish_many("loop.event", 20)
    stage.wait_until_done("loop")
    waiting = [stage.publish("loop.event", {"do": "wait"}, key=f"k{n}") for n in (1, 2)]
    behind = [stage.publish("loop.event", key=f"k{n}") for n in (1, 2)]
    wait_until(lambda: set(waiting) <= set(offsets(stage.handled())), timeout=60, what="two are being handled")
    before = stage.eyes.execute(SERVER).fetchone()
    stage.eyes.close()
    places = {
        "PGDATA": two.servers.home / "old",
        "NEW_PGDATA": two.servers.home / "new",
        "OLD_PROGRAMS": two.old,
        "NEW_PROGRAMS": two.new,
        "BACKUP": two.servers.home,
        "DATABASE": stage.database_url,
        "BRIDGE_DATABASE_URL": stage.database_url,
        "CELERY_BROKER_URL": stage.broker_url,
        "PATH": f"{Path(sys.executable).parent}:{two.servers.path_of(two.new)}",
    }
    commands = "\n".join(blocks("An upgrade with pg_upgrade"))
    assert "--link" in commands
    said = two.servers.run(
        "bash", "-euo", "pipefail", "-c", commands.replace("--link", mode), **{k: str(v) for k, v in places.items()}
    )
    assert "Upgrade Complete" in said
    stage.eyes = psycopg.connect(stage.database_url, autocommit=True)
    after = stage.eyes.execute(SERVER).fetchone()
    assert before is not None and after is not None
    assert after[0] != before[0] and after[1] > before[1], "another server of another version"
    let_go_on(stage.redis_url, *waiting)
    new = stage.publish_many("loop.event", 20)
    assert new[0] == behind[-1] + 1, "the sequence went along"
    stage.wait_until_done("loop")
    assert sorted(offsets(stage.handled())) == [*published, *waiting, *behind, *new], "each once"
    assert stage.ask("SELECT array_agg(action) FROM fq.journal WHERE client_id = '*'") == ["moved"]
    assert stage.ask("SELECT sum(losses) FROM fq.marks") == 0
    assert stage.ask(TROUBLE) is None
    if mode == "--copy":  # the old cluster is as it was, and that is a restore
        two.servers.run("pg_ctl", "-D", str(places["NEW_PGDATA"]), "-w", "-m", "fast", "stop")
        two.servers.start(two.servers.home / "old", int(stage.database_url.rpartition(":")[2].partition("/")[0]))
        stage.eyes.close()
        stage.eyes = psycopg.connect(stage.database_url, autocommit=True)
        wait_until(lambda: "set back" in (stage.ask(TROUBLE) or ""), timeout=60, what="the bridge stops")


def test_g1_a_dump_of_a_log_at_rest_goes_on_by_itself_on_another_server(two: Two, stage: Stage) -> None:
    published = stage.publish_many("loop.event", 20)
    stage.wait_until_done("loop")
    for worker in stage.workers:
        worker.stop()
    stage.eyes.close()
    home = two.servers.home
    new = two.servers.make("new")
    url = two.servers.start(new, free_port())
    two.servers.run("pg_dump", "--format=custom", f"--file={home}/bridge.dump", stage.database_url)
    two.servers.run("pg_restore", "--exit-on-error", f"--dbname={url}", f"{home}/bridge.dump")
    stage.eyes, stage.database_url = psycopg.connect(url, autocommit=True), url
    published += stage.publish_many("loop.event", 20)
    stage.bridge("bridge again", wait=False)
    stage.fleet("fleet again")
    stage.wait_until_done("loop")
    assert sorted(offsets(stage.handled())) == published, "each once"
    assert stage.ask("SELECT array_agg(action) FROM fq.journal WHERE client_id = '*'") == ["moved"]
    assert stage.ask(TROUBLE) is None
