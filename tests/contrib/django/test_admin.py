"""The admin pages, through Django's test client."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

import bridge
from bridge.operate.operator import Operator
from bridge.store import Store
from tests.contrib.django.browsing import browser, choose, confirm, said
from tests.contrib.django.conftest import app
from tests.support.world import World


@pytest.fixture(scope="module")
def log(project: str) -> Iterator[World]:
    import psycopg

    store = Store(project)
    with psycopg.connect(project, autocommit=True) as eyes:
        yield World(store, eyes)
    store.close()


@pytest.fixture(scope="module")
def parked(log: World) -> list[int]:
    """Five events that are parked for client billing, and one for shipping; each test takes others."""
    log.client("billing", topics=["order.*"], max_attempts=1)
    log.client("shipping", topics=["order.*"], max_attempts=1)
    with log.store.transaction() as connection:
        offsets = bridge.publish_many(
            connection, [("order.created", {"<b>total</b>": n}, f"<i>{n}</i>") for n in range(5)]
        )
    log.eyes.execute("SELECT fq.schedule('order.late', '{\"<b>total</b>\": 1}', now() + interval '1 day')")
    log.fail(*log.hand_over("billing"))
    log.fail(log.hand_over("shipping")[0])
    return offsets


PAGES = ("client", "parkedevent", "scheduledevent", "journalentry", "loggedevent")


@pytest.mark.parametrize("page", PAGES)
def test_each_page_lists_its_rows_and_escapes_them(page: str, parked: list[int]) -> None:
    said = browser(superuser=True).get(f"/admin/event_bridge/{page}/")
    assert said.status_code == 200
    assert b"<i>0</i>" not in said.content and b"<b>total</b>" not in said.content
    if page in ("client", "parkedevent"):
        assert b"billing" in said.content and b"shipping" in said.content


@pytest.mark.parametrize("page", PAGES)
def test_a_page_asks_as_often_for_many_rows_as_for_one_and_counts_no_table_to_its_end(
    page: str, log: World, parked: list[int]
) -> None:
    from django.db import connections
    from django.test.utils import CaptureQueriesContext

    asked = {}
    root = browser(superuser=True)
    for rows, search in ((1, {"q": str(parked[1])} if page != "client" else {"q": "shipping"}), (5, {})):
        with CaptureQueriesContext(connections["default"]) as queries:
            assert root.get(f"/admin/event_bridge/{page}/", search).status_code == 200
        asked[rows] = [query["sql"] for query in queries if '"fq"' in query["sql"]]
        for statement in asked[rows]:
            assert "COUNT(" not in statement.upper() or "LIMIT" in statement or page == "client"
    by_search = 2 if page == "loggedevent" else 0  # each index of the log is asked by itself
    assert len(asked[1]) == len(asked[5]) + by_search


@pytest.mark.parametrize(
    ("page", "id", "words"),
    [
        ("client", "billing", [b"fleet.handle", b"order"]),
        ("parkedevent", "billing:{}", [b"ValueError", b"Traceback"]),
        ("loggedevent", "{}", [b"&lt;b&gt;total", b"order.created"]),
    ],
)
def test_the_page_of_one_row_shows_all_of_it_and_changes_nothing(
    page: str, id: str, words: list[bytes], log: World, parked: list[int]
) -> None:
    from django.contrib.admin.utils import quote

    root, where = browser(superuser=True), f"/admin/event_bridge/{page}/{quote(id.format(parked[1]))}/change/"
    said = root.get(where).content
    assert all(word in said for word in words) and b'name="_save"' not in said
    assert root.post(where, {"state": "paused", "topic": "other"}).status_code == 403
    assert root.get(f"/admin/event_bridge/{page}/add/").status_code == 403
    assert root.post(where.replace("change", "delete"), {"post": "yes"}).status_code == 403


def test_a_large_payload_is_not_fetched_for_a_list_and_cut_off_on_its_page(log: World, parked: list[int]) -> None:
    with log.store.transaction() as connection:
        offset = bridge.publish(connection, "large.one", {"text": "".join(map(str, range(200_000)))})
    root = browser(superuser=True)
    listed = root.get("/admin/event_bridge/loggedevent/", {"q": "large.one"}).content
    assert b" bytes" in listed and len(listed) < 50_000
    shown = root.get(f"/admin/event_bridge/loggedevent/{offset}/change/").content
    assert b"0123456789101112" in shown and "…".encode() in shown and len(shown) < 300_000


def parked_now(log: World, client: str = "billing") -> dict[int, bool]:
    found = log.eyes.execute('SELECT "offset", redrive FROM fq.parked WHERE client_id = %s', [client])
    return dict(found.fetchall())


@pytest.mark.parametrize(("verb", "nth"), [("redrive", 2), ("discard", 3)])
def test_an_action_asks_before_it_acts_and_the_journal_says_who_did_it(
    verb: str, nth: int, log: World, parked: list[int]
) -> None:
    offset, someone = parked[nth], browser("view_parkedevent", f"{verb}_parkedevent")
    asked = choose(someone, f"{verb}_selected", f"billing:{offset}", "shipping:7000", "nonsense")
    assert b"&lt;i&gt;" in asked.content and parked_now(log)[offset] is False
    answer = confirm(someone, asked)
    assert said(answer) == [f"1 event of client billing {'redriven' if verb == 'redrive' else 'discarded'}"]
    assert parked_now(log).get(offset) is (True if verb == "redrive" else None)
    (entry,) = log.eyes.execute("SELECT by FROM fq.journal WHERE action = %s", [verb]).fetchall()
    assert entry == (f"view_parkedevent-{verb}_parkedevent (admin)",)


def test_nobody_acts_without_the_permission(log: World, parked: list[int]) -> None:
    before = parked_now(log)
    for permissions in (["view_parkedevent"], ["view_parkedevent", "redrive_parkedevent"]):
        someone = browser(*permissions)
        assert b"discard_selected" not in someone.get("/admin/event_bridge/parkedevent/").content
        choose(someone, "discard_selected", f"billing:{parked[4]}", confirmed="yes")
    assert parked_now(log) == before
    assert browser().get("/admin/event_bridge/loggedevent/").status_code == 403


def test_an_event_of_which_another_has_disposed_is_left_alone_and_named(log: World, parked: list[int]) -> None:
    someone = browser("view_parkedevent", "redrive_parkedevent", "discard_parkedevent")
    redrive, discard = (choose(someone, f"{verb}_selected", f"billing:{parked[4]}") for verb in ("redrive", "discard"))
    Operator(app).redrive("billing", offsets=[parked[4]])
    for asked in (redrive, discard):
        (why,) = said(confirm(someone, asked))
        assert why.startswith(f"left alone, because it has changed since you were asked: billing: event {parked[4]}")
    Operator(app).discard("billing", offsets=[parked[4]])
    assert said(confirm(someone, discard)) == ["1 parked event is not there any more"]
    assert said(choose(someone, "redrive_selected", f"billing:{parked[4]}")) == ["1 parked event is not there any more"]


def test_pages_end_where_a_person_stops_turning_them(log: World, parked: list[int]) -> None:
    from bridge.contrib.django import paginator
    from bridge.contrib.django.models import LoggedEvent

    pages = paginator.BoundedPaginator(LoggedEvent.objects.order_by("-offset"), 2)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(paginator, "MOST_ROWS", 4)
        assert (pages.count, pages.num_pages) == (4, 2)


def test_a_selected_event_is_found_by_an_index(log: World, parked: list[int]) -> None:
    from bridge.contrib.django.models import ParkedEvent

    log.eyes.execute("""
        INSERT INTO fq.parked (client_id, "offset", epoch, attempt, attempts, reason, first_at)
        SELECT 'many', n, 1, 1, 1, 'for the plan', now() FROM generate_series(1000000, 1005000) n""")
    log.eyes.execute("ANALYZE fq.parked")
    plan = ParkedEvent.objects.filter(pk__in=["many:1000007", "many:1000009"]).explain()
    assert "Index Scan" in plan and "Seq Scan on parked" not in plan
    assert [one.id for one in ParkedEvent.objects.filter(pk="many:1000007")] == ["many:1000007"]
    log.eyes.execute("DELETE FROM fq.parked WHERE client_id = 'many'")
