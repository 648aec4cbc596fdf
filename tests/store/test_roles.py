"""G10: what each role may do, by plain SQL and by the bridge's own verbs; PUBLIC may do nothing."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest
from celery import Celery

import bridge
from bridge.errors import SchemaForeign, StoreRefused, UsageError
from bridge.model import ROLES
from bridge.store import Store
from bridge.store.migrate import check_schema, migrate
from bridge.store.roles import GRANTS
from tests.conftest import Connect
from tests.store.roles import BRIDGE, GROUPS, MONITOR, OPERATOR, PUBLISHER, RIGHTS, logins, may
from tests.support.world import World

INSERT_ONLY = ["GRANT USAGE ON SCHEMA fq TO {}", "GRANT INSERT ON fq.events TO {}"]
READ_ONLY = ["GRANT USAGE ON SCHEMA fq TO {}", "GRANT SELECT ON ALL TABLES IN SCHEMA fq TO {}"]
PUBLIC_HAS = """
SELECT c.relname, a.privilege_type FROM pg_class c, aclexplode(c.relacl) a
 WHERE c.relnamespace = 'fq'::regnamespace AND a.grantee = 0
 UNION ALL
SELECT n.nspname, a.privilege_type FROM pg_namespace n, aclexplode(n.nspacl) a WHERE n.nspname = 'fq' AND a.grantee = 0
"""

Urls = dict[str, str]
OpenStore = Callable[[str], Store]


@pytest.fixture
def urls(database: str, connect: Connect) -> Iterator[Urls]:
    migrate(database, roles=True)
    with logins(connect(), database, *GROUPS) as found:
        yield found


@pytest.fixture
def open_store() -> Iterator[OpenStore]:
    with ExitStack() as stack:

        def open_store(url: str) -> Store:
            store = Store(url)
            stack.callback(store.close)
            return store

        yield open_store


def app_of(url: str) -> Celery:
    app = Celery("shop", broker="memory://")
    app.conf.bridge_database_url = url
    return app


@pytest.mark.parametrize("group", ["", *GROUPS])
def test_g10_each_role_may_do_what_the_table_says_and_nothing_else(urls: Urls, connect: Connect, group: str) -> None:
    login = connect(urls[group])
    said = {statement: may(login, statement) for statement in RIGHTS}
    assert said == {statement: group in groups for statement, groups in RIGHTS.items()}


def test_g10_public_has_nothing_but_a_look_at_the_sequence(connect: Connect) -> None:
    assert connect().execute(PUBLIC_HAS).fetchall() == [("events_offset_seq", "SELECT")]


def test_g10_a_publisher_publishes_in_every_way(urls: Urls, connect: Connect, open_store: OpenStore) -> None:
    login = connect(urls[PUBLISHER])
    assert bridge.publish(login, "a.b", {"n": 1}, key="k", headers={"h": 1}) == 1
    assert bridge.publish_many(login, [("a", {}), ("b", {}, "k")]) == [2, 3]
    with open_store(urls[PUBLISHER]).transaction() as connection:
        assert bridge.publish(connection, "a.b", {}) == 4


@pytest.mark.parametrize("by_hand", [INSERT_ONLY, [*INSERT_ONLY, "ALTER ROLE {} SET search_path = fq"]])
def test_g10_publishing_needs_no_more_than_insert(database: str, connect: Connect, by_hand: list[str]) -> None:
    admin = connect()
    with logins(admin, database) as found:
        name = found[""].split("//")[1].split(":")[0]
        for grant in by_hand:
            admin.execute(grant.format(name).encode())
        login = connect(found[""])
        assert bridge.publish(login, "a.b", {}) == 1
        assert bridge.publish_many(login, [("a", {}), ("b", {})]) == [2, 3]
        login.execute("INSERT INTO fq.events (topic) VALUES ('a.x')")


@pytest.mark.parametrize("role", [MONITOR, "SELECT by hand"])
def test_g10_a_monitor_sees_all_and_changes_nothing(urls: Urls, world: World, role: str) -> None:
    world.client(max_attempts=1)
    world.publish("k", "k", None)
    world.fail(*world.hand_over())
    if role not in urls:
        name = urls[""].split("//")[1].split(":")[0]
        for grant in READ_ONLY:
            world.eyes.execute(grant.format(name).encode())
    with bridge.Operator(app_of(urls.get(role, urls[""])), by="me") as operator:
        assert [row.open for row in operator.status()] == [0]
        assert operator.explain("c", ask_broker=False)
        assert len(list(operator.tail(start="beginning"))) == 3
        assert len(operator.parked("c")) == 2
        assert operator.clients()
        assert operator.journal() is not None
        for verb in (operator.pause, operator.resume, operator.remove):
            with pytest.raises(StoreRefused, match="permission denied"):
                verb("c")
        with pytest.raises(StoreRefused, match="permission denied"):
            operator.publish("a", {})


def test_g10_an_operator_does_all_that_operators_do(urls: Urls, world: World) -> None:
    with bridge.Operator(app_of(urls[OPERATOR]), by="me") as operator:
        operator.register("c", task="fleet.handle", max_attempts=1, start="beginning")
        operator.publish("order.created", {})
        operator.publish_lines([b'{"topic": "order.created", "payload": 1}'])
        assert world.fail(*world.hand_over()).parked == 2
        assert len(operator.redrive("c", offsets=[1])) == 1
        assert len(operator.discard("c", offsets=[2])) == 1
        world.succeed(*world.hand_over())
        operator.replay("c", start="beginning")
        operator.stop_replays("c")
        operator.seek("c", to="beginning")
        operator.pause("c", reason="why")
        operator.resume("c")
        operator.drain("c")
        assert operator.status() and operator.explain("c", ask_broker=False) and operator.journal()
        operator.remove("c", force=True)


def test_g10_the_bridge_hands_over_and_settles_with_its_role(
    urls: Urls, world: World, connect: Connect, open_store: OpenStore
) -> None:
    world.client(max_attempts=2, ack_timeout_seconds=60)
    world.publish("k", "k", None)
    store = open_store(urls[BRIDGE])
    check_schema(store.engine)
    theirs = World(store, connect())
    first, second = theirs.hand_over()
    assert theirs.succeed(first).succeeded == 1
    assert theirs.fail(second).retried == 1
    theirs.make_due()
    assert theirs.fail(*theirs.hand_over())[1:3] == (1, 1), "the successor is retried, the other one parked"


def test_g10_a_handler_s_role_needs_what_the_docs_say(urls: Urls, world: World, connect: Connect) -> None:
    world.client()
    world.publish("k")
    [delivery] = world.hand_over()
    name = urls[""].split("//")[1].split(":")[0]
    for grant in (
        "USAGE ON SCHEMA fq",
        "SELECT ON fq.log",
        "SELECT, UPDATE (state, due_at) ON fq.deliveries",
        "SELECT, UPDATE (wake_at) ON fq.clients",
    ):
        world.eyes.execute(f"GRANT {grant} TO {name}".encode())
    handler, event = connect(urls[""]), json.loads(delivery.body)
    with bridge.transaction(event, handler):
        pass
    assert world.rows("deliveries", "state") == ["done"]
    for late in (event, {**event, "attempt": 2}, {**event, "epoch": 7}):
        with pytest.raises(bridge.AlreadyDone), bridge.transaction(late, handler):
            pytest.fail("the body ran")


def test_g10_making_the_roles_again_changes_nothing(database: str, connect: Connect) -> None:
    acls = "SELECT relname, relacl::text FROM pg_class WHERE relnamespace = 'fq'::regnamespace ORDER BY 1"
    migrate(database, roles=True)
    before = connect().execute(acls).fetchall()
    assert migrate(database, roles=True) == []
    assert connect().execute(acls).fetchall() == before


def test_g10_roles_that_a_restore_has_left_behind_are_made_again(urls: Urls, database: str, connect: Connect) -> None:
    owner = connect()
    for role in ("PUBLIC", *GROUPS):  # as a pg_restore without privileges leaves it
        owner.execute(f"REVOKE ALL ON SCHEMA fq FROM {role}".encode())
        owner.execute(f"REVOKE ALL ON ALL TABLES IN SCHEMA fq FROM {role}".encode())
        owner.execute(f"REVOKE ALL ON ALL SEQUENCES IN SCHEMA fq FROM {role}".encode())
    assert migrate(database, roles=True) == []
    assert owner.execute(PUBLIC_HAS).fetchall() == [("events_offset_seq", "SELECT")]
    for group in GROUPS:
        login = connect(urls[group])
        assert {it for it in RIGHTS if may(login, it)} == {it for it, groups in RIGHTS.items() if group in groups}


def test_g10_who_may_not_make_the_roles_is_told_so(urls: Urls) -> None:
    with pytest.raises(UsageError, match=r"does not own the schema fq: make the roles as "):
        migrate(urls[OPERATOR], roles=True)


def test_g10_an_owner_that_may_not_create_roles_is_told_what_to_do(
    urls: Urls, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    owner = urls[""].split("//")[1].split(":")[0]
    connect().execute(f"ALTER SCHEMA fq OWNER TO {owner}".encode())
    connect().execute(f"GRANT ALL ON ALL TABLES IN SCHEMA fq TO {owner}".encode())
    monkeypatch.setitem(GRANTS, "bridge_test_unheard_of", [])
    with pytest.raises(
        UsageError, match=f"ALTER ROLE {owner} CREATEROLE, .*CREATE ROLE bridge_test_unheard_of NOLOGIN"
    ):
        migrate(urls[""], roles=True)
    connect().execute("ALTER SCHEMA fq OWNER TO CURRENT_USER")


@pytest.mark.parametrize("role", [MONITOR, OPERATOR])
def test_g10_who_holds_a_lock_is_named_to_a_role_that_is_told_nothing_of_other_sessions(
    urls: Urls, world: World, connect: Connect, monkeypatch: pytest.MonkeyPatch, role: str
) -> None:
    monkeypatch.setattr("bridge.store.locks.LOCKED_SECONDS", 0.1)
    world.client()
    person = connect(autocommit=False, application_name="psql")
    person.execute("SELECT FROM fq.clients WHERE id = 'c' FOR UPDATE")
    named = f"pid {person.info.backend_pid} (psql)"
    with bridge.Operator(app_of(urls[role]), by="me") as operator:
        assert named in operator.explain("c", ask_broker=False)[0].text
        assert named in operator.who_locks()
        person.rollback()
        assert operator.who_locks() == ""
        person.execute("SELECT FROM fq.horizon FOR UPDATE")
        assert named in operator.explain("c", ask_broker=False)[0].text


def test_g10_a_member_that_does_not_inherit_is_told_so_and_becomes_the_role_itself(
    urls: Urls, connect: Connect, open_store: OpenStore
) -> None:
    name = connect(urls[BRIDGE]).info.user
    for change in ("ALTER ROLE {1} NOINHERIT", "REVOKE {0} FROM {1}", "GRANT {0} TO {1}"):  # from 16 on a grant says it
        connect().execute(change.format(BRIDGE, name).encode())
    with pytest.raises(SchemaForeign, match=f'member of {BRIDGE} .*: ALTER ROLE "{name}" SET role = {BRIDGE}'):
        check_schema(open_store(urls[BRIDGE]).engine)
    connect().execute(f"ALTER ROLE {name} SET role = {BRIDGE}".encode())
    check_schema(open_store(urls[BRIDGE]).engine)


def test_g10_row_level_security_is_refused_at_start_and_never_hides_an_event(
    urls: Urls, world: World, connect: Connect, open_store: OpenStore
) -> None:
    world.client()
    world.publish("k")
    world.eyes.execute("ALTER TABLE fq.events ENABLE ROW LEVEL SECURITY")
    store = open_store(urls[BRIDGE])
    with pytest.raises(SchemaForeign, match=r"hides rows of fq\.events from role .*BYPASSRLS"):
        check_schema(store.engine)
    with pytest.raises(StoreRefused, match="row-level security"):
        World(store, connect()).hand_over()
    assert world.cursor() == -1
    check_schema(world.store.engine)  # a superuser bypasses it
    assert len(world.hand_over()) == 1


def test_the_roles_that_are_named_are_those_that_are_made() -> None:
    assert tuple(GRANTS) == ROLES
