"""Errors of sealing and of proofs.

Errors:
    ProofsError
    ├── Refused             what was signed and what is there do not agree: nothing is sealed
    ├── FalseProof          a proof does not prove what it claims
    ├── KeyFileError        the file with the key that seals cannot be used (key_file.py)
    └── NoProof             there is no proof of that (proving.py)
        ├── NoSuchEvent
        ├── NotSealed
        ├── NotSealedYet
        └── TreeDamaged
"""


class ProofsError(Exception):
    """Something cannot be sealed or proven; the text says what an operator can do."""


class FalseProof(ProofsError):
    """A proof does not prove what it claims: it was forged, or is for something else."""


class Refused(ProofsError):
    """The signed tree and the log differ: nothing more is signed until an operator has acted."""

    def __init__(self, reason: str, *, read_all: bool = False) -> None:
        """`read_all`: the whole log was read to come to this, so it is not tried again at once."""
        super().__init__(reason)
        self.read_all = read_all
