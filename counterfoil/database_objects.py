"""Functions, tables and rights of the database, compared with the migrations: a superuser changes these like rows.

A function that was replaced appends what it likes from then on, and row security or a view hides rows from those who
read. No leaf covers that. What Postgres itself was made to say, its own catalogue does not show.
"""

import re
from collections.abc import Iterator
from typing import Final, LiteralString, NamedTuple, get_args

from counterfoil import migrating
from event_store.log.findings import Finding
from event_store.log.reading import Connection
from runtime import database, migrations
from runtime.migrations import ChangedMigration, Differences

SCHEMAS: Final = (
    *("log", "secret", "transport", "consumers", "views", "seal", "security", "vault", "application"),
    "counterfoil",
)
"""What migrations made; schema consumer_tables belongs to the consumers that are declared."""
OWNER: Final = "counterfoil_owner"
READ_ONLY: Final = tuple(role for role in get_args(database.Role) if role != OWNER)
"""Roles of processes: none may change a row of the log but by its function."""

_FUNCTION: Final = re.compile(
    r"^create (?:or replace )?function (\w+\.\w+)\((.*?)\bas \$\$(.*?)\$\$", re.DOTALL | re.MULTILINE
)
_LANGUAGE: Final = re.compile(r"\blanguage (\w+)")
_SETTING: Final = re.compile(r"\bset (\w+) = (.+?)\s*$", re.MULTILINE)

_FUNCTIONS: Final = """
select n.nspname || '.' || p.proname, p.prosrc, l.lanname, p.prosecdef, coalesce(p.proconfig, '{}')
from pg_proc p join pg_namespace n on n.oid = p.pronamespace join pg_language l on l.oid = p.prolang
where n.nspname = any(%s) order by 1
"""
_DIVERTED: Final = """
with ours as (
    select c.oid, c.relname, c.relkind, c.relrowsecurity, n.nspname || '.' || c.relname as name, n.nspname
    from pg_class c join pg_namespace n on n.oid = c.relnamespace where n.nspname = any(%s)
)
select name, 'has the trigger ' || t.tgname from ours join pg_trigger t on t.tgrelid = ours.oid where not t.tgisinternal
union all
select name, 'has the rule ' || r.rulename from ours join pg_rewrite r on r.ev_class = ours.oid
where relkind in ('r', 'p')
union all
select name, 'hides rows by row security' from ours where relrowsecurity
union all
select name, 'has the rows of ' || i.inhrelid::regclass || ', too'
from ours join pg_inherits i on i.inhparent = ours.oid where relkind = 'r'
union all
select name, 'is no table' from ours
where relkind in ('v', 'm', 'f') and (nspname <> 'views' or relname ~ '_s[0-9]+_b[0-9]+$')
order by 1, 2
"""
_WIDENED: Final = """
select n.nspname || '.' || c.relname, 'may be changed by ' || r.rolname
from pg_roles r cross join pg_class c join pg_namespace n on n.oid = c.relnamespace
where r.rolname = any(%s) and n.nspname = 'log' and c.relkind in ('r', 'p') and (
    has_table_privilege(r.oid, c.oid, 'insert, update, delete, truncate, trigger')
    or has_any_column_privilege(r.oid, c.oid, 'insert, update')
)
order by 1, 2
"""
_REDIRECTED: Final = """
select coalesce('role ' || r.rolname, 'every role'), setting
from pg_db_role_setting s left join pg_roles r on r.oid = s.setrole cross join unnest(s.setconfig) as u (setting)
where (s.setdatabase = 0 or s.setdatabase = (select oid from pg_database where datname = current_database()))
    and setting ~ '^search_path=.*,.*pg_catalog'
order by 1, 2
"""


class Function(NamedTuple):
    """A function as Postgres stores it."""

    body: str
    language: str
    as_owner: bool
    settings: frozenset[str]


def examine(connection: Connection) -> tuple[list[Finding], list[str]]:
    """What is not as the migrations made it, and what could not be compared.

    Args:
        connection: in autocommit mode, in any role.
    """
    unexamined: list[str] = []
    found = [
        *_rows(connection, _DIVERTED, list(SCHEMAS)),
        *_rows(connection, _WIDENED, list(READ_ONLY)),
        *(
            f"names of Postgres' own mean others for {who}: {what}"
            for who, what in connection.execute(_REDIRECTED)
        ),
    ]
    try:
        comparison = migrations.compare(connection, migrating.components())
    except ChangedMigration as error:
        found.append(str(error))
    else:
        if comparison.unknown:
            unexamined.append(
                f"functions of the database: it is ahead of this program by {comparison.unknown[0]}"
            )
        else:
            found += _functions_that_differ(connection, comparison)
    remedy = "compare with a database that `counterfoil migrate` makes anew"
    return [Finding(0, "schema-changed", f"{each}; {remedy}") for each in found], unexamined


def _rows(connection: Connection, statement: LiteralString, names: list[str]) -> Iterator[str]:
    for name, what in connection.execute(statement, [names]):
        yield f"{name} {what}"


def _functions_that_differ(connection: Connection, comparison: Differences) -> Iterator[str]:
    expected = _functions_of(comparison)
    seen: set[str] = set()
    for name, body, language, as_owner, settings in connection.execute(_FUNCTIONS, [list(SCHEMAS)]):
        if name not in expected or name in seen:
            yield f"function {name} was added"
        elif expected[name] != Function(body, language, as_owner, frozenset(settings)):
            yield f"function {name} is not that of its migration"
        seen.add(name)
    yield from (f"function {name} was removed" for name in sorted(expected.keys() - seen))


def _functions_of(comparison: Differences) -> dict[str, Function]:
    """The functions that the applied migrations made, each as the last of them did."""
    pending = {migration.label for migration in comparison.pending}
    found: dict[str, Function] = {}
    for migration in migrations.files(migrating.components()):
        if migration.label in pending:
            continue
        for name, header, body in _FUNCTION.findall(migration.text):
            language = _LANGUAGE.search(header)
            found[name] = Function(
                body,
                "sql" if language is None else language[1],
                "security definer" in header,
                frozenset(f"{setting}={value}" for setting, value in _SETTING.findall(header)),
            )
    return found
