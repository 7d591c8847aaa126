"""Why an append has no verdict.

AppendError
├── InvalidRequest       our own bug or a value that Postgres cannot hold; nothing was queued
├── QueueFull            too many requests wait; nothing was queued
├── StoreUnavailable     the server could not be reached or gave up; nothing was stored
├── LogUnusable          the database is not migrated, or the login may not append; nothing was stored
├── OutcomeUnknown       the answer was lost; the same key, sent again, gets the outcome
├── EpochChanged         the log was promoted or restored; nothing was stored, cached states are void
└── WriterClosed         the writer is draining; nothing was queued
"""


class AppendError(Exception):
    """An append that has no verdict."""


class InvalidRequest(AppendError):
    """The request breaks a limit or holds a value that Postgres cannot store; it was not queued."""


class QueueFull(AppendError):
    """Too many requests wait; this one was not queued. Try again a little later."""


class StoreUnavailable(AppendError):
    """The log could not be reached or gave up in time; nothing was stored."""


class LogUnusable(AppendError):
    """The server answers, but holds no log of this version or refuses the login its role; nothing was stored.

    Sending it again changes nothing: an operator has to migrate the database or grant the role.
    """


class OutcomeUnknown(AppendError):
    """The answer was lost: the request may or may not be stored. The same key, sent again, gets the outcome."""


class EpochChanged(AppendError):
    """The log lives in another epoch than this writer knew; nothing was stored. Drop cached states, load again."""

    def __init__(self, known: int) -> None:
        super().__init__(f"the log has left epoch {known}")
        self.known = known


class WriterClosed(AppendError):
    """The writer is closed and accepts no requests."""
