"""Bits that flip: in rows of the log, in tiles and in rows of views. All are found, and none is signed over."""

import random

import psycopg
import pytest
from psycopg import sql

from counterfoil import auditing
from counterfoil.contexts import CONTEXTS
from event_store.proofs import against, checkpoint, note
from event_store.proofs.errors import Refused
from event_store.proofs.tiles import Directory
from runtime import database
from tests import sizes
from tests.commands.processes.running import append, received
from tests.event_store.proofs.sealing import seal, sealed
from tests.tampering.shop import KEY

_LEAVES = "select position, leaf from log.event where position > %s order by position"
_SET_LEAF = "update log.event set leaf = %s where position = %s"
_PAYLOADS = "select position, payload::text from log.event where position > %s order by position"
_SET_PAYLOAD = "update log.event set payload = %s where position = %s"


def flipped(content, chance):
    changed = bytearray(content)
    place = chance.randrange(len(changed) * 8)
    changed[place // 8] ^= 1 << place % 8
    return bytes(changed)


def flip_leaf(shop, chance, *, behind=0):
    """What puts it right again: a statement, and what it is given."""
    with psycopg.connect(shop.url, autocommit=True) as admin:
        at, leaf = chance.choice(admin.execute(_LEAVES, [behind]).fetchall())
        admin.execute(_SET_LEAF, [flipped(leaf, chance), at])
    return _SET_LEAF, [leaf, at]


def flip_payload(shop, chance, *, behind=0):
    """A digit of a JSON text becomes another: what a flipped bit makes of it that is JSON still."""
    with psycopg.connect(shop.url, autocommit=True) as admin:
        rows = admin.execute(_PAYLOADS, [behind]).fetchall()
        at, text = chance.choice([row for row in rows if any(each in "2468" for each in row[1])])
        place = chance.choice([number for number, each in enumerate(text) if each in "2468"])
        changed = text[:place] + chr(ord(text[place]) ^ 1) + text[place + 1 :]
        admin.execute(_SET_PAYLOAD, [changed, at])
    return _SET_PAYLOAD, [text, at]


def flip_view(shop, chance):
    sku = chance.choice(["85123A", "22423", "71053", "10002"])
    bit = 1 << chance.randrange(16)
    with psycopg.connect(shop.url, autocommit=True) as admin:
        column = sql.Identifier(chance.choice(["on_hand", "reserved", "received", "shipped"]))
        statement = sql.SQL("update views.stock_level_s1_b1 set {c} = {c} # %s where sku = %s")
        admin.execute(statement.format(c=column), [bit, sku])


def flip_tile(shop, chance):
    [tile] = [each for each in (shop.tiles / "tile").rglob("*") if each.is_file()]
    tile.write_bytes(flipped(tile.read_bytes(), chance))


FLIPS = [flip_leaf, flip_payload, flip_view, flip_tile]


def is_found(shop):
    kept = checkpoint.verified(note.parse(shop.kept.read_text()), [KEY.verifier])
    with database.connect(shop.url, role="counterfoil_reader", name="test") as connection:
        if against.findings(connection, kept, store=Directory(shop.tiles)):
            return True
    return auditing.verify(shop.url, contexts=CONTEXTS).damaged


@pytest.mark.parametrize("flip", FLIPS)
def test_a_flipped_bit_is_found(flip, copied):
    for seed in range(sizes.FLIPS.chosen // len(FLIPS)):
        shop = copied()
        flip(shop, random.Random(seed))

        assert is_found(shop), seed


@pytest.mark.parametrize("flip", [flip_leaf, flip_payload])
def test_none_of_a_new_row_is_signed_over(flip, copied):
    shop = copied()
    append(shop.url, [received(f"NEW-{number}", 24) for number in range(sizes.FLIPS.chosen)])
    size = sealed(shop.url).size
    with psycopg.connect(shop.url, autocommit=True) as admin:
        for seed in range(sizes.FLIPS.chosen):
            before = flip(shop, random.Random(seed), behind=size)
            with pytest.raises(Refused):
                seal(shop.url, Directory(shop.tiles), KEY)
            admin.execute(*before)

    assert size == sealed(shop.url).size
