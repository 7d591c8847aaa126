"""The witnesses that a log has its checkpoints cosigned by: `<verifier key> <URL>`, joined by commas."""

from msgspec import Struct

from event_store.proofs import note
from event_store.proofs.note import MalformedNote, VerifierKey


class Witness(Struct, frozen=True):
    """A witness: the key of its cosignatures, and the URL before `/add-checkpoint`."""

    key: VerifierKey
    url: str


def parse(joined: str) -> list[Witness]:
    """Read a list of witnesses.

    Raises:
        MalformedNote: a key is none, or not one that cosigns, or is listed twice.
    """
    found = []
    for each in joined.split(","):
        key, _, url = each.strip().partition(" ")
        witness = Witness(VerifierKey.parse(key), url.strip())
        if witness.key.algorithm != note.COSIGNATURE:
            raise MalformedNote(f"{witness.key.name} is the key of a log: that of a witness is wanted")
        found.append(witness)
    if len({each.key for each in found}) < len(found):
        raise MalformedNote("a witness is listed twice")
    return found
