"""A client's rate: a bucket of tokens in Postgres, which passes spend, and which wakes nobody before there are some."""

from __future__ import annotations

from typing import Any

import pytest

from bridge.operate.explain import explain
from bridge.pump.budget import Budget
from bridge.pump.judgement import judge
from bridge.pump.taking import Taken
from bridge.store import rounds
from bridge.store.facts import collect_facts
from tests.pump.test_judgement import BUDGET, REFUSED, TAKEN
from tests.support.world import World, offsets

BACK = "UPDATE fq.clients SET tokens_at = tokens_at - make_interval(secs => %s) WHERE id = 'c'"


def served(world: World) -> list[str]:
    return rounds.clients_to_serve(world.store, bridge="bridge", horizon=int(world.ask("SELECT fq.last_drawn()")))


def is_limited(world: World) -> bool:
    return bool(world.ask("SELECT limited FROM fq.served WHERE id = 'c'"))


def pass_time(world: World, seconds: float) -> None:
    """Let the bucket be so much older."""
    world.eyes.execute(BACK, [seconds])


def test_a_rate_lets_a_burst_out_and_then_a_token_at_a_time(world: World) -> None:
    world.client(rate="60/h", burst=3)
    world.publish(*"abcdef")
    assert offsets(world.hand_over()) == [1, 2, 3]
    assert (world.hand_over(), is_limited(world)) == ([], True)
    pass_time(world, 59)
    assert (world.hand_over(), served(world)) == ([], [])
    pass_time(world, 2)
    assert served(world) == ["c"]
    assert offsets(world.hand_over()) == [4]
    pass_time(world, 1_000_000)
    assert offsets(world.hand_over()) == [5, 6], "a bucket holds no more than its burst"
    world.publish(*"gh")
    assert offsets(world.hand_over()) == [7]


@pytest.mark.parametrize(("rate", "at_once"), [("4/s", 4), ("0.5/s", 1), ("90/m", 1), ("1/h", 1)])
def test_without_a_burst_a_second_s_worth_goes_out_at_once_and_one_event_at_least(
    world: World, *, rate: str, at_once: int
) -> None:
    world.client(rate=rate)
    world.publish(*"abcdef")
    assert len(world.hand_over()) == at_once


def test_the_bucket_is_in_postgres_so_another_pump_finds_it_as_it_was(world: World) -> None:
    world.client(rate="1/h")
    world.publish(*"ab")
    assert offsets(world.hand_over()) == [1]
    world.store.close()
    assert (world.hand_over(), served(world), world.row()["tokens"]) == ([], [], 0)


def test_a_limited_client_holds_up_no_other_and_none_without_a_rate_has_a_bucket(world: World) -> None:
    world.client(rate="1/h")
    world.client("free")
    world.publish(*"abc")
    world.hand_over()
    assert served(world) == ["free"]
    assert len(world.hand_over("free")) == 3
    assert (world.row("free")["tokens"], world.row("free")["tokens_at"]) == (None, None)


def test_retries_count_and_wait_for_a_token_without_being_looked_at_each_second(world: World) -> None:
    world.client(rate="60/h", burst=2, ordering="none")
    world.publish(*"abc")
    first = world.hand_over()
    world.fail(*first)
    world.make_due()
    assert world.hand_over() == [], "two tokens were spent on the first attempts"
    wakes_in = world.ask("SELECT extract(epoch FROM wake_at - now()) FROM fq.clients WHERE id = 'c'")
    assert wakes_in > 30, "it is woken when there is a token, and not before"
    pass_time(world, 61)
    world.eyes.execute("UPDATE fq.clients SET wake_at = now()")
    assert [(it.offset, it.attempt) for it in world.hand_over()] == [(1, 2)], "a retry goes before new events"


def test_the_next_event_of_a_finished_key_waits_for_a_token_too(world: World) -> None:
    world.client(rate="60/h", burst=1)
    world.publish("a", "a")
    world.succeed(*world.hand_over())
    assert (served(world), world.hand_over()) == ([], [])
    pass_time(world, 61)
    assert served(world) == ["c"]
    assert offsets(world.hand_over()) == [2]


def test_a_clock_that_was_set_back_stops_nothing_and_lets_only_a_little_out(world: World) -> None:
    world.client(rate="60/h", burst=100)
    world.publish(*[None] * 150)
    assert len(world.hand_over()) == 100
    world.eyes.execute("UPDATE fq.clients SET tokens_at = now() + interval '10 hours'")
    assert served(world) == ["c"]
    assert len(world.hand_over()) == 1
    assert (world.hand_over(), is_limited(world)) == ([], True), "from here on the new time counts"
    pass_time(world, 61)
    assert len(world.hand_over()) == 1


def test_a_rate_that_is_changed_counts_from_the_next_pass(world: World) -> None:
    world.client(rate="1/h")
    world.publish(*"abcd")
    assert len(world.hand_over()) == 1
    world.client(rate="3600/h", burst=2)
    pass_time(world, 10)
    assert offsets(world.hand_over()) == [2, 3]
    world.client(rate="")
    assert offsets(world.hand_over()) == [4]
    assert world.row()["tokens"] is None


def test_waiting_for_work_sees_a_limited_client_when_its_tokens_are_back(world: World) -> None:
    world.client(rate="2/s", burst=1)
    world.publish(*"ab")
    world.hand_over()
    rounds.prepare_turns(world.store, bridge="bridge")
    rounds.take_turn(world.store, holder="me", seconds=600)
    assert is_limited(world)
    found = rounds.wait_for_work(world.store, bridge="bridge", holder="me", seconds=30, poll_seconds=0.01)
    assert (found.work, is_limited(world)) == (True, False)
    assert offsets(world.hand_over()) == [2]


def test_explain_says_that_a_client_is_limited_by_its_rate(world: World) -> None:
    world.client(rate="1/h")
    world.publish(*"ab")
    rounds.take_turn(world.store, holder="pump", seconds=600)

    def causes() -> dict[str, Any]:
        return {cause.kind: cause for cause in explain(collect_facts(world.store, "c"))}

    assert "rate-limited" not in causes()
    world.hand_over()
    said = causes()["rate-limited"]
    assert said.text.startswith("it is limited by its rate of 1/h: more goes out in ")
    assert (said.data["rate"], said.data["tokens"] < 0.1, said.data["seconds"] > 3000) == ("1/h", True, True)
    world.client(rate="")
    assert "rate-limited" not in causes()


RATED: dict[str, Any] = {"tokens": 5.5, "tokens_per_second": 2.0, "tokens_enough": 1.0, "limit": 5}


@pytest.mark.parametrize(
    ("budget", "taken", "judged"),
    [
        ({}, {"fresh": 3, "more": True}, (True, 2.5, None)),
        ({}, {"fresh": 5, "more": True}, (False, 0.5, 0.25)),
        ({}, {"again": 5}, (False, 0.5, 0.25)),
        ({}, {"fresh": 5, "refused": REFUSED}, (True, 0.5, 0.25)),
        ({"limit": 2}, {"fresh": 2, "more": True}, (True, 3.5, None)),
        ({"tokens": 0.0, "limit": 0}, {}, (False, 0.0, 0.5)),
        ({"tokens": 0.9999999, "limit": 1}, {"fresh": 1}, (False, 0.0, 0.5)),
    ],
    ids=["some left", "used up", "by retries", "a refusal", "the limit of a pass", "none", "a rounding"],
)
def test_a_pass_is_judged_by_the_tokens_that_it_leaves(
    budget: dict[str, Any], taken: dict[str, Any], judged: tuple[bool, float, float | None]
) -> None:
    found = judge(Budget(**BUDGET | RATED | budget), Taken(**TAKEN | taken), woken=False)
    assert (found.hungry, found.tokens, found.token_seconds) == judged


def test_a_replay_that_could_go_on_waits_for_tokens() -> None:
    found = judge(Budget(**BUDGET | RATED), Taken(**TAKEN | {"fresh": 5, "within_seconds": 0}), woken=True)
    assert (found.hungry, found.within_seconds) == (False, 0.25)
