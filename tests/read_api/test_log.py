"""Reading the log itself over HTTP."""

import asyncio
import json
import secrets
from datetime import timedelta

import pytest

from read_api.audit import finding
from tests.read_api.stage import PLACED_AT, token

pytestmark = pytest.mark.anyio


@pytest.fixture
def log(stage):
    for position in range(1, 51):
        version = (position + 1) // 2
        stream = "order-1" if position % 2 else "stock-85123A"
        stage.append(stream, version=version, position=position, payload={"n": position})
    return stage


def _lines(answer):
    return [json.loads(line) for line in answer.text.splitlines()]


async def test_a_stream_is_read_page_by_page(log, open_api):
    async with open_api() as client:
        first = await client.get("/v1/streams/order-1/events?limit=20")
        second = await client.get(first.links["next"]["url"])
        end = await client.get("/v1/streams/order-1/events?after=25")

    assert [event["version"] for event in first.json()["events"]] == list(range(1, 21))
    assert first.json()["next_after"] == 20
    assert [event["version"] for event in second.json()["events"]] == list(range(21, 26))
    assert second.json()["next_after"] is None
    assert end.json()["events"] == []


async def test_an_event_is_shown_as_the_log_holds_it(log, open_api):
    async with open_api() as client:
        [event] = (await client.get("/v1/streams/order-1/events?limit=1")).json()["events"]

    assert event == {
        "position": 1,
        "stream": "order-1",
        "version": 1,
        "type": "a.b.v1",
        "recorded_at": "2026-01-31T08:26:01Z",
        "partition_key": "order-1",
        "leaf": (1).to_bytes(32, "big").hex(),
        "metadata": {"actor": "tests"},
        "payload": {"n": 1},
    }


@pytest.mark.parametrize(
    "address", ["/v1/streams/order-2/events", "/v1/streams/order-2/events?after=3", "/v1/streams/%00/events"]
)
async def test_a_stream_without_events_is_not_found(api, address):
    answer = await api.get(address)

    assert answer.status_code == 404


async def test_the_log_is_one_json_text_per_line_in_order(log, open_api):
    async with open_api() as client:
        answer = await client.get("/v1/events")

    assert answer.headers["content-type"] == "application/x-ndjson"
    assert answer.headers["content-encoding"] == "gzip"  # which the client undoes
    assert [line["position"] for line in _lines(answer)] == list(range(1, 51))


async def test_reading_on_after_the_last_line_gives_every_event_once(log, open_api, monkeypatch):
    monkeypatch.setattr(finding, "PAGE_EVENTS_MAX", 16)

    async with open_api() as client:
        for limit in (1, 15, 16, 17, 33, 100):
            positions = [0]
            while page := _lines(
                await client.get("/v1/events", params={"after": positions[-1], "limit": limit})
            ):
                assert len(page) <= limit
                positions += [line["position"] for line in page]

            assert positions == list(range(51)), limit


async def test_line_breaks_in_stored_json_do_not_break_lines(stage, open_api):
    stage.append("order-1", version=1, position=1, payload={"text": "a\nb"})
    stage.conn.execute("""update log.event set payload = E'{\\n  "text": "a\\\\nb"\\r\\n}'::json""")

    async with open_api() as client:
        answer = await client.get("/v1/events")

    assert answer.text.count("\n") == 1
    assert _lines(answer)[0]["payload"] == {"text": "a\nb"}


async def test_large_events_make_smaller_pages(stage, open_api, monkeypatch):
    sizes = []
    read = finding.paging.page_after_async

    async def noted(connection, position, **options):
        page = await read(connection, position, **options)
        sizes.append(len(page))
        return page

    monkeypatch.setattr(finding.paging, "page_after_async", noted)
    for position in range(1, 40):
        text = secrets.token_hex(300_000) if position > 20 else "small"
        stage.append("order-1", version=position, position=position, payload={"text": text})

    async with open_api() as client:
        answer = await client.get("/v1/events")

    assert [line["position"] for line in _lines(answer)] == list(range(1, 40))
    assert sizes[0] > 20
    assert max(sizes[1:]) <= 5


async def test_a_position_is_checked_on_the_log_too(log, open_api):
    async with open_api() as client:
        reached = await client.get("/v1/events?limit=1", headers={"Min-Position": token({0: 50})})
        beyond = await client.get("/v1/events?limit=1", headers={"Min-Position": token({0: 51})})

    assert reached.status_code == 200
    assert beyond.status_code == 400


@pytest.mark.parametrize(
    "query",
    [
        *("after=-1", "after=x", "after=9223372036854775808", "limit=0", "limit=100001", "from=3"),
        *("type=", "type=a,,b", "type=a,b,", "category=%00", f"category={'a,' * 20}a"),
        *("since=2026-01-31", "since=0", "until=yesterday", "since=2199-01-01T00:00:00Z"),
    ],
)
async def test_what_the_log_does_not_know_is_refused(api, query):
    answer = await api.get(f"/v1/events?{query}")

    assert answer.status_code == 400
    assert "Value error" not in answer.text, "a word of the framework's"


async def test_a_time_that_has_not_come_is_refused_as_it_was_sent(api):
    answer = await api.get("/v1/events?since=2199-01-01T00:00:00Z")

    assert "2199-01-01T00:00:00+00:00 has not come yet." == answer.json()["detail"]


async def _positions(client, **query):
    """Every position that a question answers, read on by `Next-After` to the end."""
    found, after = [], 0
    while True:
        answer = await client.get("/v1/events", params={**query, "after": after})
        assert answer.status_code == 200, answer.text
        found += [line["position"] for line in _lines(answer)]
        after = int(answer.headers["next-after"])
        if "next" not in answer.links:
            return found
        assert f"after={after}" in answer.links["next"]["url"]


async def test_only_events_of_a_type_a_category_and_a_time_are_answered(stage, open_api, monkeypatch):
    """However little one statement, one page or one answer looks through."""
    types = ("a.b.v1", "a.c.v1", "x.y.v1")
    for position in range(1, 61):
        stream = ("order-1", "stock-a-b", "orders-1")[position % 3 if position > 20 else 0]
        stage.append(stream, version=position, position=position, payload={}, type_=types[position % 7 % 3])
    log = [
        (
            p,
            types[p % 7 % 3],
            ("order", "stock", "orders")[p % 3 if p > 20 else 0],
            PLACED_AT + timedelta(seconds=p),
        )
        for p in range(1, 61)
    ]
    early, late = PLACED_AT + timedelta(seconds=17), PLACED_AT + timedelta(seconds=42)
    filters = {
        "type": ("a.c.v1,x.y.v1", lambda event: event[1] in {"a.c.v1", "x.y.v1"}),
        "category": ("order,stock", lambda event: event[2] in {"order", "stock"}),
        "since": (early.isoformat(), lambda event: event[3] >= early),
        "until": (late.isoformat(), lambda event: event[3] < late),
    }

    async with open_api() as client:
        for step, page, patience_s in ((7, 3, 0), (20_000, 500, 1)):
            monkeypatch.setattr(finding, "POSITIONS_PER_STEP", step)
            monkeypatch.setattr(finding, "PAGE_EVENTS_MAX", page)
            monkeypatch.setattr(finding, "SEARCH_S", patience_s)
            for names in (
                *[[name] for name in filters],
                ["type", "until"],
                list(filters),
                ["since", "until"],
            ):
                wanted = [event[0] for event in log if all(filters[name][1](event) for name in names)]
                query = {name: filters[name][0] for name in names}
                for limit in (4, 1_000):
                    assert await _positions(client, limit=limit, **query) == wanted, (names, limit, step)


async def test_a_question_without_an_answer_waits_for_one(log, open_api):
    async with open_api() as client, asyncio.timeout(120):
        query = {"after": 50, "category": "order", "limit": 10}
        waiting = asyncio.create_task(client.get("/v1/events", params=query, headers={"Prefer": "wait=10"}))
        log.append("stock-85123A", version=26, position=51, payload={})
        other = await client.get("/v1/events?after=50", headers={"Prefer": "wait=10"})
        assert not waiting.done()
        log.append("order-1", version=26, position=52, payload={})
        answer = await waiting
        nothing = await client.get("/v1/events?after=52", headers={"Prefer": "wait=1"})

    assert [line["position"] for line in _lines(other)] == [51]
    assert [line["position"] for line in _lines(answer)] == [52]
    assert answer.headers["next-after"] == "52"
    assert answer.headers["preference-applied"] == "wait=10"
    assert (nothing.status_code, nothing.text, nothing.headers["next-after"]) == (200, "", "52")


async def test_a_window_that_has_ended_is_not_waited_for(log, open_api):
    until = (PLACED_AT + timedelta(seconds=40)).isoformat()

    async with open_api() as client, asyncio.timeout(60):
        answer = await client.get(
            "/v1/events", params={"after": 39, "until": until}, headers={"Prefer": "wait=10"}
        )
        open_end = await client.get("/v1/events?after=40&until=2199-01-01T00:00:00Z")

    assert (answer.text, answer.headers["next-after"]) == ("", "39")
    assert [line["position"] for line in _lines(open_end)] == list(range(41, 51))
