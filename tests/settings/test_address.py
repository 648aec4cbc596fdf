"""The address of a database: what libpq takes is taken, and what it does not take is refused without a secret."""

from __future__ import annotations

import pytest
from celery import Celery
from hypothesis import given, settings
from hypothesis import strategies as st
from psycopg.conninfo import make_conninfo

from bridge.errors import ConfigurationError
from bridge.settings.address import read_address
from bridge.store import Store

SECRET = "s3cr3t"

TAKEN = [
    ("postgresql://u:p%40@h:1/db", {"user": "u", "password": "p@", "host": "h", "port": "1", "dbname": "db"}),
    ("postgres://h", {"host": "h"}),
    ("postgresql+psycopg2://u@[::1]:5/db", {"user": "u", "host": "::1", "port": "5", "dbname": "db"}),
    ("POSTGRESQL://h/db", {"host": "h", "dbname": "db"}),
    ("postgresql://", {}),
    (
        "postgresql://u@h1:1,h2:2/db?target_session_attrs=read-write",
        {"user": "u", "host": "h1,h2", "port": "1,2", "dbname": "db", "target_session_attrs": "read-write"},
    ),
    (
        "postgresql:///db?host=/run/pg&sslmode=require&passfile=/x",
        {"dbname": "db", "host": "/run/pg", "sslmode": "require", "passfile": "/x"},
    ),
    ("postgresql://%2Frun%2Fpg/db", {"host": "/run/pg", "dbname": "db"}),
    ("host=/run/pg dbname=shop password='two words'", {"host": "/run/pg", "dbname": "shop", "password": "two words"}),
    ("service=shop", {"service": "shop"}),
    ("hostaddr=10.0.0.1,10.0.0.2 dbname=shop", {"hostaddr": "10.0.0.1,10.0.0.2", "dbname": "shop"}),
]
REFUSED = [
    ("", "is empty"),
    ("  ", "is empty"),
    (f"mysql://u:{SECRET}@h/db", "names mysql"),
    ("sqlite:///x.db", "names sqlite"),
    (f"//{SECRET}", "is not a URL"),
    (f"host {SECRET}", "libpq can't read it"),
    (f"postgresql://u:{SECRET}%zz@h/db", "libpq can't read it"),
    (f"postgresql://u:{SECRET}@h/db?sslmoed=require", "libpq knows no option sslmoed"),
    ("host=h porrt=1", "libpq knows no option porrt"),
    (f"postgresql://u:{SECRET}/x@h/db", "in a user or password write / as %2F"),
    (f"postgresql://u:{SECRET}@x@h/db", "cut in a wrong place, as by a password: in a user or password write"),
    (f"postgresql://u:5/{SECRET}@h/db", "write / as %2F, @ as %40"),
    ("postgresql://h:99999/db", "no number from 1 to 65535"),
    ("postgresql://[::1/db", "libpq can't read it"),
]


@pytest.mark.parametrize(("text", "parts"), TAKEN)
def test_g10_what_libpq_takes_is_taken(text: str, parts: dict[str, str]) -> None:
    found = read_address(text)
    assert {**found.plain, **found.options} == parts
    Store(text).engine.dispose()


@pytest.mark.parametrize(("text", "why"), REFUSED)
def test_g10_what_can_not_be_read_is_refused_in_one_line_without_its_secret(text: str, why: str) -> None:
    with pytest.raises(ConfigurationError, match="bridge_database_url") as refused:
        Store(text)
    said = str(refused.value)
    assert why in said
    assert SECRET not in said
    assert "\n" not in said


@settings(deadline=None, max_examples=100)
@given(st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=30))
def test_g10_any_password_arrives_as_it_is_and_is_never_shown(password: str) -> None:
    text = make_conninfo(host="h", user="u", dbname="db", password=password)
    assert read_address(text).plain["password"] == password
    engine = Store(text).engine
    assert engine.url.password == password
    assert engine.url.render_as_string() == "postgresql+psycopg://u:***@h/db"


@settings(deadline=None, max_examples=200)
@given(
    st.text(st.characters(codec="utf-8"), max_size=40).map(lambda text: f"postgresql://{text}") | st.text(max_size=20)
)
def test_g10_any_text_is_an_address_or_a_configuration_error(text: str) -> None:
    try:
        read_address(text)
    except ConfigurationError as error:
        assert "bridge_database_url" in str(error)


def test_g10_a_migration_refuses_an_address_as_every_command_does() -> None:
    from bridge.store.migrate import migrate

    with Celery(set_as_current=False) as app:
        app.conf.bridge_database_url = f"mysql://u:{SECRET}@h/db"
        with pytest.raises(ConfigurationError, match="names mysql"):
            migrate(app)
