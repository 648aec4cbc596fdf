"""`docs/celery-settings.md` says of every setting of the installed Celery, and of every transport option, what it does.

Names of other versions may stand there, too.
"""

from __future__ import annotations

import inspect
import re

import amqp
import pytest
from celery.app.defaults import NAMESPACES, flatten
from kombu import connection
from kombu.transport import redis, virtual

from bridge.broker import own_task
from bridge.worker import start_check
from tests.support.stage import REPOSITORY

PAGE = (REPOSITORY / "docs" / "celery-settings.md").read_text()
VERDICTS = {"honoured", "harmless", "refused"}


def rows(heading: str) -> dict[str, tuple[str, str]]:
    """Return the tables under the headings that match: by its name, what becomes of a setting, and why."""
    found: dict[str, tuple[str, str]] = {}
    for title, text in re.findall(r"^## (.+?)\n(.*?)(?=^## |\Z)", PAGE, re.DOTALL | re.MULTILINE):
        if re.fullmatch(heading, title):
            for name, verdict, why in re.findall(r"^\| `(\w+)` \| (\w+) \| (.+) \|$", text, re.MULTILINE):
                assert name not in found, f"{name} stands there twice"
                found[name] = (verdict, why)
    return found


SETTINGS = r"(?!Transport options|Pools).*"


def asked_for(module: object) -> set[str]:
    """Return the transport options that a module of kombu asks for by their names."""
    return set(re.findall(r"transport_op(?:tion)?s\.get\(\s*'(\w+)'", inspect.getsource(module)))  # type: ignore[arg-type]


def test_g10_every_setting_of_celery_has_a_row() -> None:
    installed = {name for name, _ in flatten(NAMESPACES)}
    assert installed - rows(SETTINGS).keys() == set()


def test_g10_every_option_of_the_transports_has_a_row() -> None:
    on_redis = {*redis.SentinelChannel.from_transport_options, *asked_for(redis), *asked_for(virtual.base)}
    everywhere = set(re.findall(r"'(\w+)' in transport_opts", inspect.getsource(connection)))
    on_rabbitmq = inspect.signature(amqp.Connection.__init__).parameters.keys() - {"self", "kwargs"}
    assert on_redis - rows("Transport options of Redis").keys() == set()
    assert everywhere - rows("Transport options everywhere").keys() == set() != everywhere
    assert on_rabbitmq - rows("Transport options of RabbitMQ").keys() == set()


@pytest.mark.parametrize("heading", [SETTINGS, *(f"Transport options {it}" for it in ("of Redis", "everywhere"))])
def test_g10_every_row_says_what_becomes_of_the_setting_and_why(heading: str) -> None:
    for name, (verdict, why) in rows(heading).items():
        assert verdict in VERDICTS and why.strip(), name


def test_g10_what_the_page_calls_refused_is_refused() -> None:
    refused = {name for name, (verdict, _) in rows(SETTINGS).items() if verdict == "refused"}
    named = {name for name in rows(SETTINGS) if re.search(rf"\b{name}\b", inspect.getsource(start_check.refusals))}
    assert {name for name in refused if not name.startswith("security_")} == named


def test_g10_what_the_page_calls_pinned_is_pinned() -> None:
    said = {name for name, (_, why) in rows(SETTINGS).items() if why.startswith("pinned")}
    assert {name.removeprefix("task_").removeprefix("default_") for name in said} <= set(own_task.PINNED)
