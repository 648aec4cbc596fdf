"""What a check has found, and what a check is."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

from bridge.operate.doctor.facts import Facts, Source
from bridge.wording import one_line

# `at-risk`: time, order or events are; `warning`: it works, and will not for ever, or not as it should; `unknown`: what
# the check needs could not be asked.
Level = Literal["at-risk", "warning", "unknown", "ok"]
PAGE = "docs/doctor.md"
MOST_NAMED = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What one check says of one thing.

    Attributes:
        check: The name of the check, such as `eviction`.
        level: `at-risk`, `warning`, `unknown` or `ok`.
        text: What is so, in a sentence.
        do: The way out: a command or a setting; None where there is nothing to do.
        page: Where it is explained.
        data: The facts behind the text.
    """

    check: str
    level: Level
    text: str
    do: str | None = None
    page: str = PAGE
    data: Mapping[str, Any] = field(default_factory=dict)


class Fault(NamedTuple):
    """What is wrong, as a check says it; the check's name is added to it."""

    level: Level
    text: str
    do: str | None = None
    data: Mapping[str, Any] = {}


class Check(NamedTuple):
    """One check. Pure: facts in, faults out.

    Attributes:
        name: Its name, and that of its paragraph in the docs.
        needs: What has to be asked for it.
        faults: Yields what is wrong.
        fine: Says what is right, where nothing is wrong.
    """

    name: str
    needs: tuple[Source, ...]
    faults: Callable[[Facts], Iterator[Fault]]
    fine: Callable[[Facts], str]

    def findings(self, facts: Facts) -> list[Finding]:
        """Return what this check finds: at least one thing."""
        page = f"{PAGE}#{self.name}"
        if why := next(filter(None, map(facts.blocked, self.needs)), ""):
            return [Finding(check=self.name, level="unknown", text=f"not looked at: {why}", page=page)]
        found = [
            Finding(check=self.name, level=it.level, text=it.text, do=it.do, page=page, data=it.data)
            for it in self.faults(facts)
        ]
        return found or [Finding(check=self.name, level="ok", text=self.fine(facts), page=page)]


def some(names: Sequence[str]) -> str:
    """Name the first three, and say how many more there are."""
    more = len(names) - MOST_NAMED
    return ", ".join(map(one_line, names[:MOST_NAMED])) + (f" and {more} more" if more > 0 else "")
