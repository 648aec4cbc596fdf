"""The package's page: each of its links leads somewhere, and all addresses follow from one setting."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from tests.support.package import metadata_of
from tests.support.stage import REPOSITORY

FILES = {
    "https://github.com/acme/bridge/blob/main": "https://github.com/acme/bridge/raw/main",
    "https://gitlab.com/acme/bridge/-/blob/v1": "https://gitlab.com/acme/bridge/-/raw/v1",
    "https://codeberg.org/acme/bridge/src/tag/v1/": "https://codeberg.org/acme/bridge/raw/tag/v1",
}
LINK = re.compile(r"(!?)\[[^\]]*\]\(([^)\s]+)\)")


def built_with(files: str, directory: Path) -> tuple[str, dict[str, str]]:
    """Return the page and the addresses of a package of this repository whose files are at an address."""
    for name in ("README.md", "LICENSE", "hatch_build.py"):
        shutil.copy(REPOSITORY / name, directory)
    (directory / "bridge").mkdir()
    shutil.copy(REPOSITORY / "bridge" / "__init__.py", directory / "bridge")
    settings = (REPOSITORY / "pyproject.toml").read_text()
    settings, found = re.subn(r'^files = ".*"$', f'files = "{files}"', settings, flags=re.MULTILINE)
    assert found == 1
    (directory / "pyproject.toml").write_text(settings)
    metadata = metadata_of(str(directory)).core
    assert metadata.readme_content_type == "text/markdown"
    return metadata.readme, metadata.urls


@pytest.mark.parametrize(("files", "raw"), FILES.items())
def test_with_an_address_each_link_of_the_page_is_absolute_and_names_a_file(
    files: str, raw: str, tmp_path: Path
) -> None:
    page, urls = built_with(files, tmp_path)
    links = LINK.findall(page)
    ours = [(image, target) for image, target in links if "acme/bridge" in target]
    assert len(ours) > 30 and all(target.startswith("https://") for _, target in links)
    for image, target in ours:
        base = raw if image else files.rstrip("/")
        name = target.removeprefix(f"{base}/").partition("#")[0]
        assert target.startswith(f"{base}/") and (REPOSITORY / name).exists(), target
    source = re.split(r"/(?:-/blob|blob|src)/", files)[0]
    assert urls["Source"] == source
    assert urls["Changelog"] == f"{files.rstrip('/')}/CHANGELOG.md"


def test_without_an_address_the_page_has_no_link_that_leads_nowhere(tmp_path: Path) -> None:
    page, urls = built_with("", tmp_path)
    assert urls == {}
    assert all(target.startswith("https://") for _, target in LINK.findall(page))
    assert "in the source distribution" in page and "Publishing (`docs/publishing.md`)" in page


def test_the_package_of_this_tree_has_a_page_and_a_version() -> None:
    metadata = metadata_of(str(REPOSITORY))
    assert metadata.core.readme.startswith("# Celery Event Bridge\n")
    assert re.fullmatch(r"\d+\.\d+\.\d+\S*", metadata.version)
