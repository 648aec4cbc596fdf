"""The log, its clients, and their deliveries.

Until the first release this migration makes the schema as it is now. A release freezes it: CONTRIBUTING.md says how.
"""

from alembic import op

from bridge.sql import schema

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Create every table and function."""
    cursor = (
        op.get_bind().connection.cursor()
    )  # the driver's own: it takes many statements at once, and `%` is just a sign
    cursor.execute(schema())
    cursor.close()
