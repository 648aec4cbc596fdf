"""Alembic's entry: runs the migrations on the connection that `bridge.store.migrate` hands over."""

from alembic import context

context.configure(
    connection=context.config.attributes["connection"],
    version_table="alembic_version",
    version_table_schema="fq",
    transaction_per_migration=False,
)
context.run_migrations()
