"""The reference is made from the code, and is up to date."""

from __future__ import annotations

import os

from tests.conftest import Connect
from tests.support import reference
from tests.support.package import RULES, with_runbooks


def test_every_page_of_the_reference_is_what_the_code_says(connect: Connect) -> None:
    made = reference.pages(connect())
    if os.environ.get("BRIDGE_TEST_REFERENCE"):
        reference.PAGES.mkdir(exist_ok=True)
        for name, text in made.items():
            (reference.PAGES / name).write_text(text, encoding="utf-8")
    assert {it.name for it in reference.PAGES.glob("*.md")} == set(made)
    for name, text in made.items():
        written = (reference.PAGES / name).read_text(encoding="utf-8")
        assert written == text, f'{name} is old: BRIDGE_TEST_REFERENCE=1 make test ARGS="-k reference" writes it anew'


def test_runbooks_of_the_reference_deployment_are_where_the_docs_are() -> None:
    if os.environ.get("BRIDGE_TEST_REFERENCE"):
        RULES.write_text(with_runbooks(RULES.read_text()))
    assert RULES.read_text() == with_runbooks(RULES.read_text())
