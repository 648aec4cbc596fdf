"""The clients under torture, and what is special about each."""

from __future__ import annotations

from typing import Any

CLIENTS: dict[str, dict[str, Any]] = {
    "orders": {"topics": ("order.#",), "window": 20, "max_attempts": 60},
    "everything": {"topics": ("#",), "window": 15, "ordering": "none", "max_attempts": 60},
    "line": {"topics": ("line.#",), "ordering": "strict", "max_attempts": 60},
    "poison": {"topics": ("order.paid.#",), "window": 8, "max_attempts": 4},
    "parcels": {"topics": ("order.#",), "window": 20, "batch": 5, "batch_as": "calls", "max_attempts": 60},
}
