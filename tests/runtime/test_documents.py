"""One suite over every keeper of documents: what is newer wins, and a checkpoint moves only from what was left."""

import socket

import pytest
import redis

from runtime.documents import (
    CALL_BYTES_MAX,
    DOCUMENTS_PER_CALL_MAX,
    TTL_S,
    Document,
    Documents,
    DocumentsUnavailable,
    MemoryDocuments,
    MirrorPoint,
    Move,
    RedisDocuments,
    checkpoint_key,
    document_key,
    installation_prefix,
    parse_checkpoint,
    parse_document,
    prefix,
)


@pytest.fixture(params=["memory", "redis"])
def documents(request):
    kept = (
        MemoryDocuments()
        if request.param == "memory"
        else RedisDocuments(request.getfixturevalue("redis_url"))
    )
    yield kept
    kept.close()


def prefix_of(*, installation: str = "i", build: str = "s1_b1") -> str:
    return prefix("s:r", installation=installation, epoch=1, build=build)


def stored(documents: Documents, *keys: str) -> list[tuple[int, bytes | None] | None]:
    return [None if value is None else parse_document(value) for value in documents.get_many(keys)]


def test_a_document_is_read_back_with_its_position(documents):
    documents.put_if_newer([Document("a", 7, b'{"x":1}')])

    assert stored(documents, "a", "b") == [(7, b'{"x":1}'), None]


def test_an_older_document_is_not_written(documents):
    documents.put_if_newer([Document("a", 10, b"new")])
    documents.put_if_newer([Document("a", 9, b"old"), Document("a", 10, b"same")])

    assert stored(documents, "a") == [(10, b"new")]


def test_positions_are_compared_as_numbers(documents):
    documents.put_if_newer([Document("a", 9, b"nine")])
    documents.put_if_newer([Document("a", 10, b"ten")])

    assert stored(documents, "a") == [(10, b"ten")]


def test_a_deleted_row_leaves_a_tombstone_that_older_documents_cannot_undo(documents):
    documents.put_if_newer([Document("a", 10, None)])
    documents.put_if_newer([Document("a", 9, b"old")])

    assert stored(documents, "a") == [(10, None)]


def test_a_row_may_come_back_after_its_tombstone(documents):
    documents.put_if_newer([Document("a", 10, None)])
    documents.put_if_newer([Document("a", 11, b"back")])

    assert stored(documents, "a") == [(11, b"back")]


def test_a_checkpoint_moves_from_where_it_was_left_together_with_documents(documents):
    assert documents.move_checkpoints([Move("at", None, b"1")], documents=[Document("a", 1, b"one")]) is None
    assert documents.move_checkpoints([Move("at", b"1", b"2")], documents=[Document("a", 2, b"two")]) is None

    assert documents.get_many(["at"]) == [b"2"]
    assert stored(documents, "a") == [(2, b"two")]


def test_a_checkpoint_that_another_moved_stays_and_nothing_is_written(documents):
    documents.move_checkpoints([Move("at", None, b"5")])

    found = documents.move_checkpoints(
        [Move("at", b"4", b"6"), Move("other", None, b"6")], documents=[Document("a", 6, b"six")]
    )

    assert found == {"at": b"5", "other": None}
    assert documents.get_many(["at", "other", "a"]) == [b"5", None, None]


def test_a_checkpoint_that_vanished_is_not_made_again_by_chance(documents):
    found = documents.move_checkpoints([Move("at", b"4", b"6")])

    assert found == {"at": None}
    assert documents.get_many(["at"]) == [None]


def test_more_documents_than_one_call_carries_are_all_written_before_the_checkpoint(documents):
    many = [Document(f"k{n}", n, b"x") for n in range(DOCUMENTS_PER_CALL_MAX + 2)]

    assert documents.move_checkpoints([Move("at", None, b"1")], documents=many) is None
    assert None not in documents.get_many([document.key for document in many])
    assert documents.get_many(["at"]) == [b"1"]


def test_a_checkpoint_shows_that_documents_beyond_it_were_written(redis_url, monkeypatch):
    """Else a reader could put an older document back, after a newer one was written and evicted."""
    documents = RedisDocuments(redis_url)
    before = MirrorPoint(3, b"leaf").value
    documents.move_checkpoints([Move("at", None, before)])
    write, seen = documents._write, []

    def write_and_read(*given):
        answer = write(*given)
        seen.extend(documents.get_many(["at"]))
        return answer

    monkeypatch.setattr(documents, "_write", write_and_read)
    many = [Document(f"k{n}", n, b"x") for n in range(2 * DOCUMENTS_PER_CALL_MAX + 1)]
    after = MirrorPoint(9, b"leaf").value
    assert documents.move_checkpoints([Move("at", before, after)], documents=many) is None
    documents.close()

    assert len({before, *seen}) == 4
    assert [parse_checkpoint(before)] * 2 == [parse_checkpoint(value) for value in seen[:2]]
    assert seen[2] == after


def test_large_documents_take_several_calls(documents):
    many = [Document(f"k{n}", n, b"x" * (CALL_BYTES_MAX // 2)) for n in range(3)]
    documents.put_if_newer(many)

    assert [len(value) - 20 for value in documents.get_many(["k0", "k1", "k2"])] == [CALL_BYTES_MAX // 2] * 3


def test_forgetting_a_build_leaves_the_others(documents):
    ours, theirs = prefix_of(build="s1_b1"), prefix_of(build="s1_b10")
    documents.put_if_newer([Document(ours + "a", 1, b"x"), Document(theirs + "a", 1, b"x")])

    assert documents.forget(ours) == 1
    assert documents.get_many([ours + "a"]) == [None]
    assert stored(documents, theirs + "a") == [(1, b"x")]


def test_nothing_asked_is_nothing_answered(documents):
    assert documents.get_many([]) == []


def test_forgetting_an_installation_leaves_the_others(documents):
    ours, theirs = prefix_of(installation="a"), prefix_of(installation="ab")
    documents.put_if_newer([Document(ours + "1", 1, b"x"), Document(theirs + "1", 1, b"x")])

    assert documents.forget(installation_prefix("a")) == 1
    assert stored(documents, theirs + "1") == [(1, b"x")]


def test_keys_name_installation_service_resource_epoch_build_and_id():
    beginning = prefix("ordering:order", installation="i", epoch=2, build="s1_b3")

    assert document_key(beginning, "A~1") == "i:ordering:order:e2:s1_b3:A~1"
    assert checkpoint_key(beginning, partition=7) == "i:ordering:order:e2:s1_b3:@7"


def test_a_checkpoint_says_position_and_leaf():
    point = MirrorPoint(12, b"\x01\x02")

    assert parse_checkpoint(point.value) == point
    assert parse_checkpoint(MirrorPoint(0, None).value) == MirrorPoint(0, None)


@pytest.mark.parametrize("value", [b"", b"12", b"x" * 25, b"0000000000000000001-"])
def test_a_value_that_nobody_of_ours_wrote_is_refused(value):
    with pytest.raises(ValueError, match="position"):
        parse_document(value)


def test_an_unreachable_cache_is_reported_as_such():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        documents = RedisDocuments(f"redis://127.0.0.1:{taken.getsockname()[1]}/0")

        with pytest.raises(DocumentsUnavailable):
            documents.put_if_newer([Document("a", 1, b"x")])


@pytest.mark.timeout(60)
def test_a_cache_that_does_not_answer_is_given_up():
    with socket.create_server(("127.0.0.1", 0)) as silent:
        documents = RedisDocuments(f"redis://127.0.0.1:{silent.getsockname()[1]}/0", timeout_s=0.1)
        with pytest.raises(DocumentsUnavailable):
            documents.get_many(["a"])
        documents.close()


def test_every_key_has_a_time_to_live(redis_url):
    documents = RedisDocuments(redis_url)
    documents.move_checkpoints(
        [Move("at", None, b"1")],
        documents=[Document("a", 1, b"one"), Document("long", 1, b"x", 2 * TTL_S), Document("gone", 1, None)],
    )
    with redis.Redis.from_url(redis_url) as client:
        lives_s = [client.ttl(key) for key in ("at", "a", "long", "gone")]
    documents.close()

    assert [TTL_S, TTL_S, 2 * TTL_S, TTL_S] == pytest.approx(lives_s, abs=60)


def test_a_checkpoint_that_stays_is_kept_alive(redis_url):
    documents = RedisDocuments(redis_url)
    documents.move_checkpoints([Move("at", None, b"1")])
    with redis.Redis.from_url(redis_url) as client:
        client.expire("at", 10)
        documents.move_checkpoints([Move("at", b"1", b"1")])
        lives_s = client.ttl("at")
    documents.close()

    assert pytest.approx(lives_s, abs=60) == TTL_S
