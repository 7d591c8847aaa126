"""Readers' documents: what stays in the process is at any time what the server held at one moment."""

import asyncio
import concurrent.futures as threads
import contextlib
import itertools
import socket
import threading
import time
from urllib.parse import urlsplit, urlunsplit

import pytest
import redis

from runtime import tracked_documents
from runtime.documents import (
    TTL_S,
    Document,
    DocumentsUnavailable,
    MirrorPoint,
    Move,
    RedisDocuments,
)
from runtime.tracked_documents import TrackedDocuments
from tests.read_api.slow_proxy import slow_proxy

pytestmark = pytest.mark.anyio

ROOM = 1 << 20
PATIENCE_S = 60.0
AGREEING_S = 1.0


@pytest.fixture
def server(redis_url):
    with redis.Redis.from_url(redis_url) as client:
        yield client


@pytest.fixture
def worker(redis_url):
    with contextlib.closing(RedisDocuments(redis_url)) as documents:
        yield documents


@pytest.fixture(autouse=True)
def _patient(monkeypatch):
    monkeypatch.setattr(tracked_documents, "CONNECT_TIMEOUT_S", PATIENCE_S)
    monkeypatch.setattr(tracked_documents, "UNANSWERED_S_MAX", PATIENCE_S)


@contextlib.asynccontextmanager
async def reading(url, *, cache_bytes_max=ROOM):
    reader = TrackedDocuments(url, cache_bytes_max=cache_bytes_max)
    yield reader
    await reader.close()


def as_user(url, name, password):
    at = urlsplit(url)
    return urlunsplit(at._replace(netloc=f"{name}:{password}@{at.hostname}:{at.port}"))


@contextlib.contextmanager
def ending():
    event = threading.Event()
    try:
        yield event
    finally:
        event.set()


async def eventually(holds):
    deadline = time.monotonic() + PATIENCE_S
    while not holds():
        assert time.monotonic() < deadline, "it never came"
        await asyncio.sleep(0.005)


async def test_values_come_in_the_order_of_their_keys_and_stay(redis_url, worker):
    worker.put_if_newer([Document("a", 1, b"one"), Document("b", 2, b"two")])
    async with reading(redis_url) as reader:
        found = await reader.get_many(["b", "absent", "a"])

        assert [Document("b", 2, b"two").value, None, Document("a", 1, b"one").value] == found
        assert (found[0], None, found[2]) == tuple(map(reader.cached, ("b", "absent", "a")))


async def test_a_change_is_announced(redis_url, worker):
    worker.put_if_newer([Document("a", 1, b"one")])
    async with reading(redis_url) as reader:
        await reader.get_many(["a"])
        worker.put_if_newer([Document("a", 2, b"two")])
        await eventually(lambda: reader.cached("a") is None)

        assert [Document("a", 2, b"two").value] == await reader.get_many(["a"])


async def test_a_new_checkpoint_never_meets_an_older_document(redis_url, monkeypatch):
    """Looked at after each message: broadcasting mode announces the document after the reply with the checkpoint."""
    take = tracked_documents._Connection._take_reply
    pairs = 0

    def take_and_compare(self, message):
        nonlocal pairs
        take(self, message)
        document, checkpoint = self._cache.documents.get("a"), self._cache.documents.get("@0")
        if document is not None and checkpoint is not None:
            pairs += 1
            assert document[:20] >= checkpoint[:20]

    monkeypatch.setattr(tracked_documents._Connection, "_take_reply", take_and_compare)
    with threads.ThreadPoolExecutor(1) as pool, ending() as ended:
        writing = pool.submit(_write_until, ended, redis_url)
        async with reading(redis_url) as reader:
            end = time.monotonic() + AGREEING_S
            while time.monotonic() < end or (not pairs and time.monotonic() < end + PATIENCE_S):
                await reader.get_many(["@0"])
                if reader.cached("a") is None:
                    await reader.get_many(["a"])
        ended.set()
        writing.result()
    assert pairs


def _write_until(ended, url):
    """Move a document and its checkpoint on together."""
    with contextlib.closing(RedisDocuments(url)) as worker:
        left = None
        for position in itertools.count(1):
            if ended.is_set():
                return
            value = MirrorPoint(position, None).value
            worker.move_checkpoints([Move("@0", left, value)], documents=[Document("a", position, b"x")])
            left = value


async def test_an_emptied_server_empties_the_cache(redis_url, worker, server):
    worker.put_if_newer([Document("a", 1, b"one")])
    async with reading(redis_url) as reader:
        await reader.get_many(["a"])
        server.flushdb()

        await eventually(lambda: reader.cached("a") is None)


async def test_what_expires_is_announced(redis_url, server):
    server.set("a", Document("a", 1, b"one").value, px=50)
    async with reading(redis_url) as reader:
        await reader.get_many(["a"])

        await eventually(lambda: reader.cached("a") is None)


async def test_a_lost_connection_empties_the_cache_and_the_next_read_connects_again(
    redis_url, worker, server
):
    worker.put_if_newer([Document("a", 1, b"one")])
    async with reading(redis_url) as reader:
        await reader.get_many(["a"])
        number = urlsplit(redis_url).path.removeprefix("/")  # others may be about to close theirs
        (ours,) = [
            each
            for each in server.client_list()
            if (each["name"], each["db"]) == (tracked_documents.CLIENT_NAME, number)
        ]
        server.client_kill_filter(_id=ours["id"])
        await eventually(lambda: reader.cached("a") is None)

        assert [Document("a", 1, b"one").value] == await reader.get_many(["a"])
        assert reader.cached("a") is not None


async def test_a_connection_without_a_sign_of_life_empties_the_cache(redis_url, worker, monkeypatch):
    monkeypatch.setattr(tracked_documents, "CHECK_INTERVAL_S", 0.05)
    worker.put_if_newer([Document("a", 1, b"one")])
    async with slow_proxy(redis_url) as proxy, reading(proxy.url) as reader:
        await reader.get_many(["a"])
        assert reader.cached("a") is not None
        # Not before: a busy server may be slower.
        monkeypatch.setattr(tracked_documents, "UNANSWERED_S_MAX", 0.2)
        proxy.latency_s = 2 * PATIENCE_S

        await eventually(lambda: reader.cached("a") is None)


async def test_a_reply_that_nobody_waited_for_does_not_shift_the_others(redis_url, worker):
    worker.put_if_newer([Document("a", 1, b"one"), Document("b", 2, b"two")])
    async with slow_proxy(redis_url) as proxy, reading(proxy.url) as reader:
        await reader.get_many(["absent"])
        proxy.latency_s = 0.1
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(reader.get_many(["a"]), 0.02)

        assert [Document("b", 2, b"two").value] == await reader.get_many(["b"])


async def test_connecting_goes_on_when_the_first_caller_gives_up(redis_url, worker):
    worker.put_if_newer([Document("a", 1, b"one")])
    async with slow_proxy(redis_url) as proxy, reading(proxy.url) as reader:
        proxy.latency_s = 0.1
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(reader.get_many(["a"]), 0.02)
        await asyncio.sleep(0.5)
        proxy.latency_s = 0.0

        assert [Document("a", 1, b"one").value] == await asyncio.wait_for(reader.get_many(["a"]), 60)


async def test_a_reader_that_may_not_track_reads_without_a_cache(redis_url, worker, server):
    worker.put_if_newer([Document("a", 1, b"one")])
    server.acl_setuser(
        "limited",
        enabled=True,
        passwords=["+secret"],
        keys=["*"],
        commands=["+mget", "+hello", "+select", "+ping"],
    )
    try:
        async with reading(as_user(redis_url, "limited", "secret")) as reader:
            assert [Document("a", 1, b"one").value] == await reader.get_many(["a"])
            assert reader.cached("a") is None
    finally:
        server.acl_deluser("limited")


async def test_a_refused_login_is_reported(redis_url):
    async with reading(as_user(redis_url, "nobody", "wrong")) as reader:
        with pytest.raises(DocumentsUnavailable, match="WRONGPASS"):
            await reader.get_many(["a"])


async def test_an_unreachable_server_is_reported():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        async with reading(f"redis://127.0.0.1:{taken.getsockname()[1]}/0") as reader:
            with pytest.raises(DocumentsUnavailable):
                await reader.get_many(["a"])


async def test_a_document_is_put_back_while_the_checkpoint_is_as_it_was(redis_url, worker, server):
    checkpoint = MirrorPoint(9, b"leaf").value
    worker.move_checkpoints([Move("@0", None, checkpoint)])
    async with reading(redis_url) as reader:
        await reader.get_many(["a", "@0"])
        reader.fill(Document("a", 7, b"seven"), checkpoint_key="@0", checkpoint=checkpoint)

        assert [Document("a", 7, b"seven").value] == await reader.get_many(["a"])
    assert pytest.approx(server.ttl("a"), abs=60) == TTL_S


async def test_a_document_is_not_put_back_with_another_checkpoint_or_none(redis_url, worker):
    worker.move_checkpoints([Move("@0", None, MirrorPoint(10, b"leaf").value)])
    async with reading(redis_url) as reader:
        await reader.get_many(["a", "b"])
        for key, checkpoint_key in (("a", "@0"), ("b", "absent")):
            document = Document(key, 7, b"seven")
            reader.fill(document, checkpoint_key=checkpoint_key, checkpoint=MirrorPoint(9, b"leaf").value)

        assert [None, None] == await reader.get_many(["a", "b"])


async def test_a_document_is_never_put_back_over_a_newer_one(redis_url, worker):
    checkpoint = MirrorPoint(9, b"leaf").value
    worker.move_checkpoints([Move("@0", None, checkpoint)], documents=[Document("a", 8, None)])
    async with reading(redis_url) as reader:
        await reader.get_many(["@0"])
        reader.fill(Document("a", 7, b"seven"), checkpoint_key="@0", checkpoint=checkpoint)

        assert [Document("a", 8, None).value] == await reader.get_many(["a"])
