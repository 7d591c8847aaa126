"""The client-side cache holds so many bytes, and what was read least recently goes first."""

from runtime.client_cache import ENTRY_BYTES, ClientCache

ROOM = 3 * (ENTRY_BYTES + 2)


def test_what_was_read_least_recently_goes_first():
    cache = ClientCache(ROOM)
    for key in "abc":
        cache.put(key, b"1")
    cache.get("a")
    cache.put("d", b"1")

    assert [None, b"1", b"1", b"1"] == [cache.get(key) for key in "bacd"]


def test_bytes_are_those_of_what_is_held():
    cache = ClientCache(ROOM)
    cache.put("a", b"1")
    cache.put("a", b"12")
    cache.put("b", b"1")
    cache.drop("b")
    cache.drop("b")

    assert cache.size_bytes == ENTRY_BYTES + 3


def test_what_alone_is_too_large_is_not_held_and_takes_no_others_place():
    cache = ClientCache(ROOM)
    cache.put("a", b"1")
    cache.put("b", b"x" * ROOM)

    assert (b"1", None) == (cache.get("a"), cache.get("b"))


def test_without_room_nothing_is_held():
    cache = ClientCache(0)
    cache.put("a", b"1")

    assert cache.get("a") is None
    assert cache.size_bytes == 0
