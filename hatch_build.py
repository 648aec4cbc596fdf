"""Make the package's page of the README: what it links to, and where, follow from one setting.

`files` in `pyproject.toml` is the address under which a forge shows the files of this repository, such as
`https://github.com/OWNER/NAME/blob/main`. A package index shows no other file than the README. With an address, links
are absolute, and the page names source, docs and changelog. Without one, a link becomes its text and the file's name.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from hatchling.metadata.plugin.interface import MetadataHookInterface

LINK = re.compile(r"(!?)\[([^\]]*)\]\((?!https?://|mailto:)([^)\s]+)\)")
NO_LINKS = "The files that are named here are in the repository and in the source distribution.\n\n"


class PackagePage(MetadataHookInterface):
    """Gives the project its `readme` and its `urls`."""

    def update(self, metadata: dict[str, Any]) -> None:
        """Add both to what `pyproject.toml` says of the project."""
        files = str(self.config["files"]).rstrip("/")
        text = (Path(self.root) / "README.md").read_text(encoding="utf-8")
        metadata["readme"] = {"content-type": "text/markdown", "text": page(text, files)}
        metadata["urls"] = urls(files)


def page(text: str, files: str) -> str:
    """Return the README as an index shows it.

    Args:
        text: The README as it stands in the repository.
        files: The address of the files; empty if there is none.
    """

    def linked(found: re.Match[str]) -> str:
        image, words, target = found.groups()
        if files:
            return f"{image}[{words}]({_raw(files) if image else files}/{target})"
        return "" if image else f"{words} (`{target.rstrip('/')}`)"

    title, _, rest = text.partition("\n\n")
    return f"{title}\n\n{'' if files else NO_LINKS}{LINK.sub(linked, rest)}"


def urls(files: str) -> dict[str, str]:
    """Return what the page links to beside its text; nothing where there is no address."""
    if not files:
        return {}
    source = re.split(r"/(?:-/)?(?:blob|src)/", files)[0]
    return {
        "Source": source,
        "Documentation": f"{files}/docs/index.md",
        "Changelog": f"{files}/CHANGELOG.md",
    }


def _raw(files: str) -> str:
    """Return the address of the files themselves, which images need, and not of the pages that show them."""
    return re.sub(r"/(blob|src)/", "/raw/", files, count=1)
