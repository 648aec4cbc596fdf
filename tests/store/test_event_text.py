"""The text of an event: Postgres makes its head, the pump adds its end; together they are what `fq.body` says."""

from __future__ import annotations

import json
from typing import Any, get_args

import pytest

from bridge.settings.client import Call
from tests.support.world import World

WHOLE = """
SELECT d."offset", fq.body(e, d.client_id, d.attempt, %s, d.epoch, (SELECT l.starts FROM fq.log l))
  FROM fq.deliveries d JOIN fq.events e ON e."offset" = d."offset"
"""
INSERT = "INSERT INTO fq.events (topic, key, payload, headers) VALUES ('a.\"b', 'k', %s, %s)"
PAYLOAD = '{"n": [1.50, "\\u00e9"]}'
CLIENT = "billing-2.eu_west"
HEADERS: list[dict[str, Any]] = [{}, {"a": ""}, {"traceparent": "00-x-y-01", "baggage": "k=v"}, {"b3": "0", "": [1]}]


@pytest.mark.parametrize("call", get_args(Call))
def test_an_event_arrives_with_the_text_that_the_database_has_for_it(world: World, call: str) -> None:
    world.client(CLIENT, call=call, ordering="none", backoff_seconds=0)
    for headers in HEADERS:
        world.eyes.execute(INSERT, [PAYLOAD, json.dumps(headers)])
    world.eyes.execute("UPDATE fq.log SET starts = '{0,3}'")  # a second generation begins with the third event
    first = world.hand_over(CLIENT)
    assert [(it.offset, it.body) for it in first] == world.eyes.execute(WHOLE, [call]).fetchall()
    generations = {json.loads(it.body).get("generation") for it in first}
    assert generations == ({1, 2} if call in ("event", "cloudevent") else {None})
    world.fail(*first)
    world.make_due()
    again = world.hand_over(CLIENT)
    assert [it.attempt for it in again] == [2] * len(HEADERS)
    assert [(it.offset, it.body) for it in again] == world.eyes.execute(WHOLE, [call]).fetchall()
