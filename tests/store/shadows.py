"""Shadows: a schema with traps, one for each function, operator, type and relation that the bridge's SQL names.

A trap that springs counts in a sequence, which no rollback undoes, and raises. What Postgres would prefer to its own
stands there: the same arguments, for a search path that names the schema first, and exact ones where Postgres' own take
any, which it prefers wherever the schema stands.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from importlib.resources import files
from itertools import product
from pathlib import Path
from typing import Any

import psycopg

import bridge

# The types of values that the bridge's statements have.
TYPES = ["text", "text[]", "bigint", "integer", "numeric", "boolean", "jsonb", "interval", "oid"]
TYPES += ["double precision", "timestamp with time zone"]
ALWAYS = {"=", "<>", "<", ">", "<=", ">=", "~~", "!~~"}  # IN, JOIN … USING, BETWEEN and LIKE look for these
# SQLAlchemy, psycopg and Alembic name these when they connect or look for a table.
OF_LIBRARIES = {
    "version",
    "current_schema",
    "to_regtype",
    "pg_table_is_visible",
    "pg_type",
    "pg_constraint",
}
POLYMORPHIC = {"any", "anyelement", "anynonarray", "anycompatible", "anycompatiblenonarray"}
POLYMORPHIC_ARRAYS = {"anyarray", "anycompatiblearray"}

PROCEDURES = """
SELECT p.proname, p.proretset, format_type(p.prorettype, NULL), t.typtype,
       ARRAY(SELECT format_type(a, NULL) FROM unnest(p.proargtypes) WITH ORDINALITY AS u (a, nth) ORDER BY nth)
  FROM pg_proc p JOIN pg_type t ON t.oid = p.prorettype
 WHERE p.pronamespace = 'pg_catalog'::regnamespace AND p.proname = ANY (%s) ORDER BY 1, 5
"""
OPERATORS = "SELECT DISTINCT oprname FROM pg_operator WHERE oprname = ANY (%s) ORDER BY 1"
RELATIONS = """
SELECT relname, string_agg(quote_ident(attname), ', ' ORDER BY attnum)
  FROM pg_class JOIN pg_attribute ON attrelid = pg_class.oid AND attnum > 0 AND atttypid <> 'anyarray'::regtype
 WHERE relnamespace = 'pg_catalog'::regnamespace AND relkind IN ('r', 'v') AND relname = ANY (%s) GROUP BY 1 ORDER BY 1
"""  # no view can have a column of any type of array
NAMED_TYPES = """
SELECT typname FROM pg_type
 WHERE typnamespace = 'pg_catalog'::regnamespace AND typtype = 'b' AND typelem = 0 AND typname = ANY (%s) ORDER BY 1
"""
BOOLEANS = ("=", "<>", "<", ">", "<=", ">=", "~", "!~", "~~", "!~~")


def words() -> list[str]:
    """Return every word of the bridge's statements, and of the modules that send some of their own."""
    sql = Path(str(files("bridge.sql"))).rglob("*.sql")
    store = (Path(bridge.__file__).parent / "store").rglob("*.py")
    bodies = [re.sub(r"--[^\n]*", "", path.read_text()) for path in sql] + [path.read_text() for path in store]
    return sorted(OF_LIBRARIES | set(re.findall(r"[a-z_][a-z0-9_]*", "\n".join(bodies))))


def operators() -> list[str]:
    """Return every operator of the bridge's statements."""
    bodies = [
        re.sub(r"--[^\n]*|'[^']*'", "", path.read_text()) for path in Path(str(files("bridge.sql"))).rglob("*.sql")
    ]
    found = set(re.findall(r"(?<![-+*/<>=~!@#%^&|])[-+*/<>=~!|]{1,3}(?![-+*/<>=~!@#%^&|])", "\n".join(bodies)))
    return sorted((found | ALWAYS) - {"*=", "=>"})


def cast_shadows(connection: psycopg.Connection[Any], schema: str) -> int:
    """Fill a schema with traps; return how many there are."""
    made = list(_statements(connection, schema))
    connection.execute("SET search_path = pg_catalog")
    with connection.transaction():
        connection.execute("SET LOCAL check_function_bodies = off")
        for start in range(0, len(made), 500):
            connection.execute("\n".join(made[start : start + 500]).encode())
    return len(made)


def sprung(connection: psycopg.Connection[Any], schema: str) -> bool:
    """Tell whether a trap was ever called."""
    found = connection.execute(f"SELECT is_called FROM {schema}.sprung".encode()).fetchone()
    return bool(found and found[0])


def _statements(connection: psycopg.Connection[Any], schema: str) -> Iterator[str]:
    named, execute = words(), connection.execute
    yield f"CREATE SEQUENCE {schema}.sprung; GRANT ALL ON SEQUENCE {schema}.sprung TO PUBLIC;"
    body = f"BEGIN PERFORM nextval(''{schema}.sprung''); RAISE EXCEPTION ''a shadow was called''; END"
    trap = f"LANGUAGE plpgsql SET search_path = pg_catalog AS '{body}';"
    yield f"CREATE FUNCTION {schema}.trap() RETURNS boolean {trap}"
    for name, returns, arguments in _functions(execute(PROCEDURES, [named]).fetchall()):
        yield f'CREATE FUNCTION {schema}."{name}"({", ".join(arguments)}) RETURNS {returns} {trap}'
    signs = execute(OPERATORS, [operators()]).fetchall()
    for left, right in product(TYPES, TYPES):
        for kind in ("boolean", "text"):
            yield f"CREATE FUNCTION {schema}.trap_{kind}({left}, {right}) RETURNS {kind} {trap}"
        for (operator,) in signs:
            kind = "boolean" if operator in BOOLEANS else "text"
            function = f"FUNCTION = {schema}.trap_{kind}"
            yield f"CREATE OPERATOR {schema}.{operator} (LEFTARG = {left}, RIGHTARG = {right}, {function});"
    for name, columns in execute(RELATIONS, [named]).fetchall():
        yield f"CREATE VIEW {schema}.{name} AS SELECT {columns} FROM pg_catalog.{name} WHERE {schema}.trap();"
        yield f"GRANT SELECT ON {schema}.{name} TO PUBLIC;"
    for (name,) in execute(NAMED_TYPES, [named]).fetchall():
        if name not in ("name", "char"):
            yield f'CREATE DOMAIN {schema}."{name}" AS pg_catalog."{name}" CHECK ({schema}.trap());'


def _functions(procedures: list[tuple[Any, ...]]) -> Iterator[tuple[str, str, tuple[str, ...]]]:
    """Yield name, result and arguments of a trap for each function, and of those with one or two for all types."""
    seen: set[tuple[str, tuple[str, ...]]] = set()
    for name, is_set, result, kind, arguments in procedures:
        returns = ("SETOF " if is_set else "") + ("text" if kind == "p" else result)
        ways = [tuple(arguments)] if "internal" not in arguments and "cstring" not in arguments else []
        if len(arguments) in (1, 2):
            ways += list(product(TYPES, repeat=len(arguments)))
        for way in ways:
            for concrete in _concrete(way):
                if (name, concrete) not in seen:
                    seen.add((name, concrete))
                    yield name, returns, concrete


def _concrete(arguments: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    """Yield the arguments with one type after the other in the place of those that take any."""
    plain = [argument.strip('"') for argument in arguments]
    if not set(plain) & (POLYMORPHIC | POLYMORPHIC_ARRAYS):
        yield arguments
        return
    for element in ("text", "bigint", "jsonb", "timestamp with time zone"):
        types = dict.fromkeys(POLYMORPHIC, element) | dict.fromkeys(POLYMORPHIC_ARRAYS, f"{element}[]")
        yield tuple(types.get(argument, given) for argument, given in zip(plain, arguments, strict=True))
