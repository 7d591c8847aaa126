"""Reading a real log: every way of reading gives the same events, byte for byte."""

import json
import secrets
from datetime import timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from event_store.log import reading
from event_store.log.appending import wire
from event_store.log.envelope import ANY, AppendRequest, Expectation, NewEvent, RecordedEvent
from runtime import database
from tests.appends import append_request

AWKWARD = (
    b'{"n": 1}',
    b"[1,\n\t2 ]",
    '{"ü":"\u2028 \U0001f600"}'.encode(),
    b'"\\u0000 \\u001f \\u001e \\n"',
    b'""',
    b"null",
    b' {"b":1, "a":2} ',
)


def store(url: str, requests: list[AppendRequest]) -> None:
    with database.connect(url, role="counterfoil_writer", name="test") as connection:
        wire.register(connection)
        connection.cursor(binary=True).execute(wire.CALL, wire.arguments(requests, epoch=1)).fetchall()


def reader(url: str) -> reading.Connection:
    return database.connect(url, role="counterfoil_reader", name="test")


def by_pages(connection: reading.Connection, size: int) -> list[RecordedEvent]:
    events: list[RecordedEvent] = []
    while page := reading.read_after(connection, events[-1].position if events else 0, limit=size):
        events += page
    return events


@pytest.fixture
def filled_url(database_url: str) -> str:
    requests = [
        AppendRequest(
            key=secrets.token_bytes(16),
            fingerprint=bytes(32),
            events=(
                NewEvent(
                    f"order-{n % 3}", f"shop.happened.v{1 + n % 2}", AWKWARD[n % len(AWKWARD)], b'{"m" : 1}'
                ),
                NewEvent(
                    "note-1", "shop.noted.v1", b"1", b"{}", partition_key=f"order-{n % 3}" if n % 2 else None
                ),
            ),
            expectations=(Expectation(f"order-{n % 3}", ANY), Expectation("note-1", ANY)),
        )
        for n in range(40)
    ]
    store(database_url, requests)
    return database_url


def test_copy_and_pages_of_any_size_give_the_same_events(filled_url: str):
    with reader(filled_url) as connection:
        copied = list(reading.copy_log(connection))

        assert list(range(1, 81)) == [event.position for event in copied]
        for size in (1, 7, 80, 5_000):
            assert copied == by_pages(connection, size)


def test_payloads_come_back_as_the_bytes_that_were_sent(filled_url: str):
    with reader(filled_url) as connection:
        sent = [AWKWARD[n % len(AWKWARD)] for n in range(40)]

        assert sent == [event.payload for event in reading.copy_log(connection) if event.stream != "note-1"]


def test_a_range_and_types_cut_the_same_part_out_of_every_way_of_reading(filled_url: str):
    types = ["shop.happened.v2"]
    with reader(filled_url) as connection:
        whole = [e for e in reading.copy_log(connection) if 10 < e.position <= 50 and e.type in types]

        assert whole == list(reading.copy_log(connection, after=10, upto=50, types=types))
        assert whole == reading.read_after(connection, 10, upto=50, types=types)


def test_a_stream_is_read_behind_a_version_and_up_to_a_position(filled_url: str):
    with reader(filled_url) as connection:
        whole = [event for event in reading.copy_log(connection) if event.stream == "order-1"]

        assert whole == reading.read_stream(connection, "order-1")
        assert whole[3:] == reading.read_stream(connection, "order-1", after_version=3)
        assert whole[:4] == reading.read_stream(connection, "order-1", upto=whole[3].position)


def test_a_partition_key_gathers_its_own_stream_and_what_declares_it(filled_url: str):
    with reader(filled_url) as connection:
        whole = [event for event in reading.copy_log(connection) if event.key == "order-1"]

        assert {"order-1", "note-1"} == {event.stream for event in whole}
        assert whole == reading.read_key(connection, "order-1")
        assert whole[2:5] == reading.read_key(
            connection, "order-1", after=whole[1].position, upto=whole[4].position
        )


@pytest.mark.anyio
async def test_more_streams_than_one_query_takes_are_loaded_all(database_url: str):
    streams = [(f"order-{n}", 0) for n in range(reading.STREAMS_PER_READ_MAX + 20)]
    store(database_url, [append_request(*(stream for stream, _ in streams))])

    async with await database.connect_async(
        database_url, role="counterfoil_reader", name="test"
    ) as connection:
        assert set(streams) == set(await reading.load_streams_async(connection, streams, limit=1))


@pytest.mark.anyio
async def test_of_each_stream_no_more_is_loaded_than_asked_for(filled_url: str):
    with reader(filled_url) as connection:
        first, second = (reading.read_stream(connection, stream) for stream in ("order-1", "order-2"))

    async with await database.connect_async(filled_url, role="counterfoil_reader", name="test") as connection:
        asked = [("order-1", 2), ("order-2", 0), ("order-1", 3), ("order-absent", 0)]
        found = await reading.load_streams_async(connection, asked, limit=2)

    expected = {("order-1", 2): first[2:4], ("order-2", 0): second[:2], ("order-1", 3): first[3:5]}
    assert {cursor: [event.position for event in events] for cursor, events in expected.items()} == {
        cursor: [event.position for event in events] for cursor, events in found.items()
    }


def test_a_time_names_the_prefix_recorded_until_then(filled_url: str):
    store(filled_url, [append_request("order-9")])
    with reader(filled_url) as connection:
        first, last = reading.read_after(connection, 79)

        assert 80 == reading.position_at(connection, first.recorded_at)
        assert 81 == reading.position_at(connection, last.recorded_at)
        assert 0 == reading.position_at(connection, first.recorded_at - timedelta(days=1))


def test_an_empty_log_has_a_head_at_zero(database_url: str):
    with reader(database_url) as connection:
        assert reading.Head(0, 1, None) == reading.head(connection)
        assert [reading.Epoch(1, 1)] == reading.epochs(connection)
        assert [] == list(reading.copy_log(connection))
        assert reading.leaf_at(connection, 1) is None


@pytest.mark.anyio
async def test_async_reading_gives_the_same_events(filled_url: str):
    with reader(filled_url) as connection:
        expected = list(reading.copy_log(connection))
        head = reading.head(connection)
    async with await database.connect_async(filled_url, role="counterfoil_reader", name="test") as connection:
        stream = [event for event in expected if event.stream == "order-2"]

        assert expected == await reading.read_after_async(connection, 0)
        assert stream == await reading.read_stream_async(connection, "order-2")
        assert head == await reading.head_async(connection)


texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=40)
awkward_texts = texts | st.text('\x1e\x1f\n\r\t\\\\",ü', min_size=1, max_size=8)

json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), inner)
    ),
    max_leaves=8,
)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(values=st.lists(json_values, min_size=1, max_size=20), indent=st.sampled_from([None, 1]))
def test_any_json_survives_the_log_byte_for_byte(database_url: str, values: list[object], indent: int | None):
    payloads = [json.dumps(value, ensure_ascii=indent is None, indent=indent).encode() for value in values]
    events = tuple(NewEvent("order-1", "shop.happened.v1", payload, b"{}") for payload in payloads)
    with reader(database_url) as connection:
        before = reading.head(connection).position
        store(database_url, [append_request("order-1", events=events)])

        assert payloads == [event.payload for event in reading.copy_log(connection, after=before)]
        assert payloads == [event.payload for event in reading.read_after(connection, before)]


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    names=st.lists(st.tuples(awkward_texts, awkward_texts, st.none() | awkward_texts), min_size=1, max_size=8)
)
def test_streams_types_and_keys_of_any_characters_are_copied_as_they_are_paged(
    database_url: str, names: list[tuple[str, str, str | None]]
):
    events = tuple(
        NewEvent(stream, type_name, b'{"n":\r\n1}' if n % 2 else b"{}", b"{}", partition_key=key)
        for n, (stream, type_name, key) in enumerate(names)
    )
    with reader(database_url) as connection:
        before = reading.head(connection).position
        store(database_url, [append_request(*dict.fromkeys(stream for stream, _, _ in names), events=events)])
        paged = reading.read_after(connection, before)

        assert names == [(event.stream, event.type, event.partition_key) for event in paged]
        assert paged == list(reading.copy_log(connection, after=before))


def test_large_payloads_with_and_without_line_breaks_are_copied_between_small_ones(database_url: str):
    large = json.dumps(["x" * 60] * 5_000).encode()
    broken = json.dumps({"text": '\\ " \t' * 50_000}, indent=1).encode()
    payloads = [*[b"{}"] * 500, large, *AWKWARD, broken, large, *[b"[\n]"] * 500, large]
    events = tuple(NewEvent("order-1", "shop.happened.v1", payload, b"{}") for payload in payloads)
    store(database_url, [append_request("order-1", events=events)])
    with reader(database_url) as connection:
        copied = list(reading.copy_log(connection))

        assert payloads == [event.payload for event in copied]
        assert copied == by_pages(connection, 5_000)
