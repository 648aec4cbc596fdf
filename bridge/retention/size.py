"""Tell whether the log comes near the size that it may have. Pure."""

from __future__ import annotations

WARN_FROM = 0.8  # of the limit


def size_warning(size: int, limit: int) -> str:
    """Say that the log is near its limit, or above it; nothing where it is far from it."""
    if size < WARN_FROM * limit:
        return ""
    return (
        f"the log has {_gigabytes(size)}, {size / limit:.0%} of bridge_log_limit ({_gigabytes(limit)}), and nothing "
        "is removed because of that: `eventbridge prune --older-than 30d --dry-run` says what can go and who holds it"
    )


def _gigabytes(size: int) -> str:
    return f"{size / 1e9:,.1f} GB" if size >= 1e8 else f"{size / 1e6:,.1f} MB"
