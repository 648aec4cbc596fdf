-- Make the table of the schema's version, as Alembic would.
--
-- Binds      none
-- Returns    nothing
-- Relies on  nothing
CREATE TABLE IF NOT EXISTS fq.alembic_version (
    version_num varchar(32) NOT NULL CONSTRAINT alembic_version_pkc PRIMARY KEY
)
