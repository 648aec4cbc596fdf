"""`about` says what a word of `doctor` and `explain` means, also where only the wheel is."""

from __future__ import annotations

import tomllib

from bridge.command import bridge
from bridge.command.about import BROKERS, SOURCES, names
from bridge.operate.doctor import CHECKS
from tests.command.running import ROOT, Run, done, refused


def test_each_check_of_the_doctor_and_each_cause_has_a_paragraph() -> None:
    assert {check.name for check in CHECKS} <= set(names())
    assert {"locked", "scheduled-late", "parked", "caught-up"} <= set(names())


def test_a_paragraph_is_printed_without_links_and_with_commands_as_they_are_typed(run: Run) -> None:
    said = done(run("about", "rewound"))
    assert "rewound, as `explain` says it" in said and "`bridge resync` says what was lost" in said
    assert "](" not in said and "**" not in said
    both = done(run("about", "unreadable"))
    assert "as `doctor` says it" in both and "as `explain` says it" in both


def test_a_link_is_shown_with_the_page_that_it_leads_to(run: Run) -> None:
    assert "says why: Dead letters (docs/dead-letters.md)." in " ".join(done(run("about", "parked")).split())
    assert "The bridge goes on: clocks (docs/faults.md)." in " ".join(done(run("about", "clock")).split())


def test_all_words_are_listed_and_a_wrong_one_is_refused(run: Run) -> None:
    said = done(run("about"))
    assert "words of `bridge doctor`:" in said and "visibility-timeout" in said
    assert "`bridge_keep`: How long events are kept" in done(run("about", "settings"))
    assert "`redis://`" in done(run("about", "brokers"))
    assert "nothing is known about 'nonsense'" in refused(run("about", "nonsense"))


def test_the_wheel_brings_the_pages() -> None:
    wheel = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]["wheel"]
    pages = {*SOURCES.values(), BROKERS[0]}
    assert wheel["force-include"] == {f"docs/{page}": f"bridge/pages/{page}" for page in sorted(pages)}


def test_no_message_names_a_page_that_is_not_there_where_a_wheel_is_installed() -> None:
    named = []
    for path in (ROOT / "bridge").rglob("*.py"):
        text = path.read_text()
        named += [path.name for line in text.splitlines() if "docs/" in line and ".md" in line and "see docs/" in line]
    assert named == []
    assert "about" in bridge.commands
