"""Read amounts with their unit: a span such as `30d`, a size such as `200GB`, and a rate such as `100/s`. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping

SPANS: Mapping[str, float] = {"s": 1, "m": 60, "min": 60, "h": 3600, "d": 86_400, "w": 604_800}
SIZES: Mapping[str, float] = {
    **{"kB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12},
    **{"KiB": 2**10, "MiB": 2**20, "GiB": 2**30, "TiB": 2**40},
}
RATES: Mapping[str, float] = {"s": 1, "m": 60, "h": 3600}
MOST_SECONDS = 100 * 365 * 86_400.0  # a moment before that would be none that a datetime can name


def seconds_of(text: str) -> float:
    """Read a span of time, such as `30d`, `12h`, `10m` (or `10min`) or `45s`.

    Raises:
        ValueError: it is none, or nothing, or more than a century.
    """
    seconds = _amount(text.strip(), SPANS)
    if seconds is None or not 0 < seconds <= MOST_SECONDS:
        raise ValueError("must be a span such as 30d: a number and one of s, m (or min), h, d, w")
    return seconds


def bytes_of(text: str) -> int:
    """Read a size in bytes.

    Raises:
        ValueError: it is none, or nothing.
    """
    size = _amount(text, SIZES)
    if size is None or size < 1:
        raise ValueError(f"must be a size such as 200GB: a number and one of {', '.join(SIZES)}")
    return int(size)


def rate_of(text: str) -> float:
    """Read a rate, and return how many it is in a second.

    Raises:
        ValueError: it is none, or nothing.
    """
    found = re.fullmatch(r"(\d{1,9}(?:\.\d{1,6})?)/([smh])", text, re.ASCII)
    if not found or not float(found[1]):
        raise ValueError("must be a rate such as 100/s, 30/m or 5/h: a number above 0, and a second, minute or hour")
    return float(found[1]) / RATES[found[2]]


def _amount(text: str, units: Mapping[str, float]) -> float | None:
    found = re.fullmatch(r"(\d{1,9}(?:\.\d{1,3})?) ?([A-Za-z]{1,3})", text, re.ASCII)
    by_name = {name.lower(): factor for name, factor in units.items()}
    if not found or found[2].lower() not in by_name:
        return None
    return float(found[1]) * by_name[found[2].lower()]
