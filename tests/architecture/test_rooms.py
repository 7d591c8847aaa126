"""What stands in which folder: a package that has rooms keeps no module next to them."""

from typing import Final

import pytest

from tests.architecture.source import ROOT

ROOMS: Final = {
    "event_store": {
        "log",
        "transport",
        "consumers",
        "proofs",
        "eventsourcing",
        "sql",
        "eventsourcing_module.py",  # the name that applications give as their PERSISTENCE_MODULE
    },
}


@pytest.mark.parametrize("package", ROOMS)
def test_a_package_with_rooms_has_nothing_next_to_them(package: str):
    found = {path.name for path in (ROOT / package).iterdir() if not path.name.startswith("__")}

    assert ROOMS[package] == found


@pytest.mark.parametrize("package", ROOMS)
def test_tests_stand_in_the_rooms_that_they_are_about(package: str):
    tested = {path.name for path in (ROOT / "tests" / package).iterdir() if not path.name.startswith("__")}

    assert tested <= ROOMS[package]
