"""Requests that need no parser to be refused: whole, in one piece, and of the plainest form that HTTP/1.1 has.

The form is narrower than RFC 9112, and everything else is left to the parser: what is taken here the parser would take
too, with the same headers and the same end.
"""

import re
from typing import Final

from runtime.http.exchange import Headers

_START: Final = b"POST "
_head: Final = re.compile(
    rb"POST /[!-~]* HTTP/1\.1\r\n((?:[!#$%&'*+.^_`|~0-9A-Za-z-]+:[ -~]*\r\n){1,50})\r\n"
).match
"""RFC 9112, sections 3 and 5, and tokens of RFC 9110, section 5.6.2, in ASCII: values end at their line."""
_HEAD_BYTES_MAX: Final = 4 * 1024
_NEVER_PLAIN: Final = frozenset((b"transfer-encoding", b"connection", b"expect", b"upgrade"))
"""Headers that say more about the request's end or the connection than its length does."""


def path_of(data: bytes) -> str | None:
    """The path of a POST, without its query, or None where these bytes begin with something else."""
    if not data.startswith(_START):
        return None
    return data[len(_START) : data.find(b" ", len(_START))].partition(b"?")[0].decode("latin-1")


def headers_of(data: bytes) -> Headers | None:
    """The headers of a plain POST that these bytes are from first to last; None where they are anything else."""
    head = _head(data, 0, _HEAD_BYTES_MAX)
    if head is None:
        return None
    headers: Headers = []
    length: int | None = None
    for line in head[1].split(b"\r\n")[:-1]:
        name, _, value = line.partition(b":")
        name, value = name.lower(), value.lstrip(b" ")
        if name in _NEVER_PLAIN:
            return None
        if name == b"content-length":
            if length is not None or not value.isdigit():
                return None
            length = int(value)
        headers.append((name, value))
    return headers if length is not None and head.end() + length == len(data) else None
