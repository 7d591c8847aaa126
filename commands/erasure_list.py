"""The list of erasures as keyrings of this package read it: from the log, over their own connections."""

from commands.log_reading import LogReader, LogUnreachable
from event_store.log.erasures import erased_behind
from runtime.keyring.errors import KeysUnreachable
from runtime.keyring.keyring import Erasures, ReadErasures


def read_by(reader: LogReader) -> ReadErasures:
    """What reads, behind a position of the log, who was erased."""

    async def erasures(position: int) -> Erasures:
        try:
            found = await reader.read(lambda connection: erased_behind(connection, position))
        except LogUnreachable as error:
            raise KeysUnreachable("the log does not answer") from error
        return Erasures(found.epoch, found.position, found.key_ids)

    return erasures
