"""The package as an index shows it, and what follows from the address of its files."""

from __future__ import annotations

import re
import tomllib

from hatchling.metadata.core import ProjectMetadata
from hatchling.plugin.manager import PluginManager

from tests.support.stage import REPOSITORY

RULES = REPOSITORY / "deploy" / "prometheus" / "alerts.yml"


def metadata_of(root: str) -> ProjectMetadata[PluginManager]:
    """Return the metadata that a build in this folder would have."""
    return ProjectMetadata(root, PluginManager())


def runbooks_at() -> str:
    """Return where the paragraphs of the alerts are: below the address of the files, if there is one."""
    settings = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["tool"]["hatch"]["metadata"]["hooks"]
    files = str(settings["custom"]["files"]).rstrip("/")
    return f"{files}/docs/alerts.md".lstrip("/")


def with_runbooks(rules: str) -> str:
    """Return the rules with the address of each runbook as it should be."""
    return re.sub(r"(runbook_url: )\S*?(?=#)", rf"\1{runbooks_at()}", rules)
