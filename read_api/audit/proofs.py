"""Proofs of the sealed log: its checkpoint, receipts of events, and that an earlier tree is the beginning of it."""

from collections.abc import Callable
from typing import Annotated, Final

import msgspec
from fastapi import Depends, Path, Query, Request
from msgspec import Struct
from starlette.responses import Response

from event_store.log import paging, reading
from event_store.log.envelope import RecordedEvent
from event_store.proofs import proving
from event_store.proofs.note import NoteError
from event_store.proofs.proving import NotSealed, NotSealedYet, Tree, TreeDamaged
from event_store.proofs.receipt import MEDIA_TYPE
from event_store.proofs.tiles import Directory
from read_api import parameters
from read_api.audit.past import Connection, Past
from read_api.documentation import responses
from runtime.http.contract import Document
from runtime.http.principal import requires
from runtime.problems import ProblemError

_RECEIPT_PROBLEMS: Final = (
    "invalid-parameter",
    "not-found",
    "not-sealed",
    "not-sealed-yet",
    "proof-unavailable",
    "too-busy",
    "view-unavailable",
)
CHECKPOINT_EXAMPLE: Final = """\
counterfoil/5f0c7d62-8f0f-4c0e-9c0a-0a4f3c9d2b11
1205
CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=

\u2014 counterfoil/5f0c7d62-8f0f-4c0e-9c0a-0a4f3c9d2b11 Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5/\
Zhcyv2q1gGzGku9nTo+zyWE+xeMcTOAYQ8=
"""
_RECEIPT_EXAMPLE: Final = f"""\
c2sp.org/tlog-proof@v1
extra eyJwb3NpdGlvbiI6MTIwNX0=
index 1204
gSKyXoYZUgZ6jduWYrkDOARinOMGJveXjgMkBTcdPlQ=

{CHECKPOINT_EXAMPLE}"""

POSITION_DIGITS_MAX: Final = len(str(parameters.POSITION_MAX))

router = parameters.query_router("audit")

_encode = msgspec.json.Encoder().encode


def receipt_responses(description: str) -> dict[int | str, Document]:
    """What a route that answers a receipt may answer."""
    return responses(
        str,
        example=_RECEIPT_EXAMPLE,
        headers=(),
        problems=_RECEIPT_PROBLEMS,
        description=description,
        media_type="text/plain",
    )


class Consistency(Struct, frozen=True):
    """That the first `old_size` events are the beginning of the sealed log; hashes in hex, `checkpoint` a note."""

    old_size: int
    old_root: str
    size: int
    root: str
    proof: list[str]
    checkpoint: str


class Proofs:
    """The sealed tree, as far as this process reaches its tiles, and the events that it is made of."""

    def __init__(self, store: Directory, *, past: Past) -> None:
        """Nothing is read yet."""
        self._store = store
        self._past = past

    async def tree(self) -> Tree:
        """The tree as it is published now.

        Raises:
            ProblemError: `not-sealed`, `proof-unavailable`.
            TooManyReads, ViewUnavailable: as reads of the past.
        """
        return await self._past.read(lambda _: self._published())

    async def receipt(self, find: Callable[[Connection], RecordedEvent | None]) -> Response:
        """A receipt for the event that is found.

        Raises:
            ProblemError: `not-found`, `not-sealed`, `not-sealed-yet`, `proof-unavailable`.
            TooManyReads, ViewUnavailable: as reads of the past.
        """
        content = await self._past.read(lambda connection: self._receipt(connection, find))
        return Response(content, media_type=MEDIA_TYPE)

    def _receipt(self, connection: Connection, find: Callable[[Connection], RecordedEvent | None]) -> str:
        tree = self._published()
        if (event := find(connection)) is None:
            raise ProblemError("not-found", "The log has no such event.")
        try:
            return tree.receipt(event, epoch=proving.epoch_at(connection, event.position)).encode()
        except NotSealedYet as error:
            raise ProblemError("not-sealed-yet", f"{error}.", position=event.position) from error
        except TreeDamaged as error:
            raise _unavailable(error) from error

    def _published(self) -> Tree:
        try:
            return proving.published(self._store)
        except NotSealed as error:
            raise ProblemError("not-sealed", f"{error}.") from error
        except (NoteError, OSError) as error:
            raise _unavailable(error) from error


def at_position(position: int) -> Callable[[Connection], RecordedEvent | None]:
    """How the event at a position is found."""

    def find(connection: Connection) -> RecordedEvent | None:
        return next(iter(paging.page_at(connection, [position])), None)

    return find


def of_stream(stream: str, *, version: int) -> Callable[[Connection], RecordedEvent | None]:
    """How an event of a stream is found."""

    def find(connection: Connection) -> RecordedEvent | None:
        found = reading.read_stream(connection, stream, after_version=version - 1, limit=1)
        return found[0] if found and found[0].version == version else None

    return find


def _proofs(request: Request) -> Proofs:
    proofs = request.scope["app"].state.proofs
    assert isinstance(proofs, Proofs)
    return proofs


OpenProofs = Annotated[Proofs, Depends(_proofs)]


@router.get(
    "/log/checkpoint",
    operation_id="get_checkpoint",
    summary="The newest signed checkpoint of the log",
    response_class=Response,
    responses=responses(
        str,
        example=CHECKPOINT_EXAMPLE,
        headers=(),
        problems=("invalid-parameter", "not-sealed", "proof-unavailable", "too-busy", "view-unavailable"),
        description="A signed note (c2sp.org/tlog-checkpoint): origin, number of events, root hash.",
        media_type="text/plain",
    ),
)
@requires("audit:read")
async def checkpoint(proofs: OpenProofs) -> Response:
    """Keep it: its holder can check later whether anything before it was changed."""
    return Response((await proofs.tree()).signed.encode(), media_type=MEDIA_TYPE)


@router.get(
    "/log/consistency",
    operation_id="get_consistency",
    summary="That an earlier tree is the beginning of the sealed log",
    response_class=Response,
    responses=responses(
        Consistency,
        example={
            "old_size": 1000,
            "old_root": "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
            "size": 1205,
            "root": "0ac5186a91863e8e1d90c808014aa89bf5da8e3ee1d9f07630f0378f68f1ab62",
            "proof": ["96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7"],
            "checkpoint": CHECKPOINT_EXAMPLE,
        },
        headers=(),
        problems=(
            *("invalid-parameter", "not-sealed", "not-sealed-yet", "proof-unavailable"),
            *("too-busy", "view-unavailable"),
        ),
        description="Hashes as in RFC 9162, 2.1.4.",
    ),
)
@requires("audit:read")
async def consistency(
    proofs: OpenProofs,
    old: Annotated[
        int,
        Query(
            ge=0,
            le=parameters.POSITION_MAX,
            description="Number of events of the earlier tree.",
            examples=[1000],
        ),
    ],
) -> Response:
    """Compare `old_root` with the root of the checkpoint that you kept."""
    tree = await proofs.tree()
    try:
        old_root, proof = tree.consistency(old)
    except NotSealedYet as error:
        raise ProblemError("not-sealed-yet", f"{error}.") from error
    except TreeDamaged as error:
        raise _unavailable(error) from error
    sealed = tree.checkpoint
    shown = Consistency(
        old,
        old_root.hex(),
        sealed.size,
        sealed.root.hex(),
        [each.hex() for each in proof],
        tree.signed.encode(),
    )
    return Response(_encode(shown), media_type="application/json")


@router.get(
    "/events/{position}/receipt",
    operation_id="get_event_receipt",
    summary="A receipt for one event",
    response_class=Response,
    responses=receipt_responses(
        "The event, its place in the tree and the newest checkpoint (c2sp.org/tlog-proof)."
    ),
)
@requires("audit:read")
async def receipt(
    proofs: OpenProofs,
    position: Annotated[
        int,
        Path(
            ge=1,
            le=parameters.POSITION_MAX,
            examples=[1205],
            json_schema_extra={"maxLength": POSITION_DIGITS_MAX},
        ),
    ],
) -> Response:
    """It proves itself to everybody with the log's public key: `counterfoil audit receipt` checks it offline."""
    return await proofs.receipt(at_position(position))


def _unavailable(error: Exception) -> ProblemError:
    return ProblemError("proof-unavailable", f"{type(error).__name__}: {error}.")
