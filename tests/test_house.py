"""The house keeps its measures: small rooms, one name for a thing, borrowed names in one place, verbs in front."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.house import begins_with_a_verb, measure, table
from tests.support.stage import REPOSITORY

LONGEST_FILE, LONGEST_BODY, LONGEST_STATEMENT = 300, 40, 40
# The one room for what is private to kombu and Celery; and Django's own convention, `_meta`.
BORROWING = ("bridge/broker/internals/", "bridge/contrib/django/")

HOUSE = measure(REPOSITORY)


def test_files_functions_and_statements_are_small() -> None:
    assert not {name: size for name, size in HOUSE.lines.items() if size > LONGEST_FILE}
    assert not {name: size for name, size in HOUSE.functions.items() if size > LONGEST_BODY}
    assert not {name: size for name, size in HOUSE.statements.items() if size > LONGEST_STATEMENT}
    assert not {name: size for name, size in HOUSE.schema.items() if size > LONGEST_FILE}


def test_nothing_is_imported_under_another_name() -> None:
    assert HOUSE.aliases == []


def test_private_names_of_others_are_used_in_one_room() -> None:
    borrowing = [name for name, number in HOUSE.private.items() if number]
    assert borrowing and all(name.startswith(BORROWING) for name in borrowing), borrowing


def test_docstrings_of_functions_begin_with_a_verb() -> None:
    assert HOUSE.wordless == []


@pytest.mark.parametrize(
    ("docstring", "verb"),
    [
        ("Return it.", True),
        ("Pass it on.", True),
        ("Returns it.", False),
        ("Reading it.", False),
        ("The outcome of it.", False),
        ("Whether it is one.", False),
        ("What it is.", False),
    ],
)
def test_what_is_no_verb_is_noticed(docstring: str, verb: bool) -> None:
    assert begins_with_a_verb(docstring) is verb


def test_any_checkout_can_be_measured() -> None:
    told = table([REPOSITORY, Path(REPOSITORY)])
    assert told.splitlines()[0].count(REPOSITORY.name) == 2
    assert "| arrows between them | " in told
