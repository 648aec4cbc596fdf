"""Follow a page as a reader does: write its files, type its commands, and compare what they print.

A block of Python or SQL that begins with the name of a file, as in `# shop.py`, is that file. Each line `$ …` of a
`console` block is a command, and what stands below it is what it prints. In that, `…` stands for anything, and a line
that is only `…` for any lines. A block below `<!-- not run: why -->` is left out.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

DOCS = Path(__file__).parents[2] / "docs"
BLOCK = re.compile(
    r"(?P<mark><!-- not run: [^>]+ -->\n\n?)?^```(?P<kind>\w*)[^\n]*\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL
)
FILE = re.compile(r"^(?:#|--) (?P<file>[\w./-]+\.(?:py|sql|ini|toml|conf))\n")


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """A command that a page shows.

    Attributes:
        line: What is typed.
        output: What the page says that it prints; empty where it shows nothing.
    """

    line: str
    output: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """A block of a page.

    Attributes:
        kind: Its language, as `python` or `console`.
        text: What stands in it, without the name of its file.
        file: The file that it is; empty if it is none.
        is_run: False where the page says that it can't be run.
    """

    kind: str
    text: str
    file: str
    is_run: bool

    def commands(self) -> Iterator[Command]:
        """Yield the commands of a `console` block."""
        for part in re.split(r"^\$ ", self.text, flags=re.MULTILINE)[1:]:
            line, _, output = part.partition("\n")
            while line.endswith("\\"):
                more, _, output = output.partition("\n")
                line = line[:-1] + more.removeprefix("> ")
            yield Command(line=line, output=output.strip("\n"))


def blocks(page: str | Path) -> list[Block]:
    """Return the blocks of a page, in order.

    Args:
        page: Its path, below `docs/` unless it is absolute.
    """
    found = []
    for match in BLOCK.finditer((DOCS / page).read_text(encoding="utf-8")):
        text, file = match["text"], ""
        if named := FILE.match(text):
            text, file = text[named.end() :], named["file"]
        found.append(Block(kind=match["kind"], text=text, file=file, is_run=match["mark"] is None))
    return found


def matches(expected: str, printed: str) -> bool:
    """Tell whether a command has printed what a page says; blanks at the ends of lines do not count."""
    pattern = re.escape(_bare(expected)).replace("…\\\n", "…\n").replace("\\\n", "\n")
    pattern = re.sub(r"^…$\n?", r"(?:.*\\n)*?", pattern, flags=re.MULTILINE)
    pattern = pattern.replace("…", r"[^\n]*?")
    return re.fullmatch(pattern + r"\n*", _bare(printed) + "\n") is not None


def _bare(text: str) -> str:
    return "\n".join(line.rstrip() for line in text.strip("\n").splitlines())
