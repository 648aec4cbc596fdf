"""Which handlers kill one process after the other, by what several looks have seen (G10)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pytest

from bridge.broker.running import Main, Run, runs_in
from bridge.store.losses import Attempt, Suspect, give_up_crashing
from bridge.watch.crashing import (
    FEWEST_WORKERS,
    FRESH_SECONDS,
    LOOP_SECONDS,
    MOST_STARTS,
    OVER_SECONDS,
    SILENT_LOOKS,
    End,
    Start,
    allowed_of,
    bad_starts,
    companions,
    doubtful,
    is_fresh,
    judged,
    known_starts,
    remember,
)
from tests.support.world import World

ID = "c:1"
LIVES = Main(1000, frozenset({90, 91}))  # and none of the processes that ran anything is left


def run(process: int, *, worker: str = "w", again: bool = True) -> Run:
    return Run(worker, process, f"since {process}", again)


def seen(
    *looks: tuple[float, Run | None],
    mains: Mapping[str, Main | None] | None = None,
    stopped: Sequence[str] = (),
    age: float = 100,
) -> tuple[Start, ...]:
    """Look at these seconds, and see the first event's message there, or nowhere; workers always say the same."""
    found: dict[str, tuple[Start, ...]] = {}
    answers = {"w": LIVES} if mains is None else mains
    for now, one in looks:
        found = remember(found, {} if one is None else {ID: one}, now=now)
        asked = doubtful(found, stopped, now=now)
        found = judged(found, answers, asked, stopped, ages={ID: age}, now=now)
    return found[ID]


def ends(*looks: tuple[float, Run | None], mains: Mapping[str, Main | None] | None = None) -> list[End]:
    return [it.end for it in seen(*looks, mains=mains)]


FIRST = run(1, again=False)


@pytest.mark.parametrize(
    ("looks", "known", "bad"),
    [
        ([(0, FIRST)], 1, 0),
        ([(0, FIRST), (1, run(2))], 2, 1),
        ([(0, FIRST), (1, run(2)), (2, run(3))], 3, 2),
        ([(0, FIRST), (1, None), (2, run(2)), (2, run(2)), (3, run(3))], 3, 2),
        ([(0, run(2))], 2, 0),  # a start before it is possible
        ([(0, run(2)), (1, run(3))], 3, 2),  # and known, because the process after it was killed in a worker that lives
        ([(0, FIRST), (900, run(2))], 2, 1),  # however long it ran
    ],
)
def test_g10_a_start_that_killed_its_process_while_its_worker_lived_on_counts(
    looks: list[tuple[float, Run | None]], known: int, bad: int
) -> None:
    starts = seen(*looks)
    assert (known_starts(starts), bad_starts(starts)) == (known, bad)


NEW = Main(0.5, frozenset({90}))  # a worker that has just begun


@pytest.mark.parametrize(
    ("what", "mains", "end"),
    [
        (
            "Reject(requeue=True), a visibility timeout, a lost connection",
            {"w": Main(1000, frozenset({1, 2}))},
            End.OTHER,
        ),
        ("a deploy: another worker of its name", {"w": NEW}, End.WORKER),
        ("threads, greenlets", {"w": Main(1000, None)}, End.OTHER),
        ("two workers share the name", {"w": None}, End.OTHER),
        ("it does not answer yet", {}, End.OPEN),
    ],
)
def test_g10_what_else_hands_a_message_out_again_is_no_crash(
    what: str, mains: Mapping[str, Main | None], end: End
) -> None:
    assert ends((0, FIRST), (1, run(2)), mains=mains) == [end, End.OPEN], what


def test_g10_a_retry_of_the_task_s_own_is_no_crash_though_each_has_a_process_of_its_own() -> None:
    """`worker_max_tasks_per_child = 1` ends each process, and `self.retry` keeps the id; its message is a new one."""
    looks = [(float(n), run(n, again=False)) for n in range(4)]
    assert ends(*looks) == [End.OTHER] * 3 + [End.OPEN]
    assert bad_starts(seen(*looks)) == 0


def test_g10_a_worker_that_answers_no_more_is_gone() -> None:
    silent = [(float(n), run(2)) for n in range(1, SILENT_LOOKS + 1)]
    assert ends((0, FIRST), *silent[:-1], mains={}) == [End.OPEN, End.OPEN]
    assert ends((0, FIRST), *silent, mains={}) == [End.WORKER, End.OPEN]


@pytest.mark.parametrize(
    ("workers", "apart", "bad"),
    [
        (2, 1, 0),  # restarted twice within a minute, in the middle of the same task
        (FEWEST_WORKERS - 1, 1, 0),
        (FEWEST_WORKERS, 1, FEWEST_WORKERS),  # a handler that has the kernel kill its whole container
        (FEWEST_WORKERS, LOOP_SECONDS + 1, 0),  # deploys of a long task
    ],
)
def test_g10_workers_that_go_one_after_the_other_count_where_they_are_more_than_a_deploy_s(
    workers: int, apart: float, bad: int
) -> None:
    looks = [(n * apart, run(n, again=n > 0)) for n in range(workers + 1)]
    assert bad_starts(seen(*looks, mains={"w": NEW})) == bad


@pytest.mark.parametrize(
    ("beside", "mains", "found"),
    [
        ([{ID}, {ID}, {ID}], NEW, set()),
        ([{ID, "c:2"}, {ID, "c:2", "c:3"}, {ID, "c:2"}], NEW, {"c:2"}),  # it may be the one at fault
        ([{ID, "c:2"}, {ID, "c:3"}, {ID, "c:2"}], NEW, set()),  # others came and went
        ([{ID, "c:2"}, {ID, "c:2"}, {ID, "c:2"}], LIVES, set()),  # processes were killed, each by what it ran
    ],
)
def test_g10_what_ran_beside_a_message_each_time_that_its_worker_went_may_be_at_fault(
    beside: Sequence[set[str]], mains: Main, found: set[str]
) -> None:
    starts: dict[str, tuple[Start, ...]] = {}
    for n, ids in enumerate([*beside, {ID}]):  # the last one runs
        starts = remember(starts, {ID: run(n, again=n > 0)}, now=n, beside={"w": frozenset(ids)})
        starts = judged(starts, {"w": mains}, doubtful(starts, (), now=n), (), ages={}, now=n)
    assert companions(ID, starts[ID]) == found


def test_g10_a_start_that_nobody_saw_counts_only_where_the_worker_was_there_before_the_message() -> None:
    looks = (0.0, run(2)), (1.0, run(3))
    assert bad_starts(seen(*looks, age=LIVES.seconds)) == 1, "a worker that was restarted may have fetched it, no more"
    assert bad_starts(seen(*looks, age=10)) == 2


def test_g10_the_last_start_is_asked_about_once_its_message_is_stopped_and_it_is_over() -> None:
    looks = [(0.0, FIRST), (1.0, run(2)), (2.0, run(3))]
    later = 2 + OVER_SECONDS
    assert bad_starts(seen(*looks, (later, run(3)), stopped=[ID])) == 2, "it runs"
    assert bad_starts(seen(*looks, (later - 0.1, None), stopped=[ID])) == 2, "its outcome may be on its way"
    assert bad_starts(seen(*looks, (later, None))) == 2, "it may be started again"
    assert bad_starts(seen(*looks, (later, None), stopped=[ID])) == 3


def test_g10_of_a_message_that_is_started_for_ever_not_all_is_remembered() -> None:
    assert len(seen(*((float(n), run(n)) for n in range(MOST_STARTS + 9)))) == MOST_STARTS


@pytest.mark.parametrize(
    ("tries", "max_attempts", "batch", "allowed"),
    [
        (1, 3, 1, 3),
        (2, 3, 1, 2),
        (1, 1, 1, 2),  # the first loss of a process may be a neighbour's fault
        (3, 3, 1, 2),
        (1, 3, 10, 2),  # then the first event goes out alone
        (2, 3, 10, 2),
        (1, 1, 10, MOST_STARTS + 1),  # the lease decides: it may be another event of the batch
    ],
)
def test_g10_as_many_starts_are_allowed_as_attempts_are_left(
    tries: int, max_attempts: int, batch: int, allowed: int
) -> None:
    attempt = Attempt(1, 1, 1, 0, tries)
    assert allowed_of(Suspect("c", "fleet", ("shop.bill",), batch, (attempt,), max_attempts), attempt) == allowed


def test_g10_the_workers_are_asked_again_soon_only_after_a_message_was_started_again() -> None:
    again = {ID: seen((0, FIRST), (3, run(2)))}
    assert is_fresh(again, (), now=3 + FRESH_SECONDS)
    assert not is_fresh(again, (), now=4 + FRESH_SECONDS)
    assert not is_fresh(again, [ID], now=3), "it is stopped"
    assert not is_fresh({}, (), now=0)
    assert not is_fresh({ID: seen((0, FIRST))}, (), now=0)
    assert not is_fresh({ID: seen((0, FIRST), (3, run(2)), mains={"w": None})}, (), now=3), "no process was killed"


def test_g10_of_workers_that_share_a_name_nobody_can_tell_which_of_them_runs_a_task() -> None:
    task = {"id": ID, "worker_pid": 1, "time_start": 2.5, "delivery_info": {"redelivered": True}}
    assert runs_in([("w", [task]), ("v", [])]) == {ID: Run("w", 1, "2.5", again=True)}
    assert runs_in([("w", [task]), ("w", [])]) == {}


@pytest.mark.parametrize(
    ("on_exhausted", "state", "parked", "held"),
    [("park", "active", [1], False), ("hold-key", "active", [1], True), ("halt", "halted", [], False)],
)
def test_g10_what_kills_its_process_is_given_up_as_the_client_wants_it(
    world: World, on_exhausted: str, state: str, parked: list[int], held: bool
) -> None:
    world.client(on_exhausted=on_exhausted, max_attempts=3)
    world.publish("k", "k", "other")
    first, other = world.hand_over()
    starts = {Attempt(first.offset, first.epoch, first.attempt, 0): 3}
    outdated = {Attempt(other.offset, other.epoch, other.attempt + 1, 0): 3}
    assert give_up_crashing(world.store, "c", outdated, lock_seconds=5) == []
    assert give_up_crashing(world.store, "c", starts, lock_seconds=5) == list(starts)
    assert give_up_crashing(world.store, "c", starts, lock_seconds=5) == [], "once"
    assert world.row()["state"] == state
    assert world.rows("parked") == parked
    assert world.cursor() == (1 if parked else 0)
    if parked:
        assert world.rows("parked", "reason, error_type, held") == [
            ("kept killing its process (3 starts seen)", "WorkerLostError", held)
        ]
        assert [it.offset for it in world.hand_over()] == ([] if held else [2])
        assert world.succeed(first).succeeded == 1, "a success that comes late still counts"
    else:
        assert "kept killing its process" in str(world.row()["state_reason"])
