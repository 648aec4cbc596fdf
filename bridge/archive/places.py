"""Where an archive is: a directory, or a place that fsspec reaches, such as s3://bucket/events.

A file appears whole or not at all. In a directory it is written under another name, synced, and renamed. An object
store shows an object when all of it has arrived.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any, Protocol
from uuid import uuid4

from bridge.errors import ArchiveUnavailable, BridgeError, NotInstalled, UsageError
from bridge.wording import said

UNFINISHED = ".unfinished"
MOST_TRIES = 10


class Place(Protocol):
    """A place for files.

    Everything raises ArchiveUnavailable where the place refuses or does not answer.
    """

    def write(self, name: str, pieces: Iterable[bytes]) -> None:
        """Write a file, so that it is there whole or not at all, also after a crash."""

    def open(self, name: str) -> IO[bytes]:
        """Open a file to read it.

        Raises:
            FileNotFoundError: there is none.
        """

    def names(self) -> list[str]:
        """Name the files, in order."""

    def unfinished(self) -> list[str]:
        """Name what was begun and is not finished: runs are under way that write it, or have died."""

    def age_seconds(self, name: str) -> float:
        """Return how long ago a file was written, by this machine's clock.

        Raises:
            FileNotFoundError: there is none.
        """

    def remove(self, name: str) -> None:
        """Remove a file, if it is there."""


def place_of(text: str) -> Place:
    """Return the place that a directory's path or a URL names.

    Raises:
        UsageError: it is empty, or a URL that fsspec does not know.
        NotInstalled: a URL needs fsspec, or a package of its own.
    """
    if not text:
        raise UsageError("an archive needs a directory or a URL such as s3://bucket/events")
    name = without_password(text)
    if "://" not in text:
        return Named(Directory(Path(text)), name)
    if text.startswith("file://"):
        return Named(Directory(Path(text.removeprefix("file://"))), name)
    try:
        import fsspec
    except ImportError as error:
        raise NotInstalled(f"the archive {name} needs fsspec: pip install 'celery-event-bridge[archive]'") from error
    try:
        # Without a cache of listings: another process may have written a file anew since, of another size.
        filesystem, root = fsspec.core.url_to_fs(text, use_listings_cache=False)
    except ImportError as error:  # of the package for this kind of URL
        raise NotInstalled(f"the archive {name} can't be reached: {said(error)}") from error
    except ValueError as error:
        raise UsageError(f"the archive {name} is no place: {said(error)}") from error
    return Named(Remote(filesystem, root), name)


def filled_place_of(text: str) -> Place:
    """Return the place that a directory's path or a URL names, where files are.

    Raises:
        UsageError: it is as in `place_of`, or there are none.
        NotInstalled: as in `place_of`.
        ArchiveUnavailable: it does not answer.
    """
    place = place_of(text)
    if not place.names():
        raise UsageError(
            f"the archive {without_password(text)} is not there, or empty: is its name right? "
            "If nothing was pruned yet, leave it out"
        )
    return place


def without_password(text: str) -> str:
    """Return a place's URL as a message may show it: without the password that may stand before its host."""
    return re.sub(r"^([^:/]+://[^:/@]*):.*@", r"\1:***@", text)


@contextmanager
def said_of(what: str) -> Iterator[None]:
    """Turn whatever a place raises into one line; packages for object stores have errors of their own.

    Raises:
        ArchiveUnavailable: with the kind of the error, and its text.
        FileNotFoundError: as it came.
    """
    try:
        yield
    except (BridgeError, FileNotFoundError):
        raise
    except Exception as error:
        raise ArchiveUnavailable(f"{what}: {type(error).__name__}: {said(error)}") from error


class NoSuchBucket(Exception):
    """A store has no bucket of this name; without this, its archive would be taken for an empty one."""


class Named:
    """A place whose errors say which archive it is.

    Args:
        place: The place itself.
        text: What the user called it, without a password.
    """

    def __init__(self, place: Place, text: str) -> None:
        self._place, self._text = place, text

    def write(self, name: str, pieces: Iterable[bytes]) -> None:
        """Write a file."""
        what = f"{name} can't be written to the archive {self._text}"
        try:
            with said_of(what):
                self._place.write(name, pieces)
        except FileNotFoundError as error:  # there is no such bucket
            raise ArchiveUnavailable(f"{what}: {said(error)}") from error

    def open(self, name: str) -> IO[bytes]:
        """Open a file to read it."""
        with said_of(f"{name} can't be read from the archive {self._text}"):
            return self._place.open(name)

    def names(self) -> list[str]:
        """Name the files."""
        with said_of(f"the archive {self._text} can't be listed"):
            return self._place.names()

    def unfinished(self) -> list[str]:
        """Name what is not finished."""
        with said_of(f"the archive {self._text} can't be listed"):
            return self._place.unfinished()

    def age_seconds(self, name: str) -> float:
        """Return how long ago a file was written."""
        with said_of(f"{name} can't be looked at in the archive {self._text}"):
            return self._place.age_seconds(name)

    def remove(self, name: str) -> None:
        """Remove a file, if it is there."""
        with said_of(f"{name} can't be removed from the archive {self._text}"):
            self._place.remove(name)


class Directory:
    """A directory of this machine, which is made when the first file is written."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def write(self, name: str, pieces: Iterable[bytes]) -> None:
        """Write under another name, sync, rename, sync the directory: a crash leaves the old file or the new one."""
        self._path.mkdir(parents=True, exist_ok=True)
        whole = list(pieces)
        for _ in range(MOST_TRIES):
            with suppress(FileNotFoundError):  # an erasure removes what is not finished
                self._write(name, whole)
                return
        raise ArchiveUnavailable(f"{name} was removed again and again while it was written")

    def _write(self, name: str, pieces: list[bytes]) -> None:
        # The name is this run's own: of two that write the same file, each finishes what it has begun.
        unfinished = self._path / f".{name}.{uuid4().hex}{UNFINISHED}"
        try:
            with unfinished.open("wb") as file:
                file.writelines(pieces)
                file.flush()
                os.fsync(file.fileno())
            unfinished.replace(self._path / name)
        except BaseException:
            unfinished.unlink(missing_ok=True)  # on a full disk it would keep the last space
            raise
        self._sync()

    def open(self, name: str) -> IO[bytes]:
        """Open a file to read it."""
        return (self._path / name).open("rb")

    def names(self) -> list[str]:
        """Name the files, but for those that were never finished."""
        return [name for name in self._all() if not name.startswith(".")]

    def unfinished(self) -> list[str]:
        """Name what was begun and not renamed."""
        return [name for name in self._all() if name.startswith(".") and name.endswith(UNFINISHED)]

    def _all(self) -> list[str]:
        try:
            return sorted(path.name for path in self._path.iterdir())
        except FileNotFoundError:
            return []

    def age_seconds(self, name: str) -> float:
        """Return how long ago a file was written."""
        return time.time() - (self._path / name).stat().st_mtime

    def remove(self, name: str) -> None:
        """Remove a file, if it is there."""
        (self._path / name).unlink(missing_ok=True)
        self._sync()

    def _sync(self) -> None:
        directory = os.open(self._path, os.O_RDONLY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)


class Remote:
    """A place that fsspec reaches."""

    def __init__(self, filesystem: Any, root: str) -> None:
        self._filesystem = filesystem
        self._root = root.rstrip("/")

    def write(self, name: str, pieces: Iterable[bytes]) -> None:
        """Send a file; it is there once all of it has arrived."""
        # In one call: a file that is open for writing becomes an object, cut off, when an error closes it.
        self._filesystem.pipe_file(f"{self._root}/{name}", b"".join(pieces))

    def open(self, name: str) -> IO[bytes]:
        """Open a file to read it."""
        opened: IO[bytes] = self._filesystem.open(f"{self._root}/{name}", "rb")
        return opened

    def names(self) -> list[str]:
        """Name the files."""
        self._filesystem.invalidate_cache()
        try:
            found = self._filesystem.ls(self._root, detail=False)
        except FileNotFoundError:
            bucket = self._root.partition("/")[0]
            if bucket and not self._filesystem.exists(bucket):
                raise NoSuchBucket(f"there is no {bucket}") from None
            return []
        return sorted(str(path).rpartition("/")[2] for path in found)

    def unfinished(self) -> list[str]:
        """Name nothing: what has not arrived as a whole is not there."""
        return []

    def age_seconds(self, name: str) -> float:
        """Return how long ago a file was written; 0 where the place can't tell."""
        try:
            return time.time() - float(self._filesystem.modified(f"{self._root}/{name}").timestamp())
        except NotImplementedError:
            return 0

    def remove(self, name: str) -> None:
        """Remove a file, if it is there."""
        with suppress(FileNotFoundError):
            self._filesystem.rm_file(f"{self._root}/{name}")  # `rm` would take a `*` or `[` in the path for a pattern
