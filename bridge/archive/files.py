"""The files of an archive: written, read back and verified, and only then named in a manifest.

A crash at any moment leaves either no manifest, and then the file is none, or both, whole.
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import IO, Any, Literal

from bridge.archive.lines import ArchiveDamaged
from bridge.archive.places import Place, said_of
from bridge.archive.zstd import zstd
from bridge.errors import UsageError

FORMAT = 1
MANIFEST, LINES = ".manifest.json", ".jsonl.zst"
PIECE_BYTES = 1 << 20
Kind = Literal["events", "journal"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """What is in a file of an archive; it is written beside it as JSON.

    Attributes:
        format: Of the lines: 1.
        kind: `events`, or `journal`.
        log: The id of the log.
        generation: The log's generation when the file was written.
        first: The lowest offset in it, or number of an entry of the journal.
        last: The highest one.
        count: How many lines there are.
        file: The name of the file, which has a part of its checksum in it: another content is another file.
        bytes: The size of the file.
        sha256: Of the file, as it lies there.
        written_at: When, in UTC.
    """

    format: int = FORMAT
    kind: Kind
    log: str
    generation: int
    first: int
    last: int
    count: int
    file: str
    bytes: int
    sha256: str
    written_at: str

    @property
    def name(self) -> str:
        """The name of the manifest; that of its file, so that no other content of the same range replaces it."""
        return f"{self.file.removesuffix(LINES)}{MANIFEST}"


def _stem(kind: Kind, first: int, last: int) -> str:
    return f"{kind}-{first:019d}-{last:019d}"


def write_file(
    place: Place, lines: Iterable[tuple[int, str]], *, kind: Kind, log: str, generation: int
) -> Manifest | None:
    """Write lines into a file, read it back, and write its manifest.

    Args:
        place: Where.
        lines: Each with its offset, in the order of these.
        kind: What they are.
        log: The log's id.
        generation: The log's generation.

    Returns:
        The manifest; None if there were no lines.

    Raises:
        ArchiveDamaged: what was read back is not what was written; there is no manifest.
    """
    pieces, numbers = _compressed(lines)
    if not numbers:
        return None
    sha256 = hashlib.sha256(b"".join(pieces)).hexdigest()
    manifest = Manifest(
        kind=kind,
        log=log,
        generation=generation,
        first=numbers[0],
        last=numbers[-1],
        count=len(numbers),
        file=f"{_stem(kind, numbers[0], numbers[-1])}-{sha256[:12]}{LINES}",
        bytes=sum(map(len, pieces)),
        sha256=sha256,
        written_at=datetime.now(UTC).isoformat(timespec="seconds"),
    )
    place.write(manifest.file, pieces)
    verify(place, manifest)
    place.write(manifest.name, [json.dumps(asdict(manifest), indent=1).encode() + b"\n"])
    return manifest


def manifests(place: Place, *, log: str, kind: Kind = "events") -> list[Manifest]:
    """Read the manifests of an archive, in the order of what is in the files.

    Raises:
        UsageError: the archive is of another log, or of a newer version of this package.
        ArchiveDamaged: a manifest is not as it was written.
        ArchiveUnavailable: the place can't be read.
    """
    found = []
    for name in place.names():
        if not (name.startswith(f"{kind}-") and name.endswith(MANIFEST)):
            continue
        manifest = _manifest(place, name)
        if manifest.log != log:
            raise UsageError(f"{name} is of log {manifest.log}, and not of this one, {log}: name another archive")
        found.append(manifest)
    return sorted(found, key=lambda manifest: (manifest.first, manifest.last))


def _manifest(place: Place, name: str) -> Manifest:
    try:
        with said_of(f"{name} can't be read"), place.open(name) as file:
            text = file.read()
        said: Any = json.loads(text)
        if type(said["format"]) is int and said["format"] > FORMAT:
            raise UsageError(f"{name} has format {said['format']}: upgrade celery-event-bridge here")
        manifest = Manifest(**said)
        if not (type(manifest.first) is type(manifest.last) is type(manifest.count) is int):
            raise ValueError("an offset is no number")
        if type(manifest.file) is not str or "/" in manifest.file:
            raise ValueError("its file is no name")
    except (ValueError, KeyError, TypeError, FileNotFoundError) as error:
        raise ArchiveDamaged(f"{name} is not as it was written: {error}: take it from a copy of the archive") from error
    return manifest


def verify(place: Place, manifest: Manifest) -> None:
    """Read a file as it lies there, and compare it with its manifest.

    Raises:
        ArchiveDamaged: they differ.
    """
    name, digest, count = manifest.file, hashlib.sha256(), 0
    with said_of(f"{name} can't be read"), place.open(name) as file:
        for piece in iter(lambda: file.read(PIECE_BYTES), b""):
            digest.update(piece)
    if digest.hexdigest() != manifest.sha256:
        raise ArchiveDamaged(f"{name} is not as it was written: its sha256 is {digest.hexdigest()}")
    for _ in read_lines(place, manifest):
        count += 1
    if count != manifest.count:
        raise ArchiveDamaged(f"{name} has {count} lines, and should have {manifest.count}")


def read_lines(place: Place, manifest: Manifest) -> Iterator[str]:
    """Yield the lines of a file, without their ends.

    Raises:
        ArchiveDamaged: it is not there, or not as it was written.
        ArchiveUnavailable: the place can't be read.
    """
    compressor, unread = zstd(), f"{manifest.file} can't be read"
    with said_of(unread):
        try:
            with place.open(manifest.file) as file, compressor.open(file, "rb") as unpacked:
                for line in io.TextIOWrapper(_as_bytes(unpacked), encoding="utf-8", newline="\n"):
                    yield line.removesuffix("\n")
        except (compressor.ZstdError, EOFError, UnicodeDecodeError, FileNotFoundError) as error:
            raise ArchiveDamaged(f"{unread}: {error}") from error


def _as_bytes(file: Any) -> IO[bytes]:
    opened: IO[bytes] = file
    return opened


def _compressed(lines: Iterable[tuple[int, str]]) -> tuple[list[bytes], list[int]]:
    """Return the bytes of the file, in pieces, and the offsets in it."""
    compressor, pieces, numbers = zstd().ZstdCompressor(), list[bytes](), list[int]()
    for number, line in lines:
        pieces.append(compressor.compress(line.encode() + b"\n"))
        numbers.append(number)
    pieces.append(compressor.flush())
    return [piece for piece in pieces if piece], numbers
