"""`explain`: messages that seem lost, workers that do not know the task, topics that match nothing."""

from __future__ import annotations

from typing import Any

import pytest

from bridge.operate.workers import WorkersSeen
from tests.operate.explaining import causes, kinds, the
from tests.support.world import World

pytestmark = pytest.mark.usefixtures("pumped")


def seen(**other: Any) -> WorkersSeen:
    values: dict[str, Any] = {
        "answered": 2,
        "consumers": ("f",),
        "bridge_workers": ("b",),
        "messages": 0,
        "callbacks": 0,
        "held": 0,
    }
    return WorkersSeen(**values | other)


def test_open_events_whose_messages_are_nowhere_are_named_with_the_way_out(world: World) -> None:
    world.client()
    world.publish("a", "b", None)
    world.hand_over()
    assert "lost" not in kinds(world, seen=seen()), "they were handed over just now"
    world.eyes.execute("UPDATE fq.deliveries SET sent_at = now() - interval '6 seconds'")
    cause = the("lost", causes(world, seen=seen(held=1)))
    assert cause.text == (
        "2 events are open, but queue 'celery' is empty and no worker has the task: the messages seem lost"
    )
    assert cause.do and "`eventbridge recall c`" in cause.do
    for other in ({"messages": 1}, {"callbacks": 1}, {"held": 3}, {"held": None}, {"messages": None}):
        assert "lost" not in kinds(world, seen=seen(**other)), other
    world.client(batch=2)
    assert "lost" not in kinds(world, seen=seen(held=1)), "one message may carry two events"


def test_workers_that_do_not_know_the_task_are_named(world: World) -> None:
    world.client()
    cause = the("unknown-task", causes(world, seen=seen(consumers=("f", "g"), ignorant=("g",))))
    assert (cause.severity, cause.data["workers"]) == ("warning", ["g"])
    assert "1 worker of 2 on queue 'celery' does not know fleet.handle, and drops its messages: g" in cause.text
    assert cause.do is not None and "--task NAME --replace-task`" in cause.do
    assert the("unknown-task", causes(world, seen=seen(ignorant=("f",)))).severity == "error"


def test_workers_without_the_bridge_are_named_where_they_are_to_report_in_process(world: World) -> None:
    mute = seen(consumers=("f", "g"), without_bridge=("g",))
    world.client()
    assert "no-bridge-in-fleet" not in kinds(world, seen=mute), "callbacks need no bridge in the fleet"
    world.client(report_by="in-process")
    cause = the("no-bridge-in-fleet", causes(world, seen=mute))
    assert (cause.severity, cause.data["workers"]) == ("warning", ["g"])
    assert "1 worker of 2 on queue 'celery' has no bridge installed" in cause.text
    assert cause.do and "`eventbridge register c --report-by callback`" in cause.do
    assert the("no-bridge-in-fleet", causes(world, seen=seen(without_bridge=("f",)))).severity == "error"


def test_topics_that_never_matched_anything_are_named(world: World) -> None:
    world.client(topics=("ordr.*",))
    assert "unmatched" not in kinds(world), "the log is empty"
    world.publish(None)
    assert "ordr.*" in the("unmatched", causes(world)).text
    world.client(topics=("ordr.*", "order.created"))
    assert "unmatched" not in kinds(world)


def test_a_broker_that_is_away_may_come_back_without_its_messages(world: World) -> None:
    world.client()
    away = WorkersSeen(trouble="the broker redis://here is not available: no")
    assert "recall" not in str(the("broker-away", causes(world, seen=away)).do)
    world.publish(None)
    world.hand_over()
    assert "`eventbridge recall c`" in str(the("broker-away", causes(world, seen=away)).do)
