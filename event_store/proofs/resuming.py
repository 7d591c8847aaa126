"""The start of a sealer: the last checkpoint, compared with the log, the tiles and the file next to them.

Postgres and the folder of the tiles each remember what was signed last, so losing one of them is no loss, and restoring
one of them to an older state does not make the sealer sign another history.
"""

from collections.abc import Sequence
from typing import Final

from event_store.consumers.errors import OpenAgain
from event_store.log import reading
from event_store.log.reading import Connection
from event_store.proofs import checkpoint, growing, merkle, note, policy
from event_store.proofs.checkpoint import Checkpoint
from event_store.proofs.errors import Refused
from event_store.proofs.ledger import SealedTree, SealRows
from event_store.proofs.note import SignerKey, UnverifiedNote, VerifierKey
from event_store.proofs.policy import KeyRange, Policy
from event_store.proofs.tiles import Store, Tiles

CHECKPOINT_FILE: Final = "checkpoint"
"""Next to the tiles: the newest checkpoint that is published, as C2SP names it."""
SIGNED_FILE: Final = ".signed"
"""Next to it, where cosignatures are required: the newest that was signed, for the sealer alone."""

ORIGIN_OF_INSTALLATIONS: Final = "counterfoil/"
"""How origins begin that name an installation: such a key seals no other one."""


def origin_of(installation: str) -> str:
    """The origin of an installation's log: the name of its keys, and the first line of its checkpoints."""
    return f"{ORIGIN_OF_INSTALLATIONS}{installation}"


def opened(conn: Connection, rows: SealRows, store: Store, keys: Sequence[SignerKey]) -> SealedTree:
    """The last checkpoint, which the log and the tiles now hold; tiles that are lost are built again from the log.

    Args:
        conn: in autocommit mode, in the sealer's role.
        rows: of the tree, for the holder of the lease.
        store: where the tiles are.
        keys: the key that seals, and behind it those that may hand over to it.

    Raises:
        Refused: something that was signed is not what the log holds, or the key may not seal it.
        LeafDiffers: a row is missing or is not what its leaf was computed over.
        OpenAgain: another sealer was here.
    """
    sealed = _last(rows, keys[0])
    ranges = rows.keys(sealed.origin)
    known = [*(each.verifier for each in ranges), *(key.verifier for key in keys)]
    memories = [store.read(CHECKPOINT_FILE), store.read(SIGNED_FILE), (sealed.published or "").encode()]
    others = [_other(content, sealed.origin, known) for content in memories if content]
    others.sort(key=lambda other: other[0].size, reverse=True)
    head = reading.head(conn).position
    reached = max(sealed.size, *(other.size for other, _ in others), 0)
    if head < reached:
        raise Refused(shorter(head, reached))
    if not growing.holds(store, size=sealed.size, root=sealed.root):
        _build_again(conn, store, sealed)
    for other, signed in others:
        sealed = _agreed(conn, rows, store, sealed, other, signed)
    if (active := _active(ranges)) != str(keys[0].verifier):
        sealed = _handed_over(rows, sealed, keys, ranges, active=active)
    store.write(policy.FILE, Policy(sealed.origin, tuple(rows.keys(sealed.origin))).encode())
    return sealed


def shorter(head: int, size: int) -> str:
    """Why a log is refused that ends before what was sealed."""
    return (
        f"{size:,} events were sealed, and the log ends at {head:,}: it lost its end, as after restoring a backup."
        " What was sealed stays provable; docs/audit.md says how to begin a new tree"
    )


def _last(rows: SealRows, key: SignerKey) -> SealedTree:
    """The checkpoint that Postgres has, or the empty tree, signed now."""
    installation, origin = rows.installation(), key.name
    if origin.startswith(ORIGIN_OF_INSTALLATIONS) and origin != origin_of(installation):
        raise Refused(
            f"the key is for {origin}, and this installation is {installation}: a copy has a key of its own"
        )
    if rows.of(origin) is None:
        empty = Checkpoint(origin, 0, merkle.EMPTY_ROOT).signed(key)
        rows.begin(origin, checkpoint=empty.encode(), key=str(key.verifier))
    sealed = rows.of(origin)
    if sealed is None:
        raise OpenAgain("another sealer holds the lease")
    signed = policy.verified(note.parse(sealed.checkpoint), rows.keys(origin))
    if signed != Checkpoint(origin, sealed.size, sealed.root):
        raise Refused(
            f"the row in seal.tree says something else than its checkpoint of {signed.size:,} events"
        )
    return sealed


def _other(content: bytes, origin: str, known: Sequence[VerifierKey]) -> tuple[Checkpoint, str]:
    """The checkpoint that another memory holds, next to the tiles or as published, and its text."""
    signed = note.parse(content)
    named = checkpoint.parse(signed.text).origin
    if named != origin:
        raise Refused(
            f"the tiles are those of {named}, the key is for {origin}: give each tree a folder of its own"
        )
    try:
        return checkpoint.verified(signed, known), content.decode()
    except UnverifiedNote as error:
        raise Refused(
            f"a checkpoint next to the tiles, or published, is signed by none of this log's keys: {error}"
        ) from error


def _build_again(conn: Connection, store: Store, sealed: SealedTree) -> None:
    root = growing.built_again(conn, store, size=sealed.size)
    if root != sealed.root:
        raise Refused(
            f"the first {sealed.size:,} events have the root {root.hex()[:16]}, not {sealed.root.hex()[:16]}, which"
            " was signed: the log was changed below its seal",
            read_all=True,
        )


def _agreed(
    conn: Connection, rows: SealRows, store: Store, sealed: SealedTree, remembered: Checkpoint, signed: str
) -> SealedTree:
    """The newer of two checkpoints of which the older is the beginning."""
    if (
        remembered.size > sealed.size
    ):  # the database was set back, and its log has grown again, or to another place
        root = growing.grown(conn, store, sealed, upto=remembered.size).root
    else:
        root = merkle.root(remembered.size, Tiles(store, sealed.size))
    if root != remembered.root:
        raise Refused(
            f"the checkpoint of {remembered.size:,} events next to the tiles or published is of another history than"
            f" this log's: {remembered.root.hex()[:16]}, not {root.hex()[:16]}",
            read_all=remembered.size > sealed.size,
        )
    if remembered.size > sealed.size:
        return rows.move(sealed, size=remembered.size, root=remembered.root, checkpoint=signed)
    return sealed


def _active(ranges: Sequence[KeyRange]) -> str:
    return next((each.key for each in ranges if each.last_size is None), "")


def _handed_over(
    rows: SealRows, sealed: SealedTree, keys: Sequence[SignerKey], ranges: Sequence[KeyRange], *, active: str
) -> SealedTree:
    """The last checkpoint again, signed by the key that sealed so far and the one that takes over."""
    new = str(keys[0].verifier)
    if any(each.key == new for each in ranges):
        raise Refused(f"the key {new} has sealed before and handed over: it seals no more")
    former = next((key for key in keys[1:] if str(key.verifier) == active), None)
    if former is None:
        raise Refused(
            f"the key that seals is {active}, and it is not in the file: without it no other key can take over"
        )
    overlap = Checkpoint(sealed.origin, sealed.size, sealed.root).signed(keys[0], former).encode()
    return rows.hand_over(sealed, retired=active, key=new, checkpoint=overlap)
