"""A context that the shop does not know, whole in one file: a library lends books."""

from dataclasses import dataclass
from typing import Final

from pydantic import ConfigDict

from counterfoil.api import (
    Aggregate,
    Answer,
    ById,
    Caller,
    Conflict,
    Context,
    Documented,
    Event,
    Id,
    Listed,
    ListOf,
    Payload,
    Queries,
    Resource,
    Row,
    Sort,
    View,
    command,
    command_router,
    event_type,
    only_row,
)


@event_type("lending.book_lent.v1")
class BookLent(Event, frozen=True):
    book_id: str
    reader_id: str


@dataclass(kw_only=True, eq=False)
class BookLentAlready(Conflict):
    """One copy, one reader."""

    title = "The book is lent"
    meaning = "Somebody else has it."
    remedy = "Reserve it."

    book_id: str

    def __str__(self) -> str:
        return f"'{self.book_id}' is lent."


def evolve(_book: str | None, event: Event) -> str:
    """The state of a book is its reader."""
    assert isinstance(event, BookLent)
    return event.reader_id


def lend(book: str | None, *, book_id: str, reader_id: str) -> list[Event]:
    if book is not None:
        raise BookLentAlready(book_id=book_id)
    return [BookLent(book_id, reader_id)]


BOOK: Final[Aggregate[str]] = Aggregate("book", evolve, (BookLent,))

router = command_router("lending")


class LendBook(Payload):
    model_config = ConfigDict(json_schema_extra={"example": {"reader_id": "ada"}})

    reader_id: Id


@command(router, "/books/{book_id}/loan", requires="books:lend", refusals=(BookLentAlready,))
async def lend_book(book_id: str, body: LendBook, caller: Caller) -> Answer:
    """Lend a book that is in."""
    return await caller.execute(
        BOOK, book_id, lambda book, _view: lend(book, book_id=book_id, reader_id=body.reader_id)
    )


class Book(Row, frozen=True):
    """Who has a book."""

    book_id: str
    reader_id: str


books = View(name="books", row=Book, key=("book_id",), shape=1, category=BOOK.category)


@books.on(BookLent)
def lent(_book: Book | None, event: BookLent) -> Book:
    return Book(event.book_id, event.reader_id)


BOOKS: Final = Resource(noun="book", view=books, render=only_row)

LENDING: Final = Context(
    name="lending",
    aggregates=(BOOK,),
    commands=router,
    views=(books,),
    queries=Queries(
        by_id=(
            ById(
                "/books/{book_id}",
                "books:read",
                BOOKS,
                Documented("get_book", "Book", Book, {"book_id": "dune", "reader_id": "ada"}, "dune"),
            ),
        ),
        lists=(
            ListOf(
                path="/books",
                requires="books:read",
                view=books,
                sorts=(Sort("book_id", ("book_id",)),),
                documented=Listed(
                    "list_books",
                    "BooksPage",
                    "Books",
                    "By their ids.",
                    {"book_id": "dune", "reader_id": "ada"},
                    example_ids=("dune",),
                ),
            ),
        ),
    ),
    problems=(BookLentAlready,),
)
