"""Pages of tables that may be huge: nothing is counted beyond what a person can turn over."""

from __future__ import annotations

from functools import cached_property
from typing import Any

from django.core.paginator import Paginator

MOST_ROWS = 10_000


class BoundedPaginator(Paginator):
    """Counts up to `MOST_ROWS` rows, and shows no page behind them: a search finds what is older."""

    @cached_property
    def count(self) -> int:
        """Count the rows, up to `MOST_ROWS`."""
        rows: Any = self.object_list
        return int(rows.order_by()[:MOST_ROWS].count())
