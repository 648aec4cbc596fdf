"""Turn the errors of SQLAlchemy and psycopg into the bridge's own, told apart by SQLSTATE, constraint or type."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from bridge.errors import (
    BridgeError,
    InvalidClient,
    LogRewound,
    SchemaError,
    SchemaMissing,
    StoreLocked,
    StoreReadOnly,
    StoreRefused,
    StoreUnavailable,
    Unavailable,
    UsageError,
)
from bridge.store.sessions import READ_ONLY_WHY, is_harmless

# After these the same call may succeed: no connection (08), a statement that was prepared before a migration (0A), a
# session that is read-only or in a failed transaction (25) or has lost what was prepared (26), rolled back because of
# another transaction (40), out of resources (53), stopped by an operator (57), lock not available (55P03), system error
# (58).
TRANSIENT = ("08", "0A", "25", "26", "40", "53", "57", "55P03", "58")
# Errors of a connection that broke, which have no SQLSTATE. InternalError: a pooler whose server has ended may answer a
# COMMIT twice.
BROKEN = (psycopg.OperationalError, psycopg.InternalError, psycopg.InterfaceError)
ROLLED_BACK = "40"  # Postgres is there: two transactions waited for each other, say, and it has ended one
READ_ONLY = "25006"
LOCKED = "55P03"
POOLERS = "08P01"  # all that PgBouncer says itself: that a time-out of its own is over, or that it has no session
OF_POOLER = (
    "has the pooler a server session to spare (in session mode each connection keeps one), and does it reach Postgres? "
    "See `eventbridge about pooler`"
)
NO_RIGHT = "42501"
WITHOUT_RIGHTS = (
    "the role in bridge_database_url lacks rights: as the schema's owner run `eventbridge migrate --roles`, "
    "then GRANT fq_operator (for a bridge worker fq_bridge, to look fq_monitor) to it"
)
REWOUND = "FQ003"  # FQ…: raised by the functions in sql/schema
MISUSED = ("FQ001", "FQ002")
MISSING = ("42P01", "3F000", "42883")  # table, schema, function
# What a trigger of somebody's own may raise as well, about one row: another server that it asks is away (08), something
# that Postgres can't do there (0A), a deadlock (40), more time than a statement has (57014), what it calls was dropped.
AMBIGUOUS = ("08", "0A", "40", "57014", *MISSING)
CHECK_VIOLATION = "23514"


@contextmanager
def translated() -> Iterator[None]:
    """Turn a driver's error inside the block into ours; the driver's is its cause.

    Raises:
        StoreUnavailable: Postgres refused, dropped or timed out, or no connection of the pool became free.
        StoreReadOnly, StoreLocked: of these, the session takes no writes, or a lock was not to be had in time.
        SchemaMissing: a table or a function of the schema is not there.
        InvalidClient: a row of `fq.clients` breaks one of its constraints.
        LogRewound: the events' sequence is behind the horizon.
        UsageError: a function of the schema refused its arguments.
        StoreRefused: Postgres refused the statement for any other reason, and would refuse it again.
    """
    try:
        yield
    except DBAPIError as error:
        raise _meaning(error) from error
    except PoolTimeout as error:
        raise StoreUnavailable(f"no free connection to Postgres: {error}") from error


def may_be_about_a_row(error: BaseException) -> bool:
    """Tell whether an error of ours that says to wait may still be about one row that the statement carries."""
    state = getattr(getattr(error.__cause__, "orig", None), "sqlstate", None) or ""
    return state.startswith(AMBIGUOUS)


def may_pass(error: BaseException) -> bool:
    """Tell whether an error of ours may be over when the same is tried again at once: it is not surely about a row.

    An internal error (XX000) is such a one: Postgres raises it where somebody changes a table beside a statement.
    """
    if isinstance(error, Unavailable | SchemaError):
        return True
    cause = getattr(error.__cause__, "orig", None)
    return isinstance(cause, psycopg.Error) and not is_harmless(cause)


def _meaning(error: DBAPIError) -> BridgeError:
    """Return the error of ours that a driver's error amounts to."""
    cause = error.orig
    state = getattr(cause, "sqlstate", None) or ""
    diagnosis = getattr(cause, "diag", None)
    lines = (getattr(diagnosis, "message_primary", None) or str(cause)).splitlines()
    primary = "; ".join(line.strip() for line in lines if line.strip())  # libpq indents with a tab
    hint = getattr(diagnosis, "message_hint", None)
    full = f"{primary}: {hint}" if hint else primary
    constraint = getattr(diagnosis, "constraint_name", None) or ""
    if state == REWOUND:
        return LogRewound(full)
    if state in MISUSED:
        return UsageError(full)
    if state in MISSING:
        why = "run `eventbridge migrate`, or, if it finds nothing to do, see `eventbridge doctor`"
        return SchemaMissing(f"{primary}: {why}")
    if state == CHECK_VIOLATION and constraint.startswith("clients_"):
        return InvalidClient(primary)
    if state == READ_ONLY:
        return StoreReadOnly(f"Postgres takes no writes ({primary}): {READ_ONLY_WHY}")
    if state == LOCKED:
        return StoreLocked(f"a lock was not to be had in time: {primary}")
    if state == NO_RIGHT:
        return StoreRefused(f"{full}: {WITHOUT_RIGHTS}")
    if not state and isinstance(cause, BROKEN):
        return StoreUnavailable(
            f"Postgres is not available: {primary}: is it up and not full, and are host, user, password and "
            "database in bridge_database_url right?"
        )
    if state.startswith(ROLLED_BACK):
        return StoreUnavailable(f"Postgres has rolled this back ({primary}): nothing of it is done, try it again")
    if state == POOLERS:
        return StoreUnavailable(f"Postgres is not available: the pooler says {primary}: {OF_POOLER}")
    if state.startswith(TRANSIENT):
        return StoreUnavailable(f"Postgres is not available: {primary}")
    return StoreRefused(f"Postgres refused ({state or type(cause).__name__}): {full}")
