"""What the admin pages do beside parked events: clients are paused, drained and resumed, scheduled events cancelled."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import psycopg
import pytest
from click.testing import CliRunner

import bridge
from bridge.command import bridge as command_line
from bridge.operate.operator import Operator
from bridge.store import Store
from tests.contrib.django.browsing import act, browser, choose, confirm, said
from tests.contrib.django.conftest import app
from tests.support.world import World

NESTED = "[" * 900 + "]" * 900


@pytest.fixture(scope="module")
def log(project: str) -> Iterator[World]:
    store = Store(project)
    with psycopg.connect(project, autocommit=True) as eyes:
        yield World(store, eyes)
    store.close()


@pytest.fixture
def client(log: World, request: pytest.FixtureRequest) -> str:
    return log.client(f"c{abs(hash(request.node.name))}", topics=[f"t{abs(hash(request.node.name))}"])


def schedule(log: World, **more: Any) -> bridge.Scheduled:
    with log.store.transaction() as connection:
        found = bridge.publish(connection, "order.late", {"n": 1}, deliver_after=timedelta(days=1), **more)
    assert isinstance(found, bridge.Scheduled)
    return found


def test_a_client_is_paused_with_a_reason_and_resumed(log: World, client: str) -> None:
    someone = browser("view_client", "pause_client", "resume_client")
    answer = act(someone, "pause_selected", client, page="client", reason="the bank\nis away")
    assert said(answer) == [f"client {client} is paused"]
    assert (log.row(client)["state"], log.row(client)["state_reason"]) == ("paused", "the bank is away")
    assert log.row(client)["state_by"] == "view_client-pause_client-resume_client (admin)"
    asked = choose(someone, "resume_selected", client, page="client")
    assert b"paused, because the bank is away" in asked.content and log.row(client)["state"] == "paused"
    assert said(confirm(someone, asked, page="client")) == [f"client {client} is active, it was paused"]


def test_a_client_drains_while_events_are_open(log: World, client: str) -> None:
    log.publish(None, topic=log.row(client)["topics"][0])
    log.hand_over(client)
    (told,) = said(act(browser(superuser=True), "drain_selected", client, page="client"))
    assert told == f"client {client} is draining: it is paused when its open events are finished"


def test_a_client_that_was_halted_meanwhile_is_not_resumed_by_somebody_who_has_not_seen_it(
    log: World, client: str
) -> None:
    someone = browser(superuser=True)
    Operator(app).pause(client)
    asked = choose(someone, "resume_selected", client, page="client")
    log.eyes.execute("UPDATE fq.clients SET state = 'halted', state_reason = 'broken' WHERE id = %s", [client])
    (why,) = said(confirm(someone, asked, page="client"))
    assert why == f"left alone, because it has changed since you were asked: {client}: halted, because broken"
    assert log.row(client)["state"] == "halted"


def test_a_plain_sql_reader_is_left_alone_with_a_reason_and_the_others_are_paused(log: World, client: str) -> None:
    log.eyes.execute("INSERT INTO fq.clients (id) VALUES ('reader') ON CONFLICT DO NOTHING")
    told = said(act(browser(superuser=True), "pause_selected", client, "reader", page="client"))
    assert f"client {client} is paused" in told
    assert any(line.startswith("not done for client reader: ") and "plain SQL reader" in line for line in told)


@pytest.mark.parametrize("has", [[], ["pause_client"], ["resume_client"]])
def test_each_verb_asks_for_its_own_permission(has: list[str], log: World, client: str) -> None:
    someone = browser("view_client", *has)
    listed = someone.get("/admin/event_bridge/client/").content
    for verb, permission in (("pause", "pause_client"), ("drain", "pause_client"), ("resume", "resume_client")):
        assert (f"{verb}_selected".encode() in listed) is (permission in has)
        if permission not in has:
            choose(someone, f"{verb}_selected", client, page="client", confirmed="yes", seen="{}")
    assert log.row(client)["state"] == "active"


def test_a_scheduled_event_is_listed_shown_and_cancelled(log: World) -> None:
    first, second = schedule(log, key="order-17", id="reminder-17"), schedule(log, id="reminder-18")
    someone = browser("view_scheduledevent", "cancel_scheduledevent")
    for search in ("order-17", "reminder-17", str(first.number)):
        listed = someone.get("/admin/event_bridge/scheduledevent/", {"q": search}).content
        assert b"reminder-17" in listed and b"{&quot;n&quot;: 1}" in listed
        assert f'value="{second.number}"'.encode() not in listed
    assert b"order.late" in someone.get(f"/admin/event_bridge/scheduledevent/{first.number}/change/").content
    asked = choose(someone, "cancel_selected", str(first.number), str(second.number), page="scheduledevent")
    Operator(app).cancel_scheduled(ids=["reminder-18"])
    told = said(confirm(someone, asked, page="scheduledevent"))
    assert told == ["1 scheduled event is not there any more", "1 scheduled event is cancelled"]
    assert log.eyes.execute("SELECT FROM fq.scheduled WHERE number = %s", [first.number]).fetchall() == []


def test_nobody_cancels_without_the_permission(log: World) -> None:
    number = schedule(log).number
    choose(browser("view_scheduledevent"), "cancel_selected", str(number), page="scheduledevent", confirmed="yes")
    assert len(log.eyes.execute("SELECT FROM fq.scheduled WHERE number = %s", [number]).fetchall()) == 1


def test_an_answer_without_a_token_of_the_form_is_refused(log: World, client: str) -> None:
    data = {"action": "pause_selected", "_selected_action": client, "confirmed": "yes"}
    with pytest.MonkeyPatch.context() as patch:
        from django.conf import settings

        patch.setattr(settings, "MIDDLEWARE", ["django.middleware.csrf.CsrfViewMiddleware", *settings.MIDDLEWARE])
        someone = browser(superuser=True, enforce_csrf_checks=True)
        assert someone.post("/admin/event_bridge/client/", data).status_code == 403
    assert log.row(client)["state"] == "active"


def test_as_many_rows_as_are_allowed_fit_into_the_form_that_asks(log: World, client: str) -> None:
    from bridge.contrib.django.acting import most_at_once

    log.eyes.execute(
        """
        INSERT INTO fq.parked (client_id, "offset", epoch, attempt, attempts, reason, first_at)
        SELECT %s, n, 1, 1, 1, 'for the form', now() FROM generate_series(1, 1001) n""",
        [client],
    )
    someone, most, page = browser(superuser=True), most_at_once(), f"parkedevent?client={client}"
    (refused,) = said(choose(someone, "discard_selected", f"{client}:1", select_across="1", page=page))
    assert refused.startswith(f"at most {most:,} at once: ")
    log.eyes.execute('DELETE FROM fq.parked WHERE client_id = %s AND "offset" > %s', [client, most])
    asked = choose(someone, "discard_selected", f"{client}:1", select_across="1", page=page)
    assert said(confirm(someone, asked)) == [f"{most:,} events of client {client} discarded"]


def test_the_command_that_takes_more_is_there(log: World) -> None:
    from bridge.contrib.django import acting, acts

    found = [it for it in vars(acts).values() if isinstance(it, acting.Act)]
    told = {it.command or it.verb for it in found}
    assert told == {"redrive", "discard", "pause", "pause --drain", "resume", "scheduled"}
    for command in told:
        assert CliRunner().invoke(command_line, [*command.split(), "--help"]).exit_code == 0


@pytest.mark.parametrize(
    ("payload", "shown"),
    [
        ('{"x": "<script>alert(1)</script>"}', b"&lt;script&gt;"),
        ('{"x": "\\u001b[31m \\u202e \\u0085"}', b"x"),
        (f'{{"x": {NESTED}}}', b"[[[["),
        ('{"n": 1' + "0" * 5000 + "}", b"10000000"),
        ('{"x": "' + "y" * 1_000_000 + '"}', b"yyyy"),
    ],
    ids=["html", "control", "nested", "digits", "large"],
)
def test_a_hostile_payload_is_shown_as_text(payload: str, shown: bytes, log: World) -> None:
    (offset,) = log.eyes.execute(
        """INSERT INTO fq.events (topic, key, payload, headers) VALUES ('hostile', '<b>k</b>', %s, '{"h": "<i>"}')
           RETURNING "offset" """,
        [payload],
    ).fetchall()[0]
    number = log.eyes.execute(
        "SELECT number FROM fq.schedule('hostile', %s, now() + interval '9 days')", [payload]
    ).fetchall()[0][0]
    root = browser(superuser=True)
    for page in ("loggedevent", "scheduledevent"):
        assert b"<script>alert" not in root.get(f"/admin/event_bridge/{page}/").content
    for where in (f"loggedevent/{offset}", f"scheduledevent/{number}"):
        answer = root.get(f"/admin/event_bridge/{where}/change/")
        assert answer.status_code == 200 and shown in answer.content and len(answer.content) < 1_000_000
        assert b"<script>alert" not in answer.content and b"<b>k</b>" not in answer.content


@pytest.fixture
def away(project: str, set_: Callable[..., None]) -> Iterator[Callable[..., None]]:
    """Let the log be in a database of its own, which the test chooses."""
    from django.db import connections

    def put(**settings: Any) -> None:
        connections.settings["log"] = {**connections["default"].settings_dict, **settings}
        set_(BRIDGE_DATABASE="log")

    yield put
    if "log" in connections.settings:
        connections["log"].close()
        del connections["log"], connections.settings["log"]


@pytest.mark.parametrize("page", ["client", "parkedevent", "scheduledevent", "journalentry", "loggedevent"])
def test_a_page_says_why_it_can_t_be_shown(page: str, away: Callable[..., None]) -> None:
    away(PORT="1")
    root = browser(superuser=True)
    for where in ("", "c_3A1/change/" if page == "parkedevent" else "1/change/"):
        answer = root.get(f"/admin/event_bridge/{page}/{where}")
        assert answer.status_code == 503 and b"which holds the log, can&#x27;t be asked" in answer.content


def test_a_database_without_the_schema_and_a_role_without_rights_are_named(
    away: Callable[..., None], log: World
) -> None:
    root = browser(superuser=True)
    away(NAME="postgres")
    assert b"`manage.py migrate` makes it" in root.get("/admin/event_bridge/client/").content


def test_a_role_that_may_not_look_is_told_what_to_grant(away: Callable[..., None], log: World) -> None:
    log.eyes.execute("SET client_min_messages = warning; DROP ROLE IF EXISTS bridge_test_nobody")
    log.eyes.execute("CREATE ROLE bridge_test_nobody")
    try:
        away(OPTIONS={"assume_role": "bridge_test_nobody"})
        answer = browser(superuser=True).get("/admin/event_bridge/client/")
        assert answer.status_code == 503 and b"grant it fq_monitor" in answer.content
    finally:
        log.eyes.execute("DROP ROLE bridge_test_nobody")


def test_a_parked_event_shows_its_payload_to_those_who_may_look_at_the_log(log: World, client: str) -> None:
    log.eyes.execute(
        "INSERT INTO fq.events (topic, payload) VALUES (%s, '{\"total\": 4711}')", [log.row(client)["topics"][0]]
    )
    (delivery,) = log.hand_over(client)
    log.eyes.execute("UPDATE fq.clients SET max_attempts = 1 WHERE id = %s", [client])
    log.fail(delivery)
    where = f"/admin/event_bridge/parkedevent/{client}_3A{delivery.offset}/"
    for permissions, sees in ((["view_parkedevent"], False), (["view_parkedevent", "view_loggedevent"], True)):
        shown = browser(*permissions).get(f"{where}change/").content
        assert b"<pre" in shown and b"Traceback" in shown and (b"4711" in shown) is sees
    answer = browser("view_parkedevent").get(f"{where}history/")
    assert answer.headers["location"] == f"/admin/event_bridge/journalentry/?client={client}"
