"""In a Django project the log advises `manage.py bridge …`, which is what the user has."""

from __future__ import annotations

import logging
import re
from pathlib import Path

import pytest

from bridge.contrib.django.words import LOGGERS, AsTyped, advise_as_typed

PACKAGE = Path(__file__).parents[3] / "bridge"


def test_every_logger_of_the_bridge_advises_as_it_is_typed() -> None:
    named = set[str]()
    for path in PACKAGE.rglob("*.py"):
        text = path.read_text()
        named |= set(re.findall(r'^logger = logging\.getLogger\("([\w.]+)"\)', text, re.MULTILINE))
        if re.search(r"^logger = logging\.getLogger\(__name__\)", text, re.MULTILINE):
            named.add(".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts))
    assert named == set(LOGGERS)


def test_a_line_that_advises_a_command_is_changed_and_others_are_not(caplog: pytest.LogCaptureFixture) -> None:
    logger = logging.getLogger("bridge.watch")
    before = list(logger.filters)
    try:
        advise_as_typed()
        advise_as_typed()
        assert sum(isinstance(it, AsTyped) for it in logger.filters) == 1
        logger.warning("see `eventbridge explain %s`", "c")
        logger.warning("the eventbridge %s", "works")
    finally:
        for name in LOGGERS:
            for it in [it for it in logging.getLogger(name).filters if isinstance(it, AsTyped)]:
                logging.getLogger(name).removeFilter(it)
        logger.filters[:] = before
    assert [it.getMessage() for it in caplog.records] == ["see `manage.py bridge explain c`", "the eventbridge works"]
