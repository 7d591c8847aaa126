"""The position token: how far the log a caller has seen goes, per partition.

To callers it is opaque. Inside it is URL-safe base64 without padding of the msgpack array
`[1, epoch, generation, {partition: position}]`, where 1 is the version of this format.
"""

import base64
import binascii
from typing import Final

import msgspec
from msgspec import Struct

_FORMAT: Final = 1
TOKEN_CHARACTERS_MAX: Final = 1024


class MalformedToken(ValueError):
    """The text was not issued as a position token."""


class PositionToken(Struct, frozen=True):
    """Epoch, topic generation, and the highest position touched per partition."""

    epoch: int
    generation: int
    partitions: dict[int, int]

    @property
    def highest(self) -> int:
        """The highest position of any partition, 0 when none is named."""
        return max(self.partitions.values(), default=0)

    def encode(self) -> str:
        """The token as header text."""
        packed = _encoder.encode(_Packed(_FORMAT, self.epoch, self.generation, self.partitions))
        return base64.urlsafe_b64encode(packed).rstrip(b"=").decode()


class _Packed(Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    version: int
    epoch: int
    generation: int
    partitions: dict[int, int]


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(_Packed)


def decode(text: str) -> PositionToken:
    """The token in a header's text.

    Raises:
        MalformedToken: the text is not a token of this format, or names numbers that cannot be.
    """
    if not text or len(text) > TOKEN_CHARACTERS_MAX or "=" in text:
        raise MalformedToken("not a position token")
    try:
        raw = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
        packed = _decoder.decode(raw)
    except (binascii.Error, ValueError, msgspec.MsgspecError) as error:
        raise MalformedToken("not a position token") from error
    numbers = (packed.epoch, packed.generation, *packed.partitions.keys(), *packed.partitions.values())
    if packed.version != _FORMAT or min(numbers) < 0:
        raise MalformedToken("not a position token of this format")
    return PositionToken(packed.epoch, packed.generation, packed.partitions)
