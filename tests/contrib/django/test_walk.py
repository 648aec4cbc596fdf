"""A Django shop's first hour: migrate, register, publish in `atomic`, break the handler, redrive from the admin."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conftest import Connect, StartWorker
from tests.contrib.django.projects import Project
from tests.support.waiting import wait_until

GROUPS = "from django.contrib.auth.models import Group, User"
REDRIVE = f"""{GROUPS}
from django.test import Client
from django.test.utils import setup_test_environment
setup_test_environment()
root = User.objects.create_superuser("root")
browser = Client()
browser.force_login(root)
(parked,) = browser.get("/admin/event_bridge/parkedevent/").context["cl"].result_list
assert parked.attempts == 1
chosen = {{"action": "redrive_selected", "_selected_action": parked.id}}
asked = browser.post("/admin/event_bridge/parkedevent/", chosen)
answer = {{**chosen, "confirmed": "yes", "seen": asked.context["seen"]}}
said = browser.post("/admin/event_bridge/parkedevent/", answer, follow=True)
print([str(message) for message in said.context["messages"]])
"""


@pytest.mark.slow
def test_a_django_shop_migrates_publishes_breaks_its_handler_and_redrives_from_the_admin(
    tmp_path: Path, empty_database: str, redis_url: str, worker: StartWorker, connect: Connect
) -> None:
    shop = Project(tmp_path / "shop", empty_database, broker=redis_url, ALLOWED_HOSTS=["testserver"])
    assert "no issues" in shop.manage("check")
    assert "event_bridge.0001_the_log... OK" in shop.manage("migrate")
    assert "client billing is registered" in shop.manage("bridge", "register")
    env = {name: shop.env[name] for name in ("PYTHONPATH", "DJANGO_SETTINGS_MODULE")} | {"CELERY_BROKER_URL": redis_url}
    worker("shop", directory=shop.directory, env=env, queues=["bridge"], beat=True, name="bridge")
    worker("shop", directory=shop.directory, env=env, name="fleet")

    eyes = connect(empty_database)

    def has_invoice(number: int) -> bool:
        named = f"invoice of order-{number}"
        return eyes.execute("SELECT 1 FROM auth_group WHERE name = %s", [named]).fetchone() is not None

    shop.python(f"{GROUPS}\nGroup.objects.create(name='invoice of order-2')")
    shop.python("from shop.orders import place_order; place_order(1); place_order(2)")
    wait_until(lambda: has_invoice(1), what="the handler has run")
    wait_until(lambda: eyes.execute("SELECT 1 FROM fq.parked").fetchone(), what="the second event is parked")
    shop.python(f"{GROUPS}\nGroup.objects.get(name='invoice of order-2').delete()")
    assert "1 event of client billing redriven" in shop.python(REDRIVE)
    wait_until(lambda: has_invoice(2), what="the handler has run again")
    wait_until(lambda: not eyes.execute("SELECT 1 FROM fq.deliveries").fetchone(), what="its outcome is settled")
    assert "no events are parked" in shop.manage("bridge", "parked")
    assert "caught up" in shop.manage("bridge", "explain", "billing")
