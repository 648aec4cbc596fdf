"""Numbers, durations and moments, as people read them, and texts that are not ours, as they may be shown. Pure."""

from __future__ import annotations

from datetime import UTC, datetime

SAID_CHARACTERS = 2_000  # of an error in a line of the log: our own longest messages fit


def counted(number: int, one: str, many: str | None = None) -> str:
    """Say how many there are, with the verb where one follows: `1 event waits`, `2 events wait`.

    Args:
        number: How many.
        one: The words that follow a one.
        many: The words that follow any other number; `one` with an s if it is left out.
    """
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def one_line(text: object, *, most: int = 300) -> str:
    """Return a text of somebody else's in one line that a terminal can show, and not too long."""
    line = " ".join(words_of(text).split())
    shown = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in line[: most + 1])
    return shown if len(shown) <= most else f"{shown[: most - 1]}…"


def words_of(it: object) -> str:
    """Return what an object of anybody's says of itself: its `str()` may raise, or return what is no text."""
    try:
        return str.__str__(str(it))
    except Exception as error:
        return f"{type(it).__name__} that can't be shown: its text raises {type(error).__name__}"


def said(error: object) -> str:
    """Return what an error says, of a server's or of anybody's code, as a line of the log may show it."""
    return one_line(error, most=SAID_CHARACTERS)


def moment(at: datetime | None) -> str:
    """Say a moment in UTC, to the second; empty for none."""
    return "" if at is None else at.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def span(seconds: float) -> str:
    """Say a duration in the one unit that says most: `90 s`, `2 min`, `2.5 h`."""
    for unit, size in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= 2 * size or seconds == size:
            return f"{seconds / size:,.1f} {unit}".replace(".0 ", " ")
    return f"{seconds:.1f} s".replace(".0 ", " ") if seconds < 10 else f"{seconds:.0f} s"


def cut(text: str, *, most: int) -> str:
    """Cut a text to at most so many characters, and show that it was longer."""
    return text if len(text) <= most else f"{text[: most - 1]}…"


def storable(text: str, *, most: int) -> str:
    r"""Return a text of at most so many characters that Postgres can hold: U+0000 becomes the four characters `\x00`.

    Half of a surrogate pair becomes six such as `\udce9`.
    """
    return cut(text, most=most).encode(errors="backslashreplace").replace(b"\0", rb"\x00").decode()


def cleaned(text: str, *, most: int) -> str:
    r"""Return a text in one line, of at most so many characters, as it may be shown in a log or on a terminal.

    A line break becomes the two characters `\n`, and any other character that can't be seen its code such as `\x1b`.
    """
    some = cut(text, most=most)
    return some if some.isprintable() else "".join(it if it.isprintable() else _code(it) for it in some)


def _code(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")
