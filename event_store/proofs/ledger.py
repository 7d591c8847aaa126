"""The rows of schema `seal`: what was signed, by which keys, what witnesses said, and why nothing is sealed."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final, LiteralString

from msgspec import Struct

from event_store.consumers.errors import OpenAgain
from event_store.log.reading import Connection
from event_store.proofs import merkle
from event_store.proofs.policy import KeyRange, Policy

LEASE: Final = "sealer"

_LATEST: Final = """
select origin, size, root, checkpoint, published, sealed_at, refusal
from seal.tree order by sealed_at desc limit 1
"""
_OF_ORIGIN: Final = """
select origin, size, root, checkpoint, published, sealed_at, refusal from seal.tree where origin = %s
"""
_KEYS: Final = """
select key, first_size, last_size, handover from seal.key where origin = %s order by first_size, last_size nulls last
"""
_HELD: Final = "exists (select from runtime.lease l where l.name = 'sealer' and l.owner = %(owner)s)"
_BEGIN: Final = f"""
with begun as (
    insert into seal.tree (origin, size, root, checkpoint)
    select %(origin)s, 0, %(root)s, %(checkpoint)s where {_HELD}
    on conflict (origin) do nothing returning origin
)
insert into seal.key (origin, key, first_size) select origin, %(key)s, 0 from begun
"""
_MOVE: Final = f"""
update seal.tree
set size = %(size)s, root = %(root)s, checkpoint = %(checkpoint)s, sealed_at = clock_timestamp(), refusal = null,
    published = coalesce(%(published)s::text, published)
where origin = %(origin)s and size = %(before_size)s and root = %(before_root)s and {_HELD}
returning origin, size, root, checkpoint, published, sealed_at, refusal
"""
_PUBLISH: Final = f"""
update seal.tree set published = %(published)s where origin = %(origin)s and {_HELD}
"""
_RETIRE: Final = """
update seal.key set last_size = %(size)s where origin = %(origin)s and key = %(before)s and last_size is null
"""
_ENTER: Final = """
insert into seal.key (origin, key, first_size, handover) values (%(origin)s, %(key)s, %(size)s, %(handover)s)
"""
_REFUSE: Final = """
update seal.tree set refusal = %(refusal)s where origin = %(origin)s and refusal is distinct from %(refusal)s::text
"""
_WITNESSES: Final = """
select key, size, cosigned_at, failure, refusal, extract(epoch from clock_timestamp() - cosigned_at)::float8
from seal.witness where origin = %s order by key
"""
_FORGET: Final = f"delete from seal.witness where origin = %(origin)s and key <> all(%(keys)s) and {_HELD}"
_ENLIST: Final = f"""
insert into seal.witness (origin, key)
select %(origin)s, given.key from unnest(%(keys)s::text[]) as given (key) where {_HELD}
on conflict (origin, key) do nothing
"""
_COSIGNED: Final = f"""
update seal.witness set size = %(size)s, cosigned_at = clock_timestamp(), failure = null, refusal = null
where origin = %(origin)s and key = %(key)s and {_HELD}
"""
_FAILED: Final = f"""
update seal.witness set failure = %(failure)s where origin = %(origin)s and key = %(key)s and {_HELD}
"""
_REFUSED: Final = f"""
update seal.witness set refusal = %(refusal)s, failure = null
where origin = %(origin)s and key = %(key)s and {_HELD}
"""
_INSTALLATION: Final = "select id::text from log.installation"


class SealedTree(Struct, frozen=True):
    """The last signed checkpoint of one tree."""

    origin: str
    size: int
    root: bytes
    checkpoint: str
    """The signed note."""
    published: str | None
    """The newest note that was published, with its cosignatures; None before the first."""
    sealed_at: datetime
    refusal: str | None
    """Why the sealer signs nothing any more."""


class Witnessed(Struct, frozen=True):
    """The answer of one witness about a tree."""

    key: str
    size: int | None
    """Of the newest checkpoint that it cosigned; None before the first."""
    cosigned_at: datetime | None
    failure: str | None
    """Why the last submission brought no cosignature."""
    refusal: str | None
    """Why it cosigns no history of this log any more."""
    age_s: float | None
    """Seconds since its last cosignature; None before the first."""

    @property
    def name(self) -> str:
        """The witness's, as in its cosignatures."""
        return self.key.partition("+")[0]


class SealRows:
    """The rows of one tree, for the sealer that holds the lease."""

    def __init__(self, conn: Connection, *, owner: str) -> None:
        """Nothing is read yet; `conn` is in autocommit mode."""
        self._conn = conn
        self._owner = owner

    def of(self, origin: str) -> SealedTree | None:
        """The last signed checkpoint; None if there is none."""
        row = self._conn.execute(_OF_ORIGIN, [origin]).fetchone()
        return None if row is None else _sealed(row)

    def keys(self, origin: str) -> list[KeyRange]:
        """The keys that sealed, the first to the last."""
        return keys(self._conn, origin)

    def installation(self) -> str:
        """The id of the installation whose log this is."""
        row = self._conn.execute(_INSTALLATION).fetchone()
        assert row is not None, "an installation has its row"
        return str(row[0])

    def begin(self, origin: str, *, checkpoint: str, key: str) -> None:
        """Note the checkpoint of the empty tree, and the key that begins."""
        given = {"origin": origin, "root": merkle.EMPTY_ROOT, "checkpoint": checkpoint, "key": key}
        self._conn.execute(_BEGIN, {**given, "owner": self._owner})

    def move(
        self, before: SealedTree, *, size: int, root: bytes, checkpoint: str, published: str | None = None
    ) -> SealedTree:
        """Note what was signed, if the last is still what this sealer went on from and the lease is its own.

        Args:
            before: what this sealer went on from.
            size: events of the tree.
            root: of the tree.
            checkpoint: the signed note.
            published: the note that is published from now on; the one before if None.

        Raises:
            OpenAgain: another sealer was here.
        """
        given = {"origin": before.origin, "size": size, "root": root, "checkpoint": checkpoint}
        before_given = {"before_size": before.size, "before_root": before.root, "owner": self._owner}
        before_given["published"] = published
        row = self._conn.execute(_MOVE, {**given, **before_given}).fetchone()
        if row is None:
            raise OpenAgain("another sealer holds the lease, or sealed in between")
        return _sealed(row)

    def hand_over(self, before: SealedTree, *, retired: str, key: str, checkpoint: str) -> SealedTree:
        """Note the checkpoint that two keys signed: one of them sealed up to there, the other seals from there on.

        Raises:
            OpenAgain: another sealer was here.
        """
        given = {"origin": before.origin, "size": before.size, "before": retired, "key": key}
        with self._conn.transaction():
            moved = self.move(before, size=before.size, root=before.root, checkpoint=checkpoint)
            self._conn.execute(_RETIRE, given)
            self._conn.execute(_ENTER, {**given, "handover": checkpoint})
        return moved

    def publish(self, origin: str, published: str) -> None:
        """Note the newest checkpoint that is published.

        Raises:
            OpenAgain: another sealer holds the lease.
        """
        self._write(_PUBLISH, origin=origin, published=published)

    def witnesses(self, origin: str) -> list[Witnessed]:
        """The answers of the witnesses about a tree."""
        return witnesses(self._conn, origin)

    def forget_others(self, origin: str, keys: Sequence[str]) -> None:
        """Keep nothing of what other witnesses than these said, refusals included."""
        self._conn.execute(_FORGET, {"origin": origin, "keys": list(keys), "owner": self._owner})

    def enlist(self, origin: str, keys: Sequence[str]) -> None:
        """Have a row for each of these witnesses."""
        self._conn.execute(_ENLIST, {"origin": origin, "keys": list(keys), "owner": self._owner})

    def cosigned(self, origin: str, key: str, *, size: int) -> None:
        """Note that a witness cosigned a checkpoint of that size.

        Raises:
            OpenAgain: another sealer holds the lease.
        """
        self._write(_COSIGNED, origin=origin, key=key, size=size)

    def not_cosigned(self, origin: str, key: str, failure: str) -> None:
        """Note why a submission brought no cosignature.

        Raises:
            OpenAgain: another sealer holds the lease.
        """
        self._write(_FAILED, origin=origin, key=key, failure=failure)

    def refused_by(self, origin: str, key: str, refusal: str) -> None:
        """Note why a witness cosigns no history of this log any more.

        Raises:
            OpenAgain: another sealer holds the lease; what the witness knows may then be its work.
        """
        self._write(_REFUSED, origin=origin, key=key, refusal=refusal)

    def _write(self, statement: LiteralString, **given: object) -> None:
        if self._conn.execute(statement, {**given, "owner": self._owner}).rowcount == 0:
            raise OpenAgain("another sealer holds the lease")

    def refuse(self, origin: str, refusal: str | None) -> None:
        """Note why nothing is signed, for status and doctor; None: it is."""
        self._conn.execute(_REFUSE, {"origin": origin, "refusal": refusal})


def latest(conn: Connection) -> SealedTree | None:
    """The last signed checkpoint of the newest tree; None if there is none."""
    row = conn.execute(_LATEST).fetchone()
    return None if row is None else _sealed(row)


def keys(conn: Connection, origin: str) -> list[KeyRange]:
    """The keys that sealed a tree, the first to the last."""
    return [KeyRange(*row) for row in conn.execute(_KEYS, [origin])]


def policy(conn: Connection, origin: str) -> Policy:
    """The keys of a tree as they are published."""
    return Policy(origin, tuple(keys(conn, origin)))


def witnesses(conn: Connection, origin: str) -> list[Witnessed]:
    """The answers of the witnesses about a tree."""
    return [Witnessed(*row) for row in conn.execute(_WITNESSES, [origin])]


def _sealed(row: tuple[Any, ...]) -> SealedTree:
    origin, size, root, checkpoint, published, sealed_at, refusal = row
    return SealedTree(origin, size, bytes(root), checkpoint, published, sealed_at, refusal)
