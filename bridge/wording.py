"""Numbers, durations and moments, as people read them. Pure."""

from __future__ import annotations

from datetime import UTC, datetime


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
    line = " ".join(str(text).split())
    shown = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in line[: most + 1])
    return shown if len(shown) <= most else f"{shown[: most - 1]}…"


def moment(at: datetime | None) -> str:
    """Say a moment in UTC, to the second; empty for none."""
    return "" if at is None else at.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def span(seconds: float) -> str:
    """Say a duration in the one unit that says most: `90 s`, `2 min`, `2.5 h`."""
    for unit, size in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= 2 * size or seconds == size:
            return f"{seconds / size:,.1f} {unit}".replace(".0 ", " ")
    return f"{seconds:.1f} s".replace(".0 ", " ") if seconds < 10 else f"{seconds:.0f} s"
