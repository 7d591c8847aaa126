"""Requests that need no parser: whole, in one piece, and of the plainest form that HTTP/1.1 has, or read before.

The form is narrower than RFC 9112, and everything else is left to the parser: what is taken here the parser would take
too, with the same headers and the same end.
"""

import re
from typing import Final
from urllib.parse import unquote_to_bytes

from runtime.http.exchange import Headers

_START: Final = b"POST "
_head: Final = re.compile(
    rb"POST /[!-~]* HTTP/1\.1\r\n((?:[!#$%&'*+.^_`|~0-9A-Za-z-]+:[ -~]*\r\n){1,50})\r\n"
).match
"""RFC 9112, sections 3 and 5, and tokens of RFC 9110, section 5.6.2, in ASCII: values end at their line."""
_HEAD_BYTES_MAX: Final = 4 * 1024
_read: Final = re.compile(rb"GET (/[A-Za-z0-9._~/%-]*) HTTP/1\.1\r\n")
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


def rest_of(data: bytes) -> bytes | None:
    """All after the first line of a GET, which these bytes are from first to last; None where it is not plain."""
    line = _read.match(data) if len(data) <= _HEAD_BYTES_MAX else None
    return None if line is None else data[line.end() :]


def path_before(rest: bytes, data: bytes) -> bytes | None:
    """The path as it came, of a GET that these bytes are, if this rest follows its first line; None if not.

    The parser would read the same headers as in the request that the rest was taken from: none depends on the path.
    """
    if len(data) > _HEAD_BYTES_MAX or not data.endswith(rest):
        return None
    line = _read.fullmatch(data, 0, len(data) - len(rest))
    return None if line is None else line[1]


def decoded(path: str) -> str:
    """A path as routes know it."""
    return unquote_to_bytes(path).decode("utf-8", "replace") if "%" in path else path
