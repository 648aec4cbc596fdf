-- Let one migration run at a time, until its transaction ends. Only who may migrate can take this lock; everybody who
-- may connect could take an advisory lock, and keep it. Readers are not in its way.
--
-- Binds      none
-- Returns    nothing
-- Relies on  a transaction; on alembic_version being there
LOCK TABLE fq.alembic_version IN EXCLUSIVE MODE
