"""`counterfoil log fence`: after a restore or a promotion, declare that the log may have lost its end."""

from collections.abc import Sequence

from msgspec import Struct

from counterfoil import addresses
from event_store.consumers import checkpoints
from event_store.log import cutting, reading
from event_store.transport import generations
from event_store.transport.generations import Fenced
from runtime import database
from runtime.documents import DocumentsUnavailable, RedisDocuments, installation_prefix
from runtime.masking import masked_address
from runtime.settings import Settings


class CacheNotEmptied(Exception):
    """Redis could not be emptied, so nothing was fenced."""


class NotConfirmed(Exception):
    """Nobody said yes to the fence, so nothing was fenced."""


class Intent(Struct, frozen=True):
    """What a fence would find and do now; addresses are masked."""

    database: str
    installation: str
    new_installation: bool
    cache: str | None
    epoch: int
    generation: int
    head: int
    outcomes: int
    processes: tuple[str, ...]
    consumers: tuple[str, ...]

    def lines(self) -> list[str]:
        """For the person who decides."""
        begins = f"epoch {self.epoch + 1} and generation {self.generation + 1} at position {self.head + 1:,}"
        return [
            f"log at {self.database}, installation {self.installation}",
            f"epoch {self.epoch}, generation {self.generation}, head {self.head:,}",
            f"a fence begins {begins}:",
            "  whatever once stood behind the head is gone for good",
            f"  {self._documents()}",
            f"  {_removed(self.outcomes, self.processes, self.consumers)}",
        ]

    def _documents(self) -> str:
        if self.new_installation:
            return "this copy becomes an installation of its own; documents and topics of the original stay"
        if self.cache is None:
            return "no document cache is named"
        return f"the document cache at {self.cache} will be emptied of this installation"


def intent(settings: Settings, *, new_installation: bool = False) -> Intent:
    """What a fence would do.

    Raises:
        addresses.NoAddress, psycopg.Error: the log cannot be reached.
        cutting.NotOneMoment: the log has no end that could be fenced.
    """
    found = addresses.resolve(settings)
    url = addresses.database_url(settings)
    with database.connect(url, role="counterfoil_owner", name="fence") as connection:
        head = reading.head(connection)
        generation = generations.current_generation(connection)
        outcomes = cutting.outcomes_beyond(connection)
        return Intent(
            database=masked_address(url),
            installation=generation.installation,
            new_installation=new_installation,
            cache=None if found.redis_url is None else masked_address(found.redis_url),
            epoch=head.epoch,
            generation=generation.generation,
            head=head.position,
            outcomes=outcomes,
            processes=tuple(checkpoints.to_set_back(connection, "process", outcomes_lost=outcomes > 0)),
            consumers=tuple(checkpoints.to_set_back(connection)),
        )


def fence(settings: Settings, *, reason: str, new_installation: bool = False) -> str:
    """Raise the epoch, begin a generation of topics, empty the document cache; one line that says so.

    The cache goes first: were it to stay behind a fence that holds, a lost history might be trusted. Only keys of
    this installation go, since others may use the same Redis; a copy that becomes one has none yet. Outcomes whose
    events are gone and checkpoints of process managers go in the fence's own transaction: one that met its own outcome
    would never decide again. Consumers of the log whose checkpoint is gone begin again.

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
        installation = reading.history(connection).installation
        fenced = generations.fence(
            connection,
            reason=reason,
            empty_documents=lambda: _empty(found.redis_url, installation),
            new_installation=new_installation,
        )
        lost = fenced.outcomes_removed > 0
        processes = checkpoints.to_set_back(connection, "process", outcomes_lost=lost)
        consumers = checkpoints.to_set_back(connection)
        checkpoints.set_back(connection, [*processes, *consumers])
    if new_installation:
        cache = f"this copy is installation {fenced.generation.installation} from now on"
    elif found.redis_url is None:
        cache = "no Redis is named, so no cache was emptied"
    else:
        cache = "cache emptied"
    return _summary(fenced, processes, consumers, cache=cache)


def _summary(fenced: Fenced, processes: Sequence[str], consumers: Sequence[str], *, cache: str) -> str:
    generation = fenced.generation
    return (
        f"epoch {fenced.epoch} and generation {generation.generation} begin at position"
        f" {generation.start_position:,}; {cache}; {_removed(fenced.outcomes_removed, processes, consumers)};"
        " processes that run go on in them by themselves"
    )


def _removed(outcomes: int, processes: Sequence[str], consumers: Sequence[str]) -> str:
    back = f"{len(processes)} process managers set back to where they were registered{_named(processes)}"
    if consumers:
        back += f", {len(consumers)} consumers too{_named(consumers)}"
    return f"{outcomes:,} outcomes of lost events removed, {back}"


def _named(names: Sequence[str]) -> str:
    return f" ({', '.join(names)})" if names else ""


def _empty(redis_url: str | None, installation: str) -> None:
    if redis_url is None:
        return
    documents = RedisDocuments(redis_url)
    try:
        documents.forget(installation_prefix(installation))
    except DocumentsUnavailable as error:
        raise CacheNotEmptied(f"nothing was fenced, Redis at {masked_address(redis_url)}: {error}") from error
    finally:
        documents.close()
