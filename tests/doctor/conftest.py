"""One set-up in good order, which all tests here share and put right again."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from bridge.demo.servers import run_postgres
from bridge.store.migrate import migrate
from tests.doctor.clinic import Clinic
from tests.support import servers


@pytest.fixture(scope="session")
def durable_postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Return the URL of a Postgres that survives a crash of the machine, as that of all other tests would not."""
    servers.need_postgres_programs()
    with run_postgres(tmp_path_factory.mktemp("durable"), settings={"fsync": "on", "full_page_writes": "on"}) as url:
        migrate(url, roles=True)
        yield url


@pytest.fixture(scope="session")
def clinic(durable_postgres: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Clinic]:
    """Return a set-up in good order."""
    directory: Path = tmp_path_factory.mktemp("clinic")
    clinic = Clinic(durable_postgres, directory)
    try:
        clinic.open()
        yield clinic
    finally:
        clinic.close()
