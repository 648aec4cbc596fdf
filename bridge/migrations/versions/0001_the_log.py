"""The log, its clients, and what is in their hands.

The statements stand beside this file, frozen: `bridge/sql/schema.sql` is the present and moves on.
"""

from pathlib import Path

from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Create every table and function of the first version."""
    cursor = op.get_bind().connection.cursor()  # the driver's own: many statements at once, and `%` is just a sign
    cursor.execute(Path(__file__).with_suffix(".sql").read_text(encoding="utf-8"))
    cursor.close()
