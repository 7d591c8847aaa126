"""The tree over the rows of a view, whatever order they come in, and what identifies the folds that made them."""

import importlib
import random
import sys

import pytest

from event_store.proofs import merkle
from event_store.proofs.merkle import Leaves
from projections import certifying, row_tree
from projections.replay import canonical
from projections.row_tree import RowTree

VIEW = """
from domain.operations.events import EventSkipped
from projections.view import Row, View


class Skip(Row, frozen=True):
    consumer: str
    left_out: int


SKIPS = View(name="skips_planted", row=Skip, key=("consumer",), shape=1)


@SKIPS.on(EventSkipped)
def skipped(row: Skip | None, event: EventSkipped) -> Skip:
    return Skip(consumer=event.consumer, left_out=event.position)
"""


def rows(count):
    keys = [(f"key {number}", number) for number in range(count)]
    return [(key, b'{"n":%d}' % number, number + 1) for number, key in enumerate(keys)]


def leaves(given):
    ordered = sorted(given, key=lambda each: canonical(each[0]))
    return [
        merkle.leaf_hash(row_tree.entry_of(canonical(key), body, position=at)) for key, body, at in ordered
    ]


@pytest.mark.parametrize("count", [0, 1, 2, 7, 8, 100])
def test_rows_in_any_order_have_one_root(count, monkeypatch):
    monkeypatch.setattr(row_tree, "ROWS_PER_PART", 9)
    given = rows(count)
    random.Random(count).shuffle(given)
    with RowTree() as tree:
        for key, body, position in given:
            tree.add(key, body, position=position)

        assert (count, merkle.root_of(leaves(given))) == (tree.rows, tree.root())


@pytest.mark.parametrize("at", [0, 1, 63, 64, 98, 99])
def test_each_row_has_a_proof(at, monkeypatch):
    monkeypatch.setattr(row_tree, "ROWS_PER_PART", 9)
    monkeypatch.setattr(row_tree, "LEAVES_PER_READ", 3)
    given = rows(100)
    with RowTree(wanted=f"key {at}~{at}") as tree:
        for key, body, position in given:
            tree.add(key, body, position=position)
        root, proof = tree.root(), tree.proof()
    assert proof is not None
    leaf = merkle.leaf_hash(proof.entry.encode())
    merkle.verify_inclusion(leaf, index=proof.index, size=100, proof=proof.hashes, root=root)

    assert merkle.inclusion_proof(proof.index, 100, Leaves(leaves(given))) == list(proof.hashes)
    assert f'"row":{{"n":{at}}}}}' in proof.entry


def test_a_row_that_there_is_not_has_no_proof():
    with RowTree(wanted="none") as tree:
        tree.add(("one",), b"{}", position=1)

        assert tree.proof() is None


def test_the_version_of_a_fold_changes_with_its_declaration_and_its_source(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    # Of two sources of one size within a second, the second one would be taken from the first one's bytecode.
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    file = tmp_path / "planted_view.py"

    def version(source):
        file.write_text(source)
        importlib.invalidate_caches()
        sys.modules.pop(file.stem, None)
        return certifying.fold_version(importlib.import_module(file.stem).SKIPS)

    one = version(VIEW)
    other_source = version(VIEW.replace("left_out=event.position", "left_out=event.position + 1"))
    other_shape = version(VIEW.replace("shape=1", "shape=2"))

    assert 3 == len({one, other_source, other_shape})
    assert one == version(VIEW)
