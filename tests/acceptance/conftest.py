"""Shops that tests share when they leave no damage behind; a test that breaks something starts its own."""

import contextlib

import pytest

from counterfoil.cli.answering import EXIT_INCOMPLETE
from examples.online_retail import generating
from tests.acceptance.running import Up, last_json
from tests.sizes import IMPORTED

SHARED = ("sold", "sold_distributed")
"""Fixtures of shops that live from the first test that asks for them to the end of the run."""


def pytest_collection_modifyitems(items):
    """Tests that share a shop come last, in random order: a shop that nobody needs yet polls for nothing."""
    items.sort(key=_shared)


def _shared(item):
    """Which of them a test takes, from 1; 0 for none. A parameter may be its name."""
    given = item.callspec.params.values() if hasattr(item, "callspec") else ()
    asked = [*item.fixturenames, *given]
    return max((number for number, name in enumerate(SHARED, start=1) if name in asked), default=0)


@contextlib.contextmanager
def starting(tmp_path_factory):
    """Starts shops below directories of their own; all are stopped at the end, at the same time."""
    started = []

    def start(*options, distributed=False):
        up = Up(tmp_path_factory.mktemp("shop") / "home", *options, distributed=distributed)
        started.append(up)
        return up

    try:
        yield start
    finally:
        for up in started:
            up.ask_to_stop()
        for up in started:
            up.wait_stopped()


@pytest.fixture
def shops(tmp_path_factory):
    """Starts shops for one test, so that no others stand about idle while the next tests run."""
    with starting(tmp_path_factory) as start:
        yield start


@pytest.fixture(scope="session")
def shared_shops(tmp_path_factory):
    with starting(tmp_path_factory) as start:
        yield start


@pytest.fixture(scope="session")
def sold(shared_shops, small_file):
    """A standalone shop with a history; a test that damages it repairs it again. And what its import printed."""
    return imported_into(shared_shops(), small_file)


@pytest.fixture(scope="session")
def sold_distributed(shared_shops, small_file):
    """The same with Kafka."""
    return imported_into(shared_shops(distributed=True), small_file)


def imported_into(shop, file):
    finished = shop.run("import", "online-retail", file, "--json", timeout_s=600)
    assert finished.returncode == EXIT_INCOMPLETE, finished.stderr[-3000:]
    return shop, last_json(finished)


@pytest.fixture(scope="session")
def small_file(tmp_path_factory):
    """A generated file: 40 products, 60 customers, some orders, and three lines that can become nothing."""
    path = tmp_path_factory.mktemp("files") / "online-retail.csv"
    generating.write_retail_file(path, seed=7, products=40, customers=60, orders=IMPORTED.chosen)
    return path
