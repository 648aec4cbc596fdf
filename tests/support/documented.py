"""A project that is made of the code blocks of a page: those that begin with the name of a file."""

from __future__ import annotations

import re
from pathlib import Path

DOCS = Path(__file__).parents[2] / "docs"
BLOCK = re.compile(r"^```python\n# (?P<file>[\w/]+\.py)\n(?P<code>.*?)^```$", re.MULTILINE | re.DOTALL)


def write_blocks(page: str, directory: Path) -> list[str]:
    """Append each block of a page to its file, and return the names of the files."""
    found = [*BLOCK.finditer((DOCS / page).read_text(encoding="utf-8"))]
    for block in found:
        path = directory / block["file"]
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a", encoding="utf-8") as file:
            file.write(block["code"])
    return [block["file"] for block in found]
