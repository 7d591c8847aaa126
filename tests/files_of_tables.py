"""What Postgres has of tables on disk."""

from collections.abc import Iterator
from typing import Any, Final

import psycopg

_FILES: Final = """
select coalesce(i.indrelid, t.oid, c.oid)::regclass::text, pg_relation_filepath(c.oid) from pg_class c
left join pg_index i on i.indexrelid = c.oid left join pg_class t on t.reltoastrelid = c.oid
where pg_relation_filenode(c.oid) is not null and not c.relisshared
"""


def files_of(conn: psycopg.Connection[Any]) -> Iterator[tuple[str, bytes]]:
    """The bytes of each table and index of a database, as they are on disk, by the name of its table."""
    for table, path in conn.execute(_FILES).fetchall():
        row = conn.execute("select pg_read_binary_file(%s)", [path], binary=True).fetchone()
        assert row is not None, "a file of a table that is there"
        yield table, row[0]
