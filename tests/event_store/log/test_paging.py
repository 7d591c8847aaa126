"""Pages of the log are bounded in rows and bytes, and leave nothing out."""

import pytest

from event_store.log import paging
from event_store.log.decoding import stem
from runtime import database
from tests.event_store.transport import carrying


@pytest.fixture
def conn(database_url):
    carrying.append(database_url, 30)
    with database.connect(database_url, role="counterfoil_relay", name="test") as conn:
        yield conn


def test_a_page_holds_the_events_as_the_log_does(conn, database_url):
    assert carrying.logged(database_url) == paging.page_after(conn, 0, rows_max=100)


@pytest.mark.parametrize("bounds", [{"rows_max": 7}, {"rows_max": 100, "bytes_max": 100}])
def test_pages_one_after_the_other_are_the_whole_log(conn, bounds):
    positions, sizes = [0], []
    while page := paging.page_after(conn, positions[-1], **bounds):
        positions += [event.position for event in page]
        sizes.append(len(page))

    assert list(range(31)) == positions
    assert max(sizes) < 10


def test_an_event_larger_than_a_page_is_a_page_of_its_own(conn):
    assert [1] == [event.position for event in paging.page_after(conn, 0, rows_max=100, bytes_max=1)]
    assert [4] == [event.position for event in paging.page_at(conn, [9, 4, 7], bytes_max=1)]


def test_a_page_of_some_types_ends_at_its_limit(conn):
    page = paging.page_after(conn, 4, rows_max=100, upto=11, stems=[stem(carrying.COUNTED)])

    assert [7, 10] == [event.position for event in page]


@pytest.mark.parametrize(
    ("after", "bounds", "reached", "found"),
    [
        (20, {"rows_max": 100, "positions_max": 100}, 30, [22, 25, 28]),
        (20, {"rows_max": 100, "positions_max": 5}, 25, [22, 25]),
        (20, {"rows_max": 1, "positions_max": 100}, 22, [22]),
        (20, {"rows_max": 0, "positions_max": 100}, 20, []),
        (30, {"rows_max": 100, "positions_max": 100}, 30, []),
        (40, {"rows_max": 100, "positions_max": 100}, 40, []),
    ],
)
def test_a_tail_says_how_far_it_reaches_and_where_the_log_ends(conn, after, bounds, reached, found):
    tail = paging.tail(conn, after, stems=[stem(carrying.COUNTED)], **bounds)

    assert (30, reached, found) == (tail.head, tail.reached, [event.position for event in tail.events])


def test_a_tail_of_no_type_reaches_to_the_end_and_one_of_any_holds_all(conn):
    tails = [paging.tail(conn, 20, stems=stems, rows_max=100, positions_max=100) for stems in ([], None)]

    assert [(30, 0), (30, 10)] == [(tail.reached, len(tail.events)) for tail in tails]


@pytest.mark.parametrize("bounds", [{"rows_max": 3}, {"rows_max": 100, "bytes_max": 100}, {"rows_max": 100}])
@pytest.mark.parametrize("stems", [[stem(carrying.COUNTED)], ["shop.never.v"]])
def test_pages_reach_to_their_end_unless_a_bound_cut_them(conn, bounds, stems):
    wanted = [event.position for event in paging.page_after(conn, 0, rows_max=100, upto=29, stems=stems)]
    positions, reached, pages = list[int](), 0, 0
    while reached < 29:
        page = paging.page_after(conn, reached, upto=29, stems=stems, **bounds)
        reached = paging.reached_by(page, upto=29, **bounds)
        positions += [event.position for event in page]
        pages += 1

    assert positions == wanted
    assert (pages > 1) == (bool(wanted) and bounds != {"rows_max": 100})
