"""What no worker can read is told before it is sent, and nothing else is held back (G10)."""

from __future__ import annotations

import json
import pickle
from random import Random
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from kombu.utils.json import loads

from bridge.bounds import FLOAT_DIGITS, INTEGER_DIGITS, NESTED_LEVELS
from bridge.model import Client
from bridge.sender import levels as counting
from bridge.sender.levels import is_deeper
from bridge.sender.reading import is_suspect, sort_out, why_unreadable
from tests.sender.test_messages import client, delivery


def lists(levels: int, inside: str = "") -> str:
    return "[" * levels + inside + "]" * levels


def objects(levels: int) -> str:
    return '{"in": ' * levels + "1" + "}" * levels


def comb(levels: int) -> str:
    return '{"a": 1, "in": ' * levels + "[]" + ', "z": "]"}' * levels


def balanced(levels: int, closing: str, opening: str) -> str:
    """Nest objects in which texts close each bracket and open it again."""
    return f'{{"a": {closing}, "in": ' * levels + "1" + f', "z": {opening}}}' * levels


TYPED = [
    '{"x": {"__type__": "money", "__value__": 5}}',
    '{"__type__": "decimal", "__value__": "5"}',
    '[[{"__type__": [1], "__value__": null}]]',
    '{"__value__": {}, "__type__": {}}',
]
UNREADABLE = [
    *(("something else than an object", text) for text in TYPED),
    ("5,001 digits", '{"n": 1' + "0" * 5000 + "}"),
    ("4,301 digits", "1" * (INTEGER_DIGITS + 1)),
    ("4,302 digits", '{"n": -' + "1" * (INTEGER_DIGITS + 1) + "}"),
    ("would arrive as infinite", '{"n": ' + "9" * 400 + ".5}"),
    ("would arrive as infinite", "-" + "9" * (FLOAT_DIGITS + 1) + ".5"),
    ("nested too deeply", lists(1500)),
    ("nested too deeply", lists(900)),
    ("nested too deeply", lists(NESTED_LEVELS + 1)),
    ("nested too deeply", objects(NESTED_LEVELS + 1)),
    ("nested too deeply", comb(NESTED_LEVELS + 1)),
    ("nested too deeply", lists(100_000)),
    ("nested too deeply", '["]]]", ' + lists(NESTED_LEVELS) + "]"),
    ("nested too deeply", balanced(NESTED_LEVELS + 1, '"]"', '"["')),
    ("nested too deeply", balanced(NESTED_LEVELS + 1, '"}"', '"{"')),
    ("nested too deeply", balanced(NESTED_LEVELS + 1, r'"\"}"', r'"{\""')),
    ("nested too deeply", balanced(NESTED_LEVELS + 1, r'"]\\"', r'"\\["')),
]
READABLE = [
    "{}",
    '"text"',
    '{"__type__": "money"}',
    '{"__type__": "money", "__value__": 5, "more": 1}',
    r'"{\"__type__\": \"money\", \"__value__\": 5}"',
    "1" * INTEGER_DIGITS,
    "0." + "1" * 10_000,
    "9" * 300 + ".5",
    '"' + "9" * 10_000 + '"',
    lists(NESTED_LEVELS),
    objects(NESTED_LEVELS),
    comb(NESTED_LEVELS - 1),
    balanced(NESTED_LEVELS, '"]"', '"["'),
    balanced(NESTED_LEVELS, r'"[\"\\"', r'"\\\"}"'),
    "[" + ", ".join(["[[{}]]"] * 1000) + "]",
    json.dumps("[{" * 5000),
    json.dumps("]}" * 5000),
]


@pytest.mark.parametrize(("told", "text"), UNREADABLE, ids=[text[:30] for _, text in UNREADABLE])
@pytest.mark.parametrize("call", ["event", "payload"])
def test_g10_what_no_worker_can_read_is_suspect_and_refused_in_words(told: str, text: str, call: str) -> None:
    body = f'{{"offset": 1, "payload": {text}, "headers": {{}}}}' if call == "event" else text
    for either in (body, bytearray(body.encode())):
        assert is_suspect(either)
        why = why_unreadable(client(call=call), either)
        assert told in why
        assert len(why) <= 200


@pytest.mark.parametrize("text", READABLE, ids=[text[:30] for text in READABLE])
@pytest.mark.parametrize("call", ["event", "payload"])
def test_g10_what_a_worker_can_read_is_never_refused(text: str, call: str) -> None:
    body = f'{{"offset": 1, "payload": {text}, "headers": {{}}}}' if call == "event" else text
    assert why_unreadable(client(call=call), body) == why_unreadable(client(call=call), bytearray(body.encode())) == ""
    assert pickle.dumps(loads(body))


@pytest.mark.parametrize("text", TYPED)
def test_g10_what_only_celery_s_json_takes_for_a_type_goes_out_in_another_serialisation(text: str) -> None:
    assert why_unreadable(client(serializer="msgpack"), text) == ""


@pytest.mark.parametrize("large", [(), (0, 1, 2, 3, 4, 5), (1, 3), (2, 4)])
def test_g10_those_at_fault_leave_and_the_others_keep_their_order(large: tuple[int, ...]) -> None:
    to = client(call="kwargs")
    texts = ["{}", "[1]", TYPED[1], "{}", lists(1500), '{"a": 1}']
    bodies = [bytearray(text.encode()) if nth in large else text for nth, text in enumerate(texts)]
    kept, refused = sort_out(to, [delivery(to, offset=nth, body=body) for nth, body in enumerate(bodies)])
    assert [one.offset for one in kept] == [0, 3, 5]
    assert sorted(one.offset for one in refused) == [1, 2, 4]


_leaves = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.integers(10**300, 10**320),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=20),
    st.sampled_from(["__type__", "__value__", "[{" * 200, "9" * 400]),
)
_keys = st.one_of(st.sampled_from(["__type__", "__value__", "a"]), st.text('[]{}\\"é', max_size=5))
_values = st.recursive(
    _leaves, lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(_keys, inner, max_size=3))
)


def _celery_changes(value: Any) -> bool:
    """Tell whether kombu gives back something else than was written, or nothing at all."""
    try:
        return bool(loads(json.dumps(value)) != value)
    except Exception:
        return True


@settings(deadline=None, max_examples=300, suppress_health_check=list(HealthCheck))
@given(value=_values, padding=st.integers(0, 400), levels=st.integers(0, 250))
def test_g10_a_value_is_refused_exactly_if_celery_would_change_it_or_it_is_too_deep(
    value: Any, padding: int, levels: int
) -> None:
    to: Client = client(call="payload")
    text = lists(levels, json.dumps([value, "x" * padding]))
    inside = _levels_of(value) + 1 + levels
    kept, refused = sort_out(to, [delivery(to, body=text)])
    _, large = sort_out(to, [delivery(to, body=bytearray(text.encode()))])
    assert [str(one) for one in large] == [str(one) for one in refused]
    assert bool(refused) == (inside > NESTED_LEVELS or _celery_changes(value))
    assert len(kept) + len(refused) == 1


def _levels_of(value: Any) -> int:
    if isinstance(value, dict | list):
        inside = value.values() if isinstance(value, dict) else value
        return 1 + max(map(_levels_of, inside), default=0)
    return 0


@pytest.mark.parametrize(
    "piece", [3, 1000, pytest.param(2, marks=pytest.mark.slow), pytest.param(7, marks=pytest.mark.slow)]
)
@settings(deadline=None, max_examples=200, suppress_health_check=list(HealthCheck))
@given(
    value=st.recursive(st.text('[]{}\\"é', max_size=5), lambda inner: st.lists(inner) | st.dictionaries(_keys, inner))
)
def test_g10_levels_are_counted_as_they_are_whatever_stands_in_texts_and_wherever_it_is_cut(
    value: Any, piece: int
) -> None:
    text, found = json.dumps(value, ensure_ascii=False).encode(), _levels_of(value)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(counting, "PIECE_BYTES", piece)
        assert not is_deeper(text, found)
        assert found == 0 or is_deeper(text, found - 1)


def test_g10_a_large_text_of_hexadecimal_digits_is_not_suspect_and_one_with_a_long_number_is() -> None:
    random = Random(1)
    text = bytearray(("[" + json.dumps(random.randbytes(500_000).hex()) + ", ").encode())
    assert not is_suspect(text + b"1]")
    for digits in range(FLOAT_DIGITS, FLOAT_DIGITS + 60):
        assert is_suspect(text + b"x" * (digits % 31) + b"8" * digits + b"]")
    assert not is_suspect(text + (b"8" * 150 + b" ") * 50 + b"]")


@pytest.mark.parametrize("body", ['{"__type__": "money"}', lists(NESTED_LEVELS), "9" * 300])
def test_g10_nothing_large_is_parsed_that_a_count_can_clear(body: str) -> None:
    text = json.dumps([body, ":-{"] * 1000)
    assert not is_suspect(bytearray(text.encode()))
