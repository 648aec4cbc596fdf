"""Every way of naming a database that libpq has leads to it, for the migrations too."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from bridge.store import Store
from bridge.store.horizon import advance_horizon
from bridge.store.migrate import check_schema, migrate


def two_hosts(url: str) -> str:
    """The first of them refuses: nobody listens on port 1."""
    parts = urlsplit(url)
    login, _, place = parts.netloc.rpartition("@")
    return f"postgresql://{login}@127.0.0.1:1,{place}{parts.path}?target_session_attrs=read-write"


def made_of(parts: Mapping[str, Any]) -> str:
    return make_conninfo(**{name: str(value) for name, value in parts.items()})


def keywords(url: str) -> str:
    return made_of(conninfo_to_dict(url))


def keywords_with_two_hosts(url: str) -> str:
    parts = conninfo_to_dict(url)
    return made_of(parts | {"host": f"127.0.0.1,{parts['host']}", "port": f"1,{parts.get('port') or 5432}"})


def with_a_driver(url: str) -> str:
    return f"postgresql+psycopg2{url.removeprefix('postgresql')}"


def with_options(url: str) -> str:
    return f"{url}?sslmode=prefer&options=-c%20geqo%3Doff"


@pytest.mark.parametrize("way", [two_hosts, keywords, keywords_with_two_hosts, with_a_driver, with_options])
def test_g10_a_database_is_migrated_and_used_by_any_address(empty_database: str, way: Callable[[str], str]) -> None:
    url = way(empty_database)
    assert migrate(url)
    store = Store(url)
    check_schema(store.engine)
    assert advance_horizon(store) == -1 or advance_horizon(store) == 0
    store.close()


def test_g10_a_service_file_and_a_password_file_are_read(
    empty_database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    parts = conninfo_to_dict(empty_database)
    password = parts.pop("password", None)
    (tmp_path / "services").write_text("[shop]\n" + "".join(f"{name}={value}\n" for name, value in parts.items()))
    passwords = tmp_path / "passwords"
    passwords.write_text(f"*:*:*:*:{password or 'not needed'}\n")
    passwords.chmod(0o600)
    monkeypatch.setenv("PGSERVICEFILE", str(tmp_path / "services"))
    assert migrate(f"service=shop passfile={passwords}")
