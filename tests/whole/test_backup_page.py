"""The page on backup and restore, followed word by word: its commands run, and the bridge goes on (G1)."""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import psycopg
import pytest

import bridge as events
from bridge.model import Position, Registration
from bridge.operate.audit import audit
from bridge.operate.replay import replay
from bridge.store import Store
from bridge.store.clients import register
from bridge.store.holds import save_hold
from bridge.store.migrate import migrate
from bridge.store.scheduled import append_due
from tests.support.clusters import Clusters, clusters, free_port
from tests.support.world import World, offsets

pytestmark = pytest.mark.slow

PAGE = Path(__file__).parents[2] / "docs" / "backup-and-restore.md"
LOGICAL = {"wal_level": "logical"}


def blocks(heading: str) -> list[str]:
    """The commands below a heading of the page, block by block."""
    section = PAGE.read_text().split(f"\n## {heading}\n")[1].split("\n## ")[0]
    return re.findall(r"^```bash\n(.*?)^```$", section, re.DOTALL | re.MULTILINE)


@pytest.fixture
def servers() -> Iterator[Clusters]:
    with clusters() as it:
        (it.home / "backup" / "wal").mkdir(parents=True)
        for path in (it.home / "backup", it.home / "backup" / "wal"):
            path.chmod(0o777)
        yield it


class Reader:
    """Follows the page with its variables set."""

    def __init__(self, servers: Clusters, redis_url: str, **places: object) -> None:
        self._servers = servers
        binaries = str(Path(sys.executable).parent)
        self.env = {
            "PATH": f"{binaries}:{servers.path}",
            "BACKUP": str(servers.home / "backup"),
            "CELERY_BROKER_URL": redis_url,
            **{name: str(value) for name, value in places.items()},
        }

    def follow(self, *commands: str, **env: str) -> str:
        """Run blocks of the page as one script."""
        return self._servers.run("bash", "-euo", "pipefail", "-c", "\n".join(commands), **self.env, **env)


def make_log(url: str) -> None:
    """A client that has finished three events, has the fourth open, and parked none."""
    migrate(url)
    store = Store(url)
    register(store, Registration(id="c", given={"task": "fleet.handle", "ordering": "none"}))
    with psycopg.connect(url, autocommit=True) as eyes:
        world = World(store, eyes)
        world.publish(None, None, None)
        assert events.publish(eyes, "order.created", {}, id="four") == 4
        world.succeed(*world.hand_over()[:3])
        for id in ("soon", "sooner"):
            events.publish(eyes, "order.late", {}, id=id, deliver_after=0.001)
        replay(store, "c", start=Position(offset=1), end=Position(offset=2), per_second=1, by="me")
        with store.transaction() as connection:
            save_hold(connection, "backup", offset=2, seconds=3600, by="me")
    store.close()


def goes_on(url: str, *, above: int) -> None:
    """See that the bridge goes on: what was open comes again, and a new event after it."""
    with psycopg.connect(url, autocommit=True) as eyes, World.at(url, eyes) as world:
        [new] = world.publish(None)
        assert new > above
        assert events.publish(eyes, "order.created", {}, id="four") == 4
        assert events.publish(eyes, "order.late", {}, id="last", deliver_after=0) is not None
        assert append_due(world.store, most=10).done == 3
        handed = world.hand_over()
        assert [it.topic for it in handed if it.offset > new] == ["order.late"] * 3
        assert 4 in offsets(handed) and new in offsets(handed) and 1 in offsets(handed), "one of each kind"
        assert {it.client.generation for it in handed} == {2}
        world.succeed(*handed, generation=2)
        world.eyes.execute("UPDATE fq.replays SET started_at = now() - interval '1 minute'")
        world.succeed(*world.hand_over(), generation=2)
        assert world.cursor() == new + 3
        assert append_due(world.store, most=10).done == 0
        assert audit(world.store, "c").contradictions == ()
        with pytest.raises(psycopg.Error, match='held by "backup"'):
            world.eyes.execute('DELETE FROM fq.events WHERE "offset" = 3')


def test_a_dump_is_restored_as_the_page_says(servers: Clusters, redis_url: str) -> None:
    old = servers.make("old")
    url = servers.start(old, free_port())
    make_log(url)
    restored = url.rpartition("/")[0] + "/restored"
    with psycopg.connect(url, autocommit=True) as eyes:
        eyes.execute("CREATE DATABASE restored")
    said = Reader(servers, redis_url, DATABASE=url, RESTORED=restored).follow(*blocks("With pg_dump"))
    assert "generation 2 would begin at offset 5" in said
    assert "generation 2 began at offset 5" in said
    goes_on(restored, above=4)


@pytest.mark.parametrize("only", ["", "--schema=fq"])
def test_schema_and_data_are_dumped_and_restored_one_after_the_other(
    servers: Clusters, redis_url: str, only: str
) -> None:
    url = servers.start(servers.make("old"), free_port())
    make_log(url)
    restored = url.rpartition("/")[0] + "/restored"
    with psycopg.connect(url, autocommit=True) as eyes:
        eyes.execute("CREATE DATABASE restored")
    Reader(servers, redis_url, DATABASE=url, RESTORED=restored).follow(
        f'pg_dump {only} --schema-only "$DATABASE" | psql -q -v ON_ERROR_STOP=1 "$RESTORED"',
        f'pg_dump {only} --data-only --disable-triggers "$DATABASE" | psql -q -v ON_ERROR_STOP=1 "$RESTORED"',
        'export BRIDGE_DATABASE_URL="$RESTORED"',
        "eventbridge resync --yes",
    )
    goes_on(restored, above=4)


def test_a_point_in_time_is_restored_as_the_page_says(servers: Clusters, redis_url: str) -> None:
    data, port = servers.make("data"), free_port()
    url = servers.start(data, port)
    with (data / "postgresql.conf").open("a") as file:
        file.write(f"port = {port}\n")
    make_log(url)
    before, after = blocks("To a point in time, with an archive of the WAL")
    reader = Reader(servers, redis_url, DATABASE=url, PGDATA=data)
    reader.follow(before)
    with psycopg.connect(url, autocommit=True) as eyes:
        assert World(Store(url), eyes).publish(None) == [5]
        time.sleep(0.01)
        target = datetime.now(UTC).isoformat()
        assert World(Store(url), eyes).publish(None, None) == [6, 7]
    said = reader.follow(after, TARGET=target)
    assert "generation 2 began at offset 5" in said
    with psycopg.connect(url) as eyes:
        assert eyes.execute('SELECT max("offset") FROM fq.events').fetchone() == (5,)
    goes_on(url, above=5)


def test_a_replica_is_promoted_as_the_page_says(servers: Clusters, redis_url: str) -> None:
    primary, replica, ports = servers.make("primary"), servers.home / "replica", (free_port(), free_port())
    url = servers.start(primary, ports[0])
    make_log(url)
    servers.run("pg_basebackup", "-d", url, "-D", str(replica), "-R", "-X", "stream", "--checkpoint=fast")
    servers.stop(primary, "immediate")
    restored = servers.start(replica, ports[1])
    reader = Reader(servers, redis_url, DATABASE=url, RESTORED=restored, REPLICA=replica)
    assert "generation 2 began at offset 5" in reader.follow(*blocks("A replica is promoted"))
    goes_on(restored, above=4)


def test_an_upgrade_by_logical_replication_goes_as_the_page_says(servers: Clusters, redis_url: str) -> None:
    url = servers.start(servers.make("old", **LOGICAL), free_port())
    restored = servers.start(servers.make("new", **LOGICAL), free_port())
    make_log(url)
    said = Reader(servers, redis_url, DATABASE=url, RESTORED=restored).follow(
        *blocks("An upgrade by logical replication")
    )
    assert "the sequence went from -1 to 4" in said
    goes_on(restored, above=4)
