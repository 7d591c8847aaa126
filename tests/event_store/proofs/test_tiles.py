"""Tiles: named and cut as C2SP says, whole or not there, and every tree that they hold has its root."""

import os
import random
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from event_store.proofs import merkle, tiles
from event_store.proofs.merkle import Leaves
from event_store.proofs.tiles import Directory, Tiles, TilesDamaged
from tests.sizes import FLIPS_IN_TILES

LEAVES = [merkle.leaf_hash(number.to_bytes(4, "big")) for number in range(70_000)]
TREE = Leaves(LEAVES)


class Memory:
    """A store that is a dictionary."""

    def __init__(self):
        self.files = {}

    def read(self, name):
        return self.files.get(name)

    def write(self, name, content):
        self.files[name] = content

    def discard(self, name):
        self.files = {
            each: content for each, content in self.files.items() if not f"{each}/".startswith(f"{name}/")
        }


@pytest.fixture(params=["directory", "memory"])
def store(request, tmp_path):
    return Directory(tmp_path / "tiles") if request.param == "directory" else Memory()


def test_tiles_are_named_as_the_specification_names_them():
    assert "tile/0/x001/x234/067" == tiles.name_of(0, 1234067)
    assert "tile/2/000.p/1" == tiles.name_of(2, 0, 1)
    assert "tile/0/273.p/112" == tiles.name_of(0, 273, 112)


def test_a_tree_of_70_000_leaves_has_the_tiles_of_the_specifications_example():
    store = Memory()
    tiles.extend(store, 0, LEAVES)

    full, partial = [], []
    for name in store.files:
        (partial if ".p/" in name else full).append(name)
    assert ["tile/0/273.p/112", "tile/1/001.p/17", "tile/2/000.p/1"] == partial
    assert [f"tile/0/{number:03}" for number in range(273)] + ["tile/1/000"] == full
    assert merkle.root(70_000, TREE) == merkle.root(70_000, Tiles(store, 70_000))


@given(st.lists(st.integers(1, 700), min_size=1, max_size=6), st.data())
@settings(deadline=None, max_examples=40)
def test_however_a_tree_grew_its_tiles_hold_it_and_every_tree_before(steps: list[int], data: st.DataObject):
    store, size, sizes = Memory(), 0, []
    for step in steps:
        tiles.extend(store, size, LEAVES[size : size + step])
        size += step
        sizes.append(size)

    for each in sizes:
        assert merkle.root(each, TREE) == merkle.root(each, Tiles(store, each))
    index = data.draw(st.integers(0, size - 1))
    assert merkle.inclusion_proof(index, size, TREE) == merkle.inclusion_proof(
        index, size, Tiles(store, size)
    )


def test_what_a_full_tile_replaces_can_be_discarded(store):
    tiles.extend(store, 0, LEAVES[:100])
    replaced = tiles.extend(store, 100, LEAVES[100:300])
    assert ["tile/0/000.p"] == replaced
    assert store.read("tile/0/000.p/100") is not None

    for name in replaced:
        store.discard(name)

    assert store.read("tile/0/000.p/100") is None
    assert merkle.root(100, TREE) == merkle.root(100, Tiles(store, 100))
    assert merkle.root(300, TREE) == merkle.root(300, Tiles(store, 300))


def test_a_missing_or_cut_tile_is_named(store):
    tiles.extend(store, 0, LEAVES[:300])
    store.write("tile/0/000", b"x" * 31)
    store.discard("tile/0/001.p/44")

    with pytest.raises(TilesDamaged, match="tile/0/000 has 31 bytes"):
        Tiles(store, 300).leaf(0)
    with pytest.raises(TilesDamaged, match=r"tile/0/001\.p/44 is missing"):
        tiles.extend(store, 300, LEAVES[300:301])


def test_a_write_that_fails_leaves_what_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    store = Directory(tmp_path)
    store.write("tile/0/000", b"before")

    def full(_handle):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        store.write("tile/0/000", b"after")

    assert b"before" == store.read("tile/0/000")
    assert [tmp_path / "tile/0/000"] == [path for path in tmp_path.rglob("*") if path.is_file()]


def test_discarding_what_is_gone_is_no_failure(store):
    store.discard("tile/0/000.p")

    assert store.read("tile/0/000") is None


def test_what_a_crash_left_unfinished_is_swept_away(tmp_path: Path):
    (tmp_path / ".unfinished").mkdir()
    (tmp_path / ".unfinished" / "half").write_bytes(b"ha")
    Directory(tmp_path).write("tile/0/000", b"whole")

    assert [tmp_path / "tile/0/000"] == [path for path in tmp_path.rglob("*") if path.is_file()]


def test_every_bit_that_flips_in_a_tile_above_the_leaves_is_found_and_no_tile_is_blamed_that_is_whole():
    store = Memory()
    tiles.extend(store, 0, LEAVES)
    assert [] == list(tiles.damaged(store, len(LEAVES)))
    chance = random.Random(3)
    names = [name for name in store.files if not name.startswith("tile/0/")]
    for _ in range(FLIPS_IN_TILES.chosen):
        name = chance.choice(names)
        whole = store.files[name]
        at, bit = chance.randrange(len(whole)), 1 << chance.randrange(8)
        store.files[name] = whole[:at] + bytes([whole[at] ^ bit]) + whole[at + 1 :]
        assert [f"{name} does not follow from the tiles below it"] == list(tiles.damaged(store, len(LEAVES)))
        store.files[name] = whole


def test_tiles_that_are_missing_or_cut_are_named_once():
    store = Memory()
    tiles.extend(store, 0, LEAVES[:600])
    store.files["tile/1/000.p/2"] = b"cut"
    del store.files["tile/0/002.p/88"]

    assert ["tile/0/002.p/88 is missing", "tile/1/000.p/2 has 3 bytes"] == list(tiles.damaged(store, 600))
