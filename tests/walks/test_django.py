"""Django, psycopg2 and RabbitMQ: what the page on Django says, from the wheel on, with a handler that breaks."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.support.following import Command, blocks
from tests.support.waiting import wait_until
from tests.walks.fresh import machine

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

ADDRESS = """
DATABASES = {{"default": {{"ENGINE": "django.db.backends.postgresql", "NAME": {name!r}, "USER": {user!r},
                           "HOST": {host!r}, "PORT": {port!r}}}}}
CELERY_BROKER_URL = {broker!r}
"""
PARKED = """billing  event 1  order.placed  key=order-17
  failed 1 time, 1 attempt …
  KeyError: 'order' (on shop@… after … s)"""
DRIVER = "from django.db import connection as c; c.ensure_connection(); print(type(c.connection).__module__)"


def test_a_django_shop_on_psycopg2_and_rabbitmq_mends_its_handler_and_redrives(
    tmp_path: Path, empty_database: str, amqp_url: str
) -> None:
    with machine(tmp_path, empty_database, amqp_url) as it:
        it.install("flower", "django", "psycopg2-binary")
        it.type("django-admin startproject shop .")
        project = tmp_path / "project"
        settings = (project / "shop" / "settings.py").read_text()
        for block in blocks("django.md"):
            if block.file in (
                "shop/settings.py",
                "shop/celery.py",
                "shop/__init__.py",
                "shop/tasks.py",
                "shop/orders.py",
            ):
                it.write(block.file, settings + block.text if block.file.endswith("settings.py") else block.text)
        where = urlsplit(empty_database)
        with (project / "shop" / "settings.py").open("a") as file:
            file.write(
                ADDRESS.format(
                    name=where.path[1:], user=where.username, host=where.hostname, port=where.port, broker=amqp_url
                )
            )
        it.env["DJANGO_SETTINGS_MODULE"] = "shop.settings"
        assert "no issues" in it.type("python manage.py check")
        assert it.type(f"python manage.py shell -v 0 -c '{DRIVER}'").split()[-1] == "psycopg2.extensions"
        assert "event_bridge.0001_the_log... OK" in it.type("python manage.py migrate")
        assert "client billing is registered" in it.type("python manage.py bridge register")
        it.run_on("celery -A shop worker -B -Q bridge -n bridge@%h")
        it.run_on("celery -A shop worker -E -n shop@%h")
        it.run_on("celery -A shop flower")
        it.wait_for_flower()
        tasks = project / "shop" / "tasks.py"
        good = tasks.read_text()
        assert good.count("event['key']") == 1
        tasks.write_text(good.replace("event['key']", "event['order']"))
        it.run_on("celery -A shop worker -E -n shop@%h")

        place = "from shop.orders import place_order; place_order({})"
        it.type(f"python manage.py shell -v 0 -c '{place.format(17)}'")
        it.see(
            Command(
                line="python manage.py bridge parked billing",
                output=PARKED,
            )
        )
        tasks.write_text(good)
        it.run_on("celery -A shop worker -E -n shop@%h")
        assert "1 parked event will be handed to client billing again" in it.type(
            "python manage.py bridge redrive billing --all"
        )
        named = "SELECT name FROM auth_group ORDER BY name"
        wait_until(lambda: ("invoice of order-17",) in it.sql(named), timeout=60, what="the order is billed")
        it.see(Command(line="python manage.py bridge parked", output="no events are parked"))
        wait_until(
            lambda: it.in_flower("billing:1").get("state") == "FAILURE",
            timeout=60,
            poll_seconds=0.5,
            what="Flower shows the attempt that failed",
        )
