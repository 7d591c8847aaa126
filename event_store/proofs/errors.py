"""What keeps the sealer from signing.

Errors:
    Refused   what was signed and what is there do not agree
"""


class Refused(Exception):
    """What was signed and what is there do not agree: nothing more is signed until a person has looked."""

    def __init__(self, reason: str, *, read_all: bool = False) -> None:
        """`read_all`: the whole log was read to come to this, so it is not tried again at once."""
        super().__init__(reason)
        self.read_all = read_all
