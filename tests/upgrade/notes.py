"""A context from outside in each dump: with tags, snapshots, and a fold that cannot show every note."""

from typing import Final

from msgspec import Struct
from pydantic import ConfigDict

from counterfoil.api import (
    Aggregate,
    Answer,
    ById,
    Caller,
    Context,
    Documented,
    Event,
    Id,
    Payload,
    Queries,
    Resource,
    Row,
    View,
    command,
    command_router,
    event_type,
    only_row,
)

SNAPSHOT_EVERY: Final = 10
UNREADABLE: Final = "unreadable"


def of_its_author(event: "NoteWritten") -> tuple[str, ...]:
    return (f"author:{event.author}",)


@event_type("notes.note_written.v1", tags=of_its_author)
class NoteWritten(Event, frozen=True):
    note_id: str
    author: str


class Note(Struct, frozen=True):
    authors: tuple[str, ...]


def evolve(note: Note | None, event: Event) -> Note:
    assert isinstance(event, NoteWritten)
    return Note((*(note.authors if note else ()), event.author))


NOTE: Final = Aggregate("note", evolve, (NoteWritten,), snapshot_every=SNAPSHOT_EVERY)

router = command_router("notes")


class WriteNote(Payload):
    model_config = ConfigDict(json_schema_extra={"example": {"author": "ada"}})

    author: Id


@command(router, "/notes/{note_id}", requires="notes:write")
async def write_note(note_id: str, body: WriteNote, caller: Caller) -> Answer:
    """Write to a note."""
    return await caller.execute(NOTE, note_id, lambda _note, _view: [NoteWritten(note_id, body.author)])


class NotePage(Row, frozen=True):
    note_id: str
    last_author: str
    written: int


notes = View(name="notes", row=NotePage, key=("note_id",), shape=1, category=NOTE.category)


@notes.on(NoteWritten)
def written(page: NotePage | None, event: NoteWritten) -> NotePage:
    if event.author == UNREADABLE:
        raise ValueError("nobody can read this")
    return NotePage(event.note_id, event.author, 1 if page is None else page.written + 1)


NOTES: Final = Context(
    name="notes",
    aggregates=(NOTE,),
    commands=router,
    views=(notes,),
    queries=Queries(
        by_id=(
            ById(
                "/notes/{note_id}",
                "notes:read",
                Resource("note", notes, only_row),
                Documented(
                    "get_note",
                    "A note",
                    NotePage,
                    {"note_id": "first", "last_author": "ada", "written": 1},
                    "first",
                ),
            ),
        )
    ),
)
