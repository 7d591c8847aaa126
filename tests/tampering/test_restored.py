"""A backup that was restored and went on otherwise: a holder of a checkpoint of the lost history sees it."""

import shutil

import pytest

from event_store.proofs import against, checkpoint, note
from event_store.proofs.errors import Refused
from event_store.proofs.tiles import Directory
from runtime import database
from tests.commands.processes.running import append, received
from tests.event_store.proofs.sealing import seal, sealed
from tests.tampering.shop import KEY


@pytest.fixture
def lost(copied):
    """A shop that went on and was sealed, before its backup was restored."""
    shop = copied()
    append(shop.url, [received("LOST", 1), received("LOST", 2, version=1)])
    seal(shop.url, Directory(shop.tiles), KEY)
    return shop


@pytest.fixture
def restored(copied):
    """The backup, in which other things happened since."""
    shop = copied()
    append(shop.url, [received(f"OTHER-{number}", 1) for number in range(5)])
    return shop


def findings(shop, kept):
    with database.connect(shop.url, role="counterfoil_reader", name="test") as connection:
        return [each.kind for each in against.findings(connection, kept, store=Directory(shop.tiles))]


def test_it_is_found_with_a_checkpoint_of_the_history_that_was_lost(lost, restored):
    kept = checkpoint.verified(note.parse(sealed(lost.url).checkpoint), [KEY.verifier])

    assert [] == findings(lost, kept)
    assert ["root-mismatch"] == findings(restored, kept)


def test_a_sealer_whose_folder_was_not_restored_signs_nothing_of_it(lost, restored):
    size = sealed(restored.url).size
    shutil.rmtree(restored.tiles)
    shutil.copytree(lost.tiles, restored.tiles)

    with pytest.raises(Refused, match="of another history"):
        seal(restored.url, Directory(restored.tiles), KEY)
    assert size == sealed(restored.url).size


def test_a_sealer_that_was_restored_too_signs_it_and_is_found_out_by_the_checkpoint(lost, restored):
    kept = checkpoint.verified(note.parse(sealed(lost.url).checkpoint), [KEY.verifier])
    seal(restored.url, Directory(restored.tiles), KEY)

    assert findings(restored, kept)
