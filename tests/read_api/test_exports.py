"""Whole lists as NDJSON and CSV: of one position while everything is written, streamed, and safe to open."""

import asyncio
import csv
import io
import json
import socket
import threading

import httpx
import pytest

from counterfoil.contexts import CONTEXTS
from event_store.log import reading
from event_store.transport import position_token
from event_store.transport.partitioning import PARTITIONS, partition_of
from projections.mirroring import body_of
from projections.ordering.views import order_summary
from read_api.lists import downloads
from tests.commands.serving import serving
from tests.projections.feeding import append, feeding, fold_plainly, history, publish
from tests.read_api.stage import summary, token

pytestmark = pytest.mark.anyio

NDJSON = {"Accept": "application/x-ndjson"}
CSV = {"Accept": "text/csv"}


@pytest.fixture
def shop(stage):
    """1,200 orders."""
    stage.write(order_summary, [summary(n) for n in range(1_200)], position=7)
    stage.everybody_stands(9)
    return stage


async def test_an_export_while_everything_is_written_is_the_fold_of_one_position(
    stage, open_api, monkeypatch
):
    monkeypatch.setattr(downloads, "_FETCH", "fetch forward 3 from export")
    monkeypatch.setattr(downloads, "ROWS_PER_CHUNK", 3)
    events = history(17, steps=160)
    append(stage.database_url, events[: len(events) // 2])
    written, begun, stop = [], threading.Event(), threading.Event()

    def trade():
        with feeding(stage.database_url, CONTEXTS.views) as feeder:
            publish(stage.database_url)
            feeder.catch_up()
            begun.set()
            for event in events[len(events) // 2 :]:
                append(stage.database_url, [event])
                publish(stage.database_url)
                feeder.round()
                written.append(reading.head(feeder.conn).position)
                if stop.is_set():
                    return

    writer = threading.Thread(target=trade)
    writer.start()
    exports = []
    try:
        async with open_api() as client, asyncio.timeout(240):
            await asyncio.to_thread(begun.wait)
            while writer.is_alive() and (len(written) < 25 or len({each.content for each in exports}) < 3):
                exports.append(await client.get("/v1/orders", headers=NDJSON))
    finally:
        stop.set()
        writer.join()

    assert len({answer.content for answer in exports}) > 2, "hardly anything was written meanwhile"
    for answer in exports:
        reach = position_token.decode(answer.headers["applied-position"]).partitions
        log = [
            event
            for event in reading.read_after(stage.conn, 0)
            if event.position <= reach[partition_of(event.key, PARTITIONS)]
        ]
        folded = fold_plainly(order_summary, log).values()
        assert {body_of(row.row) for row in folded} == set(answer.content.splitlines())


async def test_all_rows_are_exported_in_order_with_filters_as_lines_or_records(shop, open_api):
    shop.write(order_summary, [summary(n, status="shipped") for n in range(0, 1_200, 2)], position=8)

    async with open_api() as client:
        lines = await client.get("/v1/orders?status=shipped&sort=placed_at", headers=NDJSON)
        records = await client.get("/v1/orders?status=shipped&sort=placed_at", headers=CSV)
        page = await client.get("/v1/orders?status=shipped&sort=placed_at&limit=1")

    assert lines.headers["content-type"] == "application/x-ndjson"
    assert records.headers["content-type"] == "text/csv; charset=utf-8; header=present"
    assert records.headers["content-disposition"] == 'attachment; filename="orders.csv"'
    rows = [json.loads(line) for line in lines.text.splitlines()]
    assert [row["order_id"] for row in rows] == [f"{536365 + n}" for n in range(0, 1_200, 2)]
    assert rows[:1] == page.json()["items"]
    read = list(csv.DictReader(io.StringIO(records.text, newline="")))
    assert read == [{name: str(value) for name, value in row.items()} for row in rows]
    assert all("Accept," in f"{answer.headers['vary']}," for answer in (lines, records, page))


def test_a_record_is_quoted_as_rfc_4180_says_and_is_no_formula():
    values = [None, "", 'say "a, b"', "a\r\nb", " x", -5, True, "=1+1", "-2", "@x", "\t=1", "\uff1d1", "1-2"]

    line = downloads.csv_line(values)

    assert line == (
        b',"","say ""a, b""","a\r\nb"," x",-5,true,\'=1+1,\'-2,\'@x,\'\t=1,\'\xef\xbc\x9d1,1-2\r\n'
    )
    (read,) = csv.reader(io.StringIO(line.decode(), newline=""))
    assert not any(each.startswith(("=", "+", "@", "\t", "\r")) for each in read)


@pytest.mark.parametrize(
    ("accept", "status", "media_type"),
    [
        ("*/*", 200, "application/json"),
        ("text/html,application/xhtml+xml,*/*;q=0.8", 200, "application/json"),
        ("text/*", 200, "text/csv; charset=utf-8; header=present"),
        ("application/x-ndjson;q=0.5, text/csv;q=0.4", 200, "application/x-ndjson"),
        ("application/json;q=0, */*", 200, "application/x-ndjson"),
        ("image/png", 406, "application/problem+json"),
        ("nonsense", 200, "application/json"),
    ],
)
async def test_the_media_type_is_what_the_caller_likes_best(api, accept, status, media_type):
    answer = await api.get("/v1/orders", headers={"Accept": accept})

    assert (answer.status_code, answer.headers["content-type"]) == (status, media_type)


async def test_a_media_type_that_no_list_has_is_refused_with_those_that_it_has(api):
    refused = (await api.get("/v1/orders", headers={"Accept": "image/png"})).json()

    said = "The media types of this list are application/json, application/x-ndjson, text/csv"
    assert [{"detail": said, "header": "Accept"}] == refused["errors"]


@pytest.mark.parametrize("query", ["limit=5", "cursor=x", "pinned=true", "ids=1", "offset=3", "status=lost"])
async def test_what_an_export_does_not_know_is_refused(api, query):
    answer = await api.get(f"/v1/orders?{query}", headers=CSV)

    assert (answer.status_code, answer.json()["code"]) == (400, "invalid-parameter")
    assert answer.json()["errors"][0]["parameter"] == query.partition("=")[0]


async def test_an_export_is_as_fresh_as_was_asked(shop, open_api):
    shop.head(12)

    async with open_api() as client:
        fresh = await client.get("/v1/orders", headers={**NDJSON, "Min-Position": token({3: 9})})
        stale = await client.get("/v1/orders", headers={**NDJSON, "Min-Position": token({3: 12})})
        head = await client.head("/v1/orders", headers=NDJSON)

    assert fresh.status_code == head.status_code == 200
    assert (stale.status_code, stale.json()["code"]) == (503, "stale-read")
    assert "applied-position" in head.headers
    assert not open_snapshots(shop)


async def test_a_caller_who_reads_slowly_holds_up_nobody_but_the_third_export(shop):
    shop.conn.execute(FILL, {"rows": 60_000})

    async with (
        serving(shop.database_url, role="query-api") as api,
        asyncio.timeout(240),
        httpx.AsyncClient(base_url=api.url, trust_env=False, timeout=120) as client,
    ):
        slow = [await begin_and_stop_reading(api.url) for _ in range(2)]
        third = await client.get("/v1/orders", headers=NDJSON)
        page = await client.get("/v1/orders?limit=1")
        held = await snapshots_at_rest(shop)
        for each in slow:
            each.close()
        # The API notices when it next sends.
        while (after := await client.get("/v1/orders", headers=NDJSON)).status_code == 503:  # noqa: ASYNC110
            await asyncio.sleep(0.05)

    assert (third.status_code, third.json()["code"]) == (503, "too-busy")
    assert page.status_code == 200
    assert len(held) == 2, "an export was read from the database although nobody took it"
    assert after.text.count("\n") == 61_200


FILL = """
insert into views.order_summary_s1_b1
    (order_id, customer_id, status, placed_at, country, currency, total, lines, position)
select 'n' || n, '17850', 'shipped', '2025-01-01'::timestamptz + n * interval '1 minute', 'France', 'GBP', n, 1, 7
from generate_series(1, %(rows)s) n
"""


async def begin_and_stop_reading(url):
    """An export of which only the head was read, over a socket that takes little at a time."""
    taking = socket.socket()
    taking.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8_192)
    taking.setblocking(False)
    loop = asyncio.get_running_loop()
    await loop.sock_connect(taking, ("127.0.0.1", httpx.URL(url).port))
    await loop.sock_sendall(
        taking, b"GET /v1/orders HTTP/1.1\r\nHost: x\r\nAccept: application/x-ndjson\r\n\r\n"
    )
    assert b"200" in await loop.sock_recv(taking, 100)
    return taking


def open_snapshots(stage):
    """Sessions of exports that are inside their transaction, each with the time of its last move."""
    rows = stage.conn.execute(
        "select pid, state_change from pg_stat_activity where datname = current_database()"
        " and application_name like '%query-api%' and xact_start is not null and query like '% from export'"
    )
    return set(rows)


async def snapshots_at_rest(stage):
    """The open snapshots once none of them has moved for a while: nobody takes more of these exports."""
    seen = None
    while (found := open_snapshots(stage)) != seen:
        seen = found
        await asyncio.sleep(0.3)
    return found


async def test_an_export_that_nobody_reads_is_cut_off(monkeypatch):
    monkeypatch.setattr(downloads, "READER_TIMEOUT_S", 0.01)

    async def rows():
        yield [{"order_id": "1"}]

    async def stuck(_message):
        await asyncio.Event().wait()

    export = downloads.Export(rows(), None, media_type=downloads.NDJSON, headers={}, name="orders")

    with pytest.raises(TimeoutError):
        await export.stream_response(stuck)
