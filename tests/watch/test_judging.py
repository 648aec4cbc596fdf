"""Which messages are lost, by what two looks have seen (G1, G6, G7)."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from bridge import tasks
from bridge.broker.holding import Answer, Seen
from bridge.contract import PRUNE, PUMP
from bridge.store.losses import Attempt, Suspect
from bridge.watch.judging import FORGIVEN_LOSSES, OURS, Look, has_strangers, losses_of, missing_of

NOW = datetime(2026, 1, 31, 12, 0, tzinfo=UTC)
ONE, TWO = Attempt(1, 1, 1, 0), Attempt(2, 1, 2, 0)


def suspect(*attempts: Attempt, batch: int = 1) -> Suspect:
    return Suspect("c", "fleet", ("shop.bill",), batch, attempts)


def worker(name: str = "w", *tasks: str) -> Answer:
    return Answer(name, frozenset({"fleet"}), frozenset(tasks or ("shop.bill",)), frozenset())


def seen(**held: str) -> Seen:
    return Seen(complete=True, answers=(worker(),), held={id.replace("_", ":"): name for id, name in held.items()})


def found(
    *now: Attempt,
    before: tuple[Attempt, ...] | None = None,
    apart: float = 5,
    settled: float | None = 3,
    consumers: tuple[Answer, ...] = (worker(),),
) -> list[tuple[int, bool]]:
    """Judge two looks; `settled` is how many seconds after the first look."""
    first = NOW - timedelta(seconds=apart)
    lost = losses_of(
        suspect(*now),
        before=None if before is None else Look(first, frozenset(before)),
        now=Look(NOW, frozenset(now)),
        settled=None if settled is None else first + timedelta(seconds=settled),
        consumers=consumers,
    )
    return [(it.attempt.offset, it.counts) for it in lost]


def test_g6_what_a_worker_holds_is_not_missing_and_of_a_batch_nothing_is() -> None:
    assert missing_of(suspect(ONE, TWO), seen(c_1="shop.bill")) == {TWO}
    assert missing_of(suspect(ONE, TWO), seen(c_2_a2="")) == {ONE}
    assert missing_of(suspect(ONE, TWO, batch=2), seen(c_1="shop.bill")) == set()
    assert missing_of(suspect(ONE, TWO, batch=2), seen(d_1="shop.bill")) == {ONE, TWO}


def test_g6_only_what_two_looks_miss_is_lost_and_only_when_all_callbacks_are_settled() -> None:
    assert found(ONE, TWO) == []
    assert found(ONE, TWO, before=(TWO,)) == [(2, False)]
    assert found(ONE, before=(ONE,), apart=1) == [], "too close together"
    assert found(ONE, before=(ONE,), settled=1) == [], "a collector may have the callback in hand"
    assert found(ONE, before=(ONE,), settled=None) == [], "no collector is at work"
    assert found(Attempt(1, 1, 2, 0), before=(ONE,)) == [], "it is another attempt"


def test_g7_an_event_whose_message_is_lost_again_and_again_uses_up_its_attempts() -> None:
    poison = Attempt(1, 1, 4, FORGIVEN_LOSSES)
    assert found(poison, before=(poison,)) == [(1, True)]
    assert found(poison, before=(poison,), consumers=()) == [(1, False)], "nobody can have run it"
    assert found(poison, before=(poison,), consumers=(worker(), worker("old", "shop.other"))) == [(1, False)]


def test_g1_nothing_goes_out_again_to_workers_of_which_none_knows_the_task() -> None:
    assert found(ONE, before=(ONE,), consumers=(worker("old", "shop.other"),)) == []
    assert found(ONE, before=(ONE,), consumers=()) == [(1, False)], "the queue was purged while the fleet is away"


@pytest.mark.parametrize(
    ("consumers", "noted"), [((worker(),), True), ((), True), ((worker(), worker("old", "shop.other")), False)]
)
def test_g1_where_a_worker_drops_messages_the_others_get_them_soon(consumers: tuple[Answer, ...], noted: bool) -> None:
    first, settled = NOW - timedelta(seconds=5), NOW - timedelta(seconds=2)
    looks = Look(first, frozenset({ONE})), Look(NOW, frozenset({ONE}))
    [lost] = losses_of(suspect(ONE), before=looks[0], now=looks[1], settled=settled, consumers=consumers)
    assert lost.noted is noted


def test_g1_every_task_of_the_bridge_is_known_as_its_own() -> None:
    """Else nothing lost would be found while that task runs: `bridge.prune` with `bridge_keep`, say."""
    own = {it.name for it in vars(tasks).values() if hasattr(it, "apply_async") and it.name}
    assert {PRUNE, PUMP} < own <= OURS


@pytest.mark.parametrize(
    ("held", "strange"), [({"x": "shop.charge"}, True), ({"c_1": "shop.bill", "p": "bridge.pump"}, False)]
)
def test_g6_while_workers_run_tasks_of_strangers_these_may_be_steps_of_a_workflow(
    held: dict[str, str], strange: bool
) -> None:
    assert has_strangers(seen(**held), ["shop.bill"]) is strange
