"""`counterfoil log fence`: after a restore or a promotion, declare that the log may have lost its end."""

from counterfoil import addresses
from event_store import generations
from runtime import database
from runtime.documents import DocumentsUnavailable, RedisDocuments
from runtime.settings import Settings, masked_address


class CacheNotEmptied(Exception):
    """Redis could not be emptied, so nothing was fenced."""


def fence(settings: Settings, *, reason: str) -> str:
    """Raise the epoch, begin a generation of topics, empty the document cache; one line that says so.

    The cache goes first: were it to stay behind a fence that holds, a lost history might be believed.

    Raises:
        addresses.NoAddress, psycopg.Error: the log cannot be reached.
        CacheNotEmptied: Redis is named and does not answer; nothing was fenced.
    """
    found = addresses.resolve(settings)
    with database.connect(
        addresses.database_url(settings), role="counterfoil_owner", name="fence"
    ) as connection:
        generation = generations.fence(
            connection, reason=reason, empty_documents=lambda: _empty(found.redis_url)
        )
    cache = "no Redis is named, so no cache was emptied" if found.redis_url is None else "cache emptied"
    return (
        f"generation {generation.generation} begins at position {generation.start_position}; {cache};"
        " processes that run go on in them by themselves"
    )


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
    from projections.registry import VIEWS

    return [view.document for view in VIEWS if view.document is not None]
