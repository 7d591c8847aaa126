"""Shops that tests share when they leave no damage behind; a test that breaks something starts its own."""

import pytest

from counterfoil import generating
from tests.acceptance.running import Up, last_json


@pytest.fixture(scope="session")
def shops(tmp_path_factory):
    """Starts shops below directories of their own; all are stopped at the end."""
    started = []

    def start(*, distributed=False):
        up = Up(tmp_path_factory.mktemp("shop") / "home", distributed=distributed)
        started.append(up)
        return up

    yield start
    for up in started:
        up.stop()


@pytest.fixture(scope="session")
def sold(shops, small_file):
    """A standalone shop with a history; whoever damages it repairs it again. And what its import printed."""
    return imported_into(shops(), small_file)


@pytest.fixture(scope="session")
def sold_distributed(shops, small_file):
    """The same with Kafka."""
    return imported_into(shops(distributed=True), small_file)


def imported_into(shop, file):
    finished = shop.run("import", "online-retail", file, "--json", timeout_s=200)
    assert finished.returncode == 0, finished.stderr[-3000:]
    return shop, last_json(finished)


@pytest.fixture(scope="session")
def small_file(tmp_path_factory):
    """A generated file: 40 products, 60 customers, 300 orders."""
    path = tmp_path_factory.mktemp("files") / "online-retail.csv"
    generating.write_retail_file(path, seed=7, products=40, customers=60, orders=300)
    return path
