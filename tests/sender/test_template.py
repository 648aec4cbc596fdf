"""A body that is put together from pieces of base64 is the one that was meant, whatever is in its slots."""

from __future__ import annotations

import base64
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.sender.template import Parts, Slot, Template, encoded, in_base64

JSON = st.recursive(
    st.none() | st.integers() | st.text(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)
)
EVENT, SIGNATURE = Slot("event", is_value=True), Slot("signature", is_value=False)
LONG = '], {"x": "' + "é" * 60 + '"}, ['


def decoded(parts: Parts, values: dict[str, str]) -> str:
    """Fill a text in base64, and decode it."""
    order, filling = tuple(values), tuple(values.values())
    found, runs = encoded(parts)
    pieces = tuple(in_base64(Template(run, order).filled(filling)) for run in runs)
    text = Template(found, [str(nth) for nth in range(len(runs))]).filled(pieces)
    return base64.b64decode(text, validate=True).decode()


@given(event=JSON, signature=st.text("0123456789abcdef.", max_size=40), pad=st.integers(0, 5))
def test_slots_filled_in_base64_hold_what_was_put_in(event: object, signature: str, pad: int) -> None:
    body = Parts(
        ["[" + " " * pad + "[", LONG, ', 1, "', '"' + LONG, ', 1, "', '"]]'],
        [EVENT, EVENT, SIGNATURE, EVENT, SIGNATURE],
    )
    values = {"event": json.dumps(event, ensure_ascii=False), "signature": signature}
    text = decoded(body, values)
    assert json.loads(text) == json.loads(Template(body, tuple(values)).filled(tuple(values.values())))


def test_what_is_there_twice_is_encoded_once() -> None:
    body = Parts(["[", LONG, ', "', '"' + LONG, ', "', '"]'], [EVENT, EVENT, SIGNATURE, EVENT, SIGNATURE])
    assert len(encoded(body)[1]) == 2


@pytest.mark.parametrize("around", [('["a ', '"]'), ('["', ' b"]')])
def test_a_slot_inside_of_a_longer_text_gets_no_spaces_around_it(around: tuple[str, str]) -> None:
    body = Parts([*around], [SIGNATURE])
    assert decoded(body, {"signature": "s"}).rstrip() == around[0] + "s" + around[1]
