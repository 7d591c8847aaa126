"""The page about consumers: its blocks run, its test tests something, and both together are as short as it says."""

import pytest

from tests.event_store.consumers import how_to

LINES_MAX = 30


def test_a_consumer_and_its_test_take_thirty_lines():
    lines = [line for text in how_to.blocks().values() for line in text.splitlines() if line.strip()]

    assert len(lines) <= LINES_MAX


def test_the_test_of_the_page_passes(tmp_path, database_url):
    how_to.write(tmp_path)

    with how_to.imported(tmp_path) as page:
        page.test_events_are_counted_by_type(database_url)


def test_the_test_of_the_page_finds_a_count_that_is_wrong(tmp_path, database_url):
    wrong = how_to.blocks()["counting"].replace("c.events + 1", "c.events + 2")
    how_to.write(tmp_path, counting=wrong)

    with how_to.imported(tmp_path) as page, pytest.raises(AssertionError):
        page.test_events_are_counted_by_type(database_url)
