"""The id of a parked event, such as `billing:17`: Django's admin needs one column, and the table's key has two.

The view `fq.parked_events` has it as a column. A search by it goes to the two columns that it is made of, which have an
index; by the column itself each click would read all that is parked.
"""

from __future__ import annotations

from typing import Any

from django.core.exceptions import EmptyResultSet
from django.db.models import TextField
from django.db.models.lookups import Lookup

LARGEST_OFFSET = 2**63 - 1


def parts_of(id: str) -> tuple[str, int] | None:
    """Return client and offset of an id; None where the text is no id."""
    client, colon, offset = str(id).rpartition(":")
    if not (colon and offset.isascii() and offset.isdecimal() and int(offset) <= LARGEST_OFFSET):
        return None
    return client, int(offset)


class ParkedId(TextField):
    """A text `client:offset`."""


@ParkedId.register_lookup
class OneOf(Lookup):
    """`pk__in` of many ids."""

    lookup_name = "in"

    def get_prep_lookup(self) -> list[tuple[str, int]]:
        """Return client and offset of each id; what is no id fits nothing."""
        return [parts for id in self._texts() if (parts := parts_of(id)) is not None]

    def as_sql(self, compiler: Any, connection: Any) -> tuple[str, list[Any]]:
        """Compare the two columns."""
        if not self.rhs:
            raise EmptyResultSet
        table = compiler.quote_name_unless_alias(self.lhs.alias)
        rows = ", ".join(["(%s, %s)"] * len(self.rhs))
        return f'({table}.client_id, {table}."offset") IN ({rows})', [part for parts in self.rhs for part in parts]

    def _texts(self) -> list[str]:
        return list(self.rhs)


@ParkedId.register_lookup
class Exactly(OneOf):
    """`pk=` of one id."""

    lookup_name = "exact"

    def _texts(self) -> list[str]:
        return [self.rhs]
