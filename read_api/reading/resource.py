"""What can be asked for by one id, and what one snapshot holds for it."""

from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any

import msgspec
from msgspec import Struct

from projections.storing import BuildId
from projections.view import View
from read_api.checkpoints import Checkpoints
from runtime.decoders import json_decoder

RowDict = dict[str, Any]
"""A row as it is shown: column name to value, nested values as raw JSON."""

Render = Callable[[str, Sequence[RowDict]], object]
"""What is shown for an id and its rows (at least one)."""


class Resource(Struct, frozen=True, dict=True):
    """A view that is asked by id, what a user calls one of its things, and how rows are shown.

    A view with a document has one row per id, and its document is what is shown. `owner` is the column that says whose
    a thing is; it is shown, too. `shared_s`: for so many seconds shared caches may answer callers without a token, who
    then are shown what is so much older; 0: nothing is kept by them. `id_of` is the id that a text in the address
    means, where people write one id in several ways.
    """

    noun: str
    view: View[Any]
    render: Render
    owner: str | None = None
    shared_s: int = 0
    id_of: Callable[[str], str] = str

    @cached_property
    def _owner_of(self) -> msgspec.json.Decoder[Any]:
        assert self.owner is not None, "declared for what somebody owns"
        return json_decoder(msgspec.defstruct("Owned", [("owner", str | None)], rename={"owner": self.owner}))

    def belongs_to(self, owner: str, body: bytes) -> bool:
        """Whether what is shown is somebody's."""
        return bool(self._owner_of.decode(body).owner == owner)

    def partition_key(self, key: str) -> str | None:
        """The partition key that the rows of an id belong to; None when they gather many, or the id does not say."""
        return self.view.partition_key_of((key,)) if self.view.knows_partition else None


class Found(Struct, frozen=True):
    """What one snapshot holds for one id.

    `body` None: there is no row, or none any longer. `position` is of the last event that changed it, 0 without one.
    `parked_at` is the position of the event at which the id's stream stands still.
    """

    build: BuildId
    body: bytes | None
    position: int
    checkpoints: Checkpoints
    parked_at: int | None = None


def only_row(_key: str, rows: Sequence[RowDict]) -> object:
    """Show the one row as it is."""
    assert len(rows) == 1, "the key of the view is the id"
    return rows[0]
