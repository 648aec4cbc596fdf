"""Arrays that are written as one text arrive as they were."""

from __future__ import annotations

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bridge.store.arrays import numbers, texts
from tests.conftest import Connect

STORABLE = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=20)
@given(
    names=st.lists(STORABLE | st.sampled_from(["", "NULL", '"', "\\", "{a,b}", " a "])),
    places=st.lists(st.integers(-(2**63), 2**63 - 1)),
)
def test_an_array_arrives_as_it_was(connect: Connect, names: list[str], places: list[int]) -> None:
    found = connect().execute("SELECT CAST(%s AS text[]), CAST(%s AS bigint[])", [texts(names), numbers(places)])
    assert found.fetchone() == (names, places)
