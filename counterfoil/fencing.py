"""`counterfoil log fence`: after a restore or a promotion, declare that the log may have lost its end."""

from collections.abc import Sequence

from msgspec import Struct

from commands.policies import standing
from counterfoil import addresses
from event_store import cutting, generations, reading
from event_store.generations import Fenced
from runtime import database
from runtime.documents import DocumentsUnavailable, RedisDocuments
from runtime.settings import Settings, masked_address


class CacheNotEmptied(Exception):
    """Redis could not be emptied, so nothing was fenced."""


class NotConfirmed(Exception):
    """Nobody said yes to the fence, so nothing was fenced."""


class Intent(Struct, frozen=True):
    """What a fence would find and do now; addresses are masked."""

    database: str
    cache: str | None
    epoch: int
    generation: int
    head: int
    outcomes: int
    policies: tuple[str, ...]

    def lines(self) -> list[str]:
        """For the person who decides."""
        cache = "no document cache is named" if self.cache is None else f"the document cache at {self.cache}"
        emptied = "" if self.cache is None else " will be emptied"
        begins = f"epoch {self.epoch + 1} and generation {self.generation + 1} at position {self.head + 1:,}"
        return [
            f"log at {self.database}: epoch {self.epoch}, generation {self.generation}, head {self.head:,}",
            f"a fence begins {begins}:",
            "  whatever once stood behind the head is gone for good",
            f"  {cache}{emptied}",
            f"  {_removed(self.outcomes, self.policies)}",
        ]


def intent(settings: Settings) -> Intent:
    """What a fence would do.

    Raises:
        addresses.NoAddress, psycopg.Error: the log cannot be reached.
        cutting.NotOneMoment: the log has no end that could be fenced.
    """
    found = addresses.resolve(settings)
    url = addresses.database_url(settings)
    with database.connect(url, role="counterfoil_owner", name="fence") as connection:
        head = reading.head(connection)
        outcomes = cutting.outcomes_beyond(connection)
        return Intent(
            database=masked_address(url),
            cache=None if found.redis_url is None else masked_address(found.redis_url),
            epoch=head.epoch,
            generation=generations.current_generation(connection).generation,
            head=head.position,
            outcomes=outcomes,
            policies=tuple(standing.to_set_back(connection, outcomes_lost=outcomes > 0)),
        )


def fence(settings: Settings, *, reason: str) -> str:
    """Raise the epoch, begin a generation of topics, empty the document cache; one line that says so.

    The cache goes first: were it to stay behind a fence that holds, a lost history might be believed. Outcomes whose
    events are gone and the policies' checkpoints go in the fence's own transaction: a policy that met its own outcome
    would never decide again.

    Raises:
        addresses.NoAddress, psycopg.Error: the log cannot be reached.
        CacheNotEmptied: Redis is named and does not answer; nothing was fenced.
        cutting.NotOneMoment: the log has no end that could be fenced.
    """
    found = addresses.resolve(settings)
    with (
        database.connect(
            addresses.database_url(settings), role="counterfoil_owner", name="fence"
        ) as connection,
        connection.transaction(),
    ):
        fenced = generations.fence(connection, reason=reason, empty_documents=lambda: _empty(found.redis_url))
        policies = standing.to_set_back(connection, outcomes_lost=fenced.outcomes_removed > 0)
        standing.set_back(connection, policies)
    return _told(fenced, policies, redis_url=found.redis_url)


def _told(fenced: Fenced, policies: Sequence[str], *, redis_url: str | None) -> str:
    generation = fenced.generation
    cache = "no Redis is named, so no cache was emptied" if redis_url is None else "cache emptied"
    return (
        f"epoch {fenced.epoch} and generation {generation.generation} begin at position"
        f" {generation.start_position:,}; {cache}; {_removed(fenced.outcomes_removed, policies)};"
        " processes that run go on in them by themselves"
    )


def _removed(outcomes: int, policies: Sequence[str]) -> str:
    back = f"{len(policies)} policies set back to where they were registered"
    names = f" ({', '.join(policies)})" if policies else ""
    return f"{outcomes:,} outcomes of lost events removed, {back}{names}"


def _empty(redis_url: str | None) -> None:
    if redis_url is None:
        return
    documents = RedisDocuments(redis_url)
    try:
        for document in _documents():
            documents.forget(f"{document}:")
    except DocumentsUnavailable as error:
        raise CacheNotEmptied(f"nothing was fenced, Redis at {masked_address(redis_url)}: {error}") from error
    finally:
        documents.close()


def _documents() -> list[str]:
    from counterfoil.contexts import CONTEXTS

    return [view.document for view in CONTEXTS.views if view.document is not None]
