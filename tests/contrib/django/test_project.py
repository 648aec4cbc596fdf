"""A Django project with the bridge in it: its migrations, its database, its checks, its commands."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from typing import Any

import psycopg
import pytest
from celery import Celery

import bridge
from bridge.app import bridge_of
from bridge.errors import ConfigurationError
from bridge.settings.database import found_database_url
from bridge.store.migrate import _revisions
from tests.contrib.django.conftest import app, database
from tests.support.databases import Databases

Set = Callable[..., None]


def called(*arguments: str) -> str:
    from django.core.management import call_command

    out = io.StringIO()
    call_command(*arguments, stdout=out)
    return out.getvalue()


def complaints(id: str = "") -> list[str]:
    from django.core import checks

    found = checks.run_checks(tags=["event_bridge"], include_deployment_checks=True)
    return [str(each) for each in found if not id or each.id == f"event_bridge.{id}"]


def test_migrate_made_the_schema_and_the_bridge_finds_it_in_databases(project: str) -> None:
    operator = bridge.Operator(app)
    operator.register("found", task="shop.found")
    with psycopg.connect(project) as eyes:
        assert eyes.execute("SELECT id FROM fq.clients WHERE id = 'found'").fetchall() == [("found",)]


def test_the_bridge_follows_when_tests_put_another_database_in_the_place_of_the_real_one(
    project: str, _databases: Databases
) -> None:
    from django.db import connections

    settings, before = connections["default"].settings_dict, bridge_of(app).store
    real = settings["NAME"]
    with _databases.clone() as url:
        settings["NAME"] = database(url)["NAME"]
        assert bridge.Operator(app).status() == []
        bridge_of(app).store.close()
        settings["NAME"] = real
    assert bridge_of(app).store is not before
    assert psycopg.conninfo.conninfo_to_dict(found_database_url())["dbname"] == real


def test_models_and_migrations_say_the_same(project: str) -> None:
    assert "No changes" in called("makemigrations", "event_bridge", "--check", "--dry-run")


def test_every_revision_of_the_schema_has_a_django_migration(project: str) -> None:
    from django.db.migrations.loader import MigrationLoader

    from bridge.contrib.django.operations import MigrateBridge

    found = MigrationLoader(None).disk_migrations
    steps = [step for (label, _), one in found.items() if label == "event_bridge" for step in one.operations]
    assert {step.revision for step in steps if isinstance(step, MigrateBridge)} == set(_revisions())


def test_the_migration_says_what_it_does_and_has_no_way_back(project: str) -> None:
    from django.db.migrations.exceptions import IrreversibleError

    assert "CANNOT BE WRITTEN AS SQL" in called("sqlmigrate", "event_bridge", "0001")
    with pytest.raises(IrreversibleError, match=r"Operation .* is not reversible"):
        called("migrate", "event_bridge", "zero")


class Nowhere:
    """A router that keeps the bridge's tables out of every database."""

    def allow_migrate(self, alias: str, app_label: str, **_: Any) -> bool | None:
        return False if app_label == "event_bridge" else None


@pytest.mark.parametrize("how", ["of another alias", "that a router keeps it out of", "without migrations"])
def test_a_database_gets_the_schema_if_it_is_the_bridges(
    how: str, project: str, set_: Set, _databases: Databases
) -> None:
    from django.db import connections

    with _databases.empty() as url:
        connections.settings["other"] = {**connections["default"].settings_dict, **database(url)}
        if how != "of another alias":
            set_(BRIDGE_DATABASE="other")
        if how == "that a router keeps it out of":
            set_(DATABASE_ROUTERS=["tests.contrib.django.test_project.Nowhere"])
        if how == "without migrations":
            set_(MIGRATION_MODULES={"event_bridge": None})
        called("migrate", "--database=other", "--verbosity=0")
        with psycopg.connect(url) as eyes:
            ((made,),) = eyes.execute("SELECT to_regnamespace('fq') IS NOT NULL").fetchall()
        assert made is (how == "without migrations")
        connections["other"].close()
        del connections["other"], connections.settings["other"]


def test_a_database_of_djangos_is_read_as_libpq_takes_it() -> None:
    from bridge.contrib.django.database import address_of

    found = address_of(
        {
            "NAME": "shop's db",
            "USER": "eve",
            "PASSWORD": r"p w\d'",
            "HOST": "/run/postgresql",
            "PORT": 5433,
            "OPTIONS": {
                "sslmode": "require",
                "assume_role": "the owner",
                "options": "-c work_mem=1MB",
                "pool": True,
                "isolation_level": 3,
                "server_side_binding": True,
            },
        }
    )
    assert psycopg.conninfo.conninfo_to_dict(found) == {
        "dbname": "shop's db",
        "user": "eve",
        "password": r"p w\d'",
        "host": "/run/postgresql",
        "port": "5433",
        "sslmode": "require",
        "options": r"-c work_mem=1MB -c role=the\ owner",
    }


def test_the_bridge_acts_in_the_role_that_django_assumes(project: str) -> None:
    from bridge.contrib.django.database import address_of

    with psycopg.connect(address_of({**database(project), "OPTIONS": {"assume_role": "pg_monitor"}})) as connection:
        assert connection.execute("SELECT current_user").fetchone() == ("pg_monitor",)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"BRIDGE_DATABASE": "log"}, r"DATABASES\['log'\] does not exist, and the log is in Postgres"),
        ({"BRIDGE_DATABASE": "lite"}, r"DATABASES\['lite'\] is sqlite"),
        ({"BRIDGE_DATABASE": None}, "no database is set"),
    ],
)
def test_a_database_that_holds_no_log_is_named(settings: dict[str, Any], said: str, project: str, set_: Set) -> None:
    from django.db import connections

    connections.settings["lite"] = {
        **connections["default"].settings_dict,
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": ":memory:",
    }
    set_(**settings)
    with pytest.raises(ConfigurationError, match=said):
        bridge_of(app).settings.need_database_url()
    assert len(complaints("E008")) == 1
    del connections.settings["lite"]


def test_a_project_that_is_in_order_hears_nothing(project: str) -> None:
    assert complaints() == []


@pytest.mark.parametrize(
    ("id", "settings", "said"),
    [
        ("E001", {"BRIDGE_DRIVER": "psycopg3"}, "it is one of 'psycopg2', 'psycopg'"),
        ("E002", {"BRIDGE_DRIVER": "psycopg2"}, "first into INSTALLED_APPS"),
        ("E003", {"BRIDGE_DRIVER": None}, "both psycopg2 and psycopg 3 are installed"),
        ("E004", {"BRIDGE_APP": "no.such:app"}, "no Celery app is found"),
        ("E004", {"BRIDGE_APP": None}, "no Celery app is found"),
        ("E006", {"BRIDGE_QUEUE": "b"}, "write CELERY_BRIDGE_QUEUE"),
        ("E007", {"CELERY_BRIDGE_QUEUE": "b"}, 'namespace="CELERY"'),
        ("W002", {"CELERY_BRIDGE_QUEU": "b"}, "did you mean CELERY_BRIDGE_QUEUE?"),
    ],
)
def test_a_mistake_in_the_settings_is_named_with_the_way_out(
    id: str, settings: dict[str, Any], said: str, project: str, set_: Set
) -> None:
    if id == "E004" and not settings["BRIDGE_APP"]:
        settings = {**settings, "SETTINGS_MODULE": "no_such.settings"}
    set_(**settings)
    (complaint,) = complaints(id)
    assert said in complaint


@pytest.mark.parametrize(
    ("id", "configuration", "said"),
    [
        ("W001", {"bridge_secret": "geheim"}, "can be guessed"),
        ("W003", {"bridge_database_url": "postgresql://db/other"}, "names database 'other'"),
        ("W004", {"broker_url": None}, "set CELERY_BROKER_URL"),
        ("E005", {"bridge_poll_seconds": "often"}, "bridge_poll_seconds is 'often'"),
        ("E008", {"bridge_database_url": "mysql://db/shop"}, "names mysql"),
    ],
)
def test_a_mistake_in_the_app_is_named_with_the_way_out(
    id: str, configuration: dict[str, Any], said: str, project: str, set_: Set
) -> None:
    wrong = Celery(
        "wrong", broker="redis://127.0.0.1:1/0" if "broker_url" not in configuration else None, set_as_current=False
    )
    bridge.install(wrong)
    wrong.conf.update(configuration)
    set_(BRIDGE_APP=wrong)
    (complaint,) = complaints(id)
    assert said in complaint


def test_an_app_without_the_bridge_in_it_is_named(project: str, set_: Set) -> None:
    set_(BRIDGE_APP=Celery("plain", broker="redis://127.0.0.1:1/0", set_as_current=False))
    (complaint,) = complaints()
    assert "call bridge.install(app)" in complaint


def test_manage_py_bridge_runs_the_commands_of_eventbridge(project: str, capsys: pytest.CaptureFixture[str]) -> None:
    from django.core.management import CommandError, execute_from_command_line

    called("bridge", "register", "billing", "--task", "shop.bill")
    assert [row["client"] for row in json.loads(called("bridge", "status", "--json")) if row["client"] == "billing"]
    with pytest.raises(CommandError, match=r"`manage.py bridge clients` lists them") as failed:
        called("bridge", "pause", "nobody")
    assert failed.value.returncode == 2
    with pytest.raises(SystemExit) as ended:
        execute_from_command_line(["manage.py", "bridge", "--pythonpath", ".", "pause", "nobody"])
    assert ended.value.code == 2 and "nobody" in capsys.readouterr().err
    with pytest.raises(SystemExit) as ended:
        execute_from_command_line(["manage.py", "bridge", "--no-color", "explain", "billing"])
    assert ended.value.code == 0 and "caught up" in capsys.readouterr().out
    execute_from_command_line(["manage.py", "help", "bridge"])
    assert "redrive" in capsys.readouterr().out


def test_a_variable_that_names_another_database_than_django_s_is_warned_of(
    project: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from bridge.contrib.django.database import overruled

    monkeypatch.delenv("BRIDGE_DATABASE_URL", raising=False)
    assert overruled() == ""
    monkeypatch.setenv("BRIDGE_DATABASE_URL", project)
    assert overruled() == "", "it is the same one"
    monkeypatch.setenv("BRIDGE_DATABASE_URL", "postgresql+psycopg2://u:s3cr3t@db.example/other")
    said = overruled()
    assert "wins over DATABASES['default'], and names another host" in said and "dbname" in said
    assert "s3cr3t" not in said
