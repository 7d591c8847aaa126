"""The library's serialised states as payloads of the log, and back, byte for byte.

A state that is JSON is stored as it is, so that Kafka's consumers and views can read it. Anything else (compressed,
encrypted, a JSON text at the top) becomes a JSON text in base64. A payload that begins with a quotation mark is
therefore always base64, and the metadata say so to everybody else.
"""

import base64
import binascii
from typing import Final

import msgspec
from eventsourcing.persistence import DataError

BASE64: Final = "base64"
"""How the metadata of an event call the encoding of a payload that is no JSON of its own."""

_QUOTE: Final = b'"'


def payload_of(state: bytes) -> tuple[bytes, str | None]:
    """The payload that keeps a state, and its encoding if it is not the state itself."""
    if not state.startswith(_QUOTE) and _is_json(state):
        return state, None
    return _QUOTE + base64.b64encode(state) + _QUOTE, BASE64


def state_of(payload: bytes) -> bytes:
    """The state that a payload keeps.

    Raises:
        DataError: this module did not write the payload.
    """
    if not payload.startswith(_QUOTE):
        return payload
    try:
        return base64.b64decode(payload[1:-1], validate=True)
    except binascii.Error as error:
        raise DataError("a payload is a JSON text, but not in base64") from error


def _is_json(state: bytes) -> bool:
    """Whether Postgres' `json` takes these bytes and gives them back."""
    try:
        msgspec.json.decode(state, type=msgspec.Raw)
        state.decode()
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return False
    return True
