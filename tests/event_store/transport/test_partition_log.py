"""The log seen as partitions: what repairs read must be what the relay would have published."""

import pytest

from event_store.transport import generations, partition_log
from event_store.transport.partitioning import PARTITIONS, partition_of
from event_store.transport.transport import Fork, Record
from runtime import database
from tests.event_store.transport import carrying

EVENT_COUNT = 90


@pytest.fixture
def log(database_url):
    carrying.append(database_url, EVENT_COUNT)
    return database_url


@pytest.fixture
def conn(log):
    with database.connect(log, role="counterfoil_projector", name="test") as conn:
        yield conn


@pytest.fixture
def generation(log):
    with database.connect(log, role="counterfoil_relay", name="test") as conn:
        return generations.settle(conn, carrier="kafka", partitions=PARTITIONS)


def expected(url, partition):
    return [event.position for event in carrying.logged(url) if partition_of(event.key, 12) == partition]


def read_all(conn, source, *, generation, upto=EVENT_COUNT, rows_max):
    records: list[Record] = []
    reached = pages = 0
    while reached < upto:
        page = partition_log.read_partition(
            conn, source, generation=generation, after=reached, upto=upto, rows_max=rows_max
        )
        assert reached < page.reached <= upto
        records, reached, pages = records + page.records, page.reached, pages + 1
    return records, pages


@pytest.mark.parametrize("rows_max", [1, 7, EVENT_COUNT, EVENT_COUNT + 1])
@pytest.mark.parametrize("source", [0, 5, 11])
def test_pages_of_a_partition_hold_its_events_whatever_their_size(conn, log, generation, source, rows_max):
    records, _ = read_all(conn, source, generation=generation, rows_max=rows_max)

    assert expected(log, source) == carrying.positions(records)


def test_a_page_reads_a_bounded_number_of_rows(conn, generation):
    _, pages = read_all(conn, 0, generation=generation, rows_max=10)

    assert EVENT_COUNT // 10 <= pages


@pytest.mark.parametrize("source", [5, 7])
def test_pages_bounded_in_bytes_leave_nothing_out(conn, log, generation, source):
    positions: list[int] = []
    reached = 0
    while reached < EVENT_COUNT:
        page = partition_log.read_partition(
            conn, source, generation=generation, after=reached, upto=EVENT_COUNT, bytes_max=1
        )
        assert len(page.records) <= 1
        positions, reached = positions + carrying.positions(page.records), page.reached

    assert expected(log, source) == positions


def test_a_page_ends_at_its_limit(conn, log, generation):
    page = partition_log.read_partition(conn, 5, generation=generation, after=20, upto=60)

    assert [each for each in expected(log, 5) if 20 < each <= 60] == carrying.positions(page.records)
    assert (60, 20) == (page.reached, page.records[0].prev)


def test_an_event_with_a_partition_key_of_its_own_is_in_that_key_s_partition(conn, log, generation):
    carrying.append(log, 1, streams=1, partition_key="order-elsewhere")
    source = partition_of("order-elsewhere", PARTITIONS)

    page = partition_log.read_partition(
        conn, source, generation=generation, after=EVENT_COUNT, upto=EVENT_COUNT + 1
    )

    assert ["order-elsewhere"] == [record.key for record in page.records]


def test_records_name_the_epoch_their_event_was_written_in(conn, log, generation):
    with carrying.owner(log) as owner:
        generations.fence(owner, reason="test", empty_documents=lambda: None)
    carrying.append(log, EVENT_COUNT, epoch=2)

    page = partition_log.read_partition(conn, 5, generation=generation, after=0, upto=2 * EVENT_COUNT)

    assert {1} == {record.epoch for record in page.records if record.position <= EVENT_COUNT}
    assert {2} == {record.epoch for record in page.records if record.position > EVENT_COUNT}


def test_leaves_that_the_log_holds_are_no_fork(conn, log):
    partition_log.verify_leaves(conn, {event.position: event.leaf for event in carrying.logged(log)[::9]})


@pytest.mark.parametrize("position", [3, EVENT_COUNT + 1])
def test_a_leaf_that_the_log_does_not_hold_there_is_a_fork(conn, log, position):
    first = carrying.logged(log)[0]

    with pytest.raises(Fork) as fork:
        partition_log.verify_leaves(conn, {1: first.leaf, position: first.leaf})
    assert position == fork.value.position
