"""The project that docs/django.md makes, in processes of its own: its checks, its tests, its driver."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.contrib.django.projects import Project
from tests.support.databases import Databases

WHICH = (
    "from django.db import connection; connection.ensure_connection(); print(type(connection.connection).__module__)"
)


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory, _databases: Databases) -> Iterator[Project]:
    with _databases.empty() as url:
        yield Project(tmp_path_factory.mktemp("shop"), url)


def test_eventbridge_and_celery_bridge_find_the_database_in_databases(project: Project) -> None:
    assert "is up to date: applied 0001" in project.run("-m", "bridge", "-A", "shop", "migrate")
    assert "was up to date" in project.run("-m", "celery", "-A", "shop", "bridge", "migrate")


@pytest.mark.slow
def test_it_is_in_order_and_its_tests_pass_under_djangos_runner_on_psycopg2(project: Project) -> None:
    said = project.manage("test", "shop")
    assert "no issues" in said and "Ran 3 tests" in said and "OK" in said
    assert project.python(WHICH).strip() == "psycopg2.extensions"


@pytest.mark.slow
def test_its_tests_pass_under_pytest_django_on_psycopg_3_and_without_migrations(project: Project) -> None:
    with (project.directory / "shop/settings.py").open("a") as file:
        file.write('BRIDGE_DRIVER = "psycopg"\n')
    assert project.python(WHICH).strip() == "psycopg"
    assert "4 passed" in project.pytest("--nomigrations", "shop/tests.py", "test_orders.py")
