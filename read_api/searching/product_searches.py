"""Searches of one process: kept answers while they are right, otherwise SQL."""

import msgspec

from read_api import answers
from read_api.checkpoints import CheckpointSnapshot
from read_api.connections import AsyncConnection
from read_api.freshness import Wish
from read_api.reads import Reads
from read_api.searching import answering
from read_api.searching.answering import VIEWS, Builds, FoundProducts
from read_api.searching.kept import KeptAnswer, KeptAnswers
from read_api.searching.questions import Question

_encode = msgspec.json.Encoder().encode


class ProductSearches:
    """Answers searches."""

    def __init__(self, reads: Reads) -> None:
        """Read through `reads`."""
        self._reads = reads
        self._builds = Builds()
        self._kept = KeptAnswers(reads)

    async def answer(self, question: Question, wish: Wish) -> KeptAnswer:
        """The answer to a question; of who names a position, never one that was kept.

        Raises:
            ProblemError: the wish cannot be fulfilled.
            TooManyReads, ViewUnavailable: the database does not answer.
        """
        if wish.token is not None:
            wish = await self._reads.admission.admit(wish, views=VIEWS)
            _, answered = await self._read(question, wish)
            return answered
        slot = self._kept.slot(question)
        if slot is not None and (kept := await self._kept.get(slot)) is not None:
            return kept
        snapshot, answered = await self._read(question, wish)
        if slot is not None:
            self._kept.put(slot, snapshot, answered)
        return answered

    async def _read(self, question: Question, wish: Wish) -> tuple[CheckpointSnapshot, KeptAnswer]:
        async def read(connection: AsyncConnection, snapshot: CheckpointSnapshot) -> FoundProducts:
            return await answering.answer(connection, await self._builds.live(connection, snapshot), question)

        snapshot, found = await self._reads.snapshot(read)
        headers = answers.fresh_headers(snapshot, views=VIEWS, wish=wish)
        in_stock = {each.sku: each.in_stock for each in found.items}
        return snapshot, KeptAnswer(_encode(found), headers, found.next_cursor, in_stock)
