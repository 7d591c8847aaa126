"""One filled shop for all tests of tampering, of which each gets copies."""

import itertools
import shutil
from collections.abc import Callable, Iterator

import psycopg
import pytest
from psycopg import sql

from tests.tampering import shop
from tests.tampering.shop import Shop

_numbers = itertools.count(1)


@pytest.fixture(scope="session")
def original(new_database: Callable[[], str], tmp_path_factory: pytest.TempPathFactory) -> Shop:
    """A shop that no test changes."""
    return shop.filled(new_database(), tmp_path_factory.mktemp("shop"))


@pytest.fixture
def copied(original: Shop, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[], Shop]]:
    """Makes copies of the shop, database and tiles; each is a dozen MiB, so they are dropped when their test ends."""
    source = psycopg.conninfo.conninfo_to_dict(original.url)
    admin_url = psycopg.conninfo.make_conninfo(**{**source, "dbname": "postgres"})
    made: list[str] = []
    with psycopg.connect(admin_url, autocommit=True) as admin:

        def copy() -> Shop:
            name, folder = f"{source['dbname']}_copy_{next(_numbers)}", tmp_path_factory.mktemp("copy")
            statement = sql.SQL("create database {} template {} strategy file_copy")
            admin.execute(statement.format(*map(sql.Identifier, (name, str(source["dbname"])))))
            made.append(name)
            shutil.copytree(original.tiles, folder / "seal")
            url = psycopg.conninfo.make_conninfo(**{**source, "dbname": name})
            return Shop(url, folder / "seal", original.kept)

        yield copy
        for name in made:
            admin.execute(sql.SQL("drop database if exists {} with (force)").format(sql.Identifier(name)))
