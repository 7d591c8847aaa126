"""SQL is constant or composed by `psycopg.sql`; no input ever becomes part of a statement's text."""

import pytest

from tests.architecture import constant_sql
from tests.architecture.source import broken, planted, product


def test_sql_never_holds_input():
    assert "" == broken(constant_sql.composed_sql)


def test_what_is_taken_for_sql_in_another_module_is_annotated_as_sql():
    annotated = {name for source in product() for name in constant_sql.answers_sql(source)}

    assert set() == constant_sql.trusted_elsewhere() - annotated


@pytest.mark.parametrize(
    "body",
    [
        'conn.execute(f"delete from orders where id = {order_id}")',
        'conn.execute("delete from orders where id = %s" % order_id)',
        'conn.execute("delete from orders where id = " + order_id)',
        'conn.execute("delete from {}".format(table))',
        "conn.execute(_DELETE.format(table))",
        'text = f"delete from {table}"\n    conn.execute(text)',
        'text = "delete from orders"\n    text += where\n    conn.execute(text)',
        "conn.execute(text)",
        'cursor.executemany(f"insert into {table} values (%s)", rows)',
        'cursor.copy(f"copy {table} to stdout")',
        'conn.execute(sql.SQL(f"drop table {table}"))',
        "conn.execute(sql.SQL(text))",
        'run(f"drop table {table}")',
        "await self._conn.execute(self.statement)",
        'for statement in texts.split(";"):\n        conn.execute(statement)',
    ],
)
def test_a_statement_that_may_hold_input_is_found(body: str):
    module = f"""
_DELETE = "delete from {{}}"

def run(statement: LiteralString): ...

async def planted(conn, cursor, order_id, table, where, rows, texts, self):
    {body}
"""
    assert planted(constant_sql.composed_sql, module)


@pytest.mark.parametrize(
    "body",
    [
        'conn.execute("select 1")',
        "conn.execute(_ONE, {'id': order_id})",
        "conn.execute(wire.CALL, arguments)",
        "conn.execute(_ONE if order_id else _ALL)",
        'conn.execute(sql.SQL("drop table {}").format(sql.Identifier(table)))',
        'text = sql.SQL("drop table {}").format(sql.Identifier(table))\n    conn.execute(text)',
        "conn.execute(composed(table))",
        "run(_ONE)",
    ],
)
def test_constants_and_compositions_are_allowed(body: str):
    module = f"""
_COLUMNS = "a, b"
_ALL = f"select {{_COLUMNS}} from orders"
_ONE = f"{{_ALL}} where id = %(id)s"

def composed(table) -> sql.Composed: ...

def run(statement: LiteralString):
    conn.execute(statement)

def planted(conn, order_id, table):
    {body}
"""
    assert not planted(constant_sql.composed_sql, module)
