"""Headers of every request and every answer: the correlation id in, the standard headers out."""

import re
from collections.abc import Iterable
from typing import Final

from runtime import problems
from runtime.problems import Fault, ProblemError
from runtime.randomness import random_bytes

Header = tuple[bytes, bytes]
"""Name, in lower case, and value."""

CORRELATION_ID_LENGTH_MAX: Final = 128

_is_correlation_id = re.compile(rb"[A-Za-z0-9._:/+=@-]{1,128}").fullmatch
_trace_id = re.compile(rb"[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}(?:-.*)?").fullmatch

STANDARD: Final = (
    (b"x-content-type-options", b"nosniff"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
    (b"referrer-policy", b"no-referrer"),
)
"""Set on every answer, unless the answer brings its own."""

_STANDARD_NAMES: Final = frozenset(name for name, _ in STANDARD)

OVER_TLS: Final = (b"strict-transport-security", b"max-age=31536000; includeSubDomains")
REVALIDATED: Final = (b"cache-control", b"private, no-cache")
NEVER_STORED: Final = (b"cache-control", b"no-store")
FOR_EVER: Final = "public, max-age=31536000, immutable"
"""Cache-Control of what never changes under its address (RFC 8246)."""
SHARED: Final = b"public, max-age=0, s-maxage=%d"
"""Cache-Control of what shared caches may answer so many seconds long; a caller's own cache asks again."""
SURROGATE_KEY: Final = "surrogate-key"
"""By which a shared cache finds all that it keeps of one thing, to drop it."""


def correlation_of(headers: Iterable[Header]) -> tuple[str, ProblemError | None]:
    """The caller's Correlation-Id, else the trace id of its traceparent, else a new one.

    What cannot be a correlation id is not taken over, since it could break a log line or a header; the problem says
    so. A traceparent that cannot be read is ignored, as W3C Trace Context asks (section 3.2).
    """
    given: bytes | None = None
    trace = b""
    for name, value in headers:
        if name == b"correlation-id":
            if given is not None or _is_correlation_id(value) is None:
                return random_bytes(16).hex(), _malformed()
            given = value
        elif name == b"traceparent" and (found := _trace_id(value)):
            trace = found[1]
    known = given or trace
    return (known.decode("ascii") if known else random_bytes(16).hex()), None


def _malformed() -> ProblemError:
    detail = (
        f"A correlation id has 1 to {CORRELATION_ID_LENGTH_MAX} ASCII letters, digits and characters of"
        " ._:/+=@- and is sent once"
    )
    fault = Fault(detail=detail, header="Correlation-Id")
    return problems.of_fault("correlation-id-malformed", fault)


def with_standard(headers: Iterable[Header], correlation_id: str, *, secure: bool) -> list[Header]:
    """The headers of an answer with those that every answer has. `secure`: it travels over TLS.

    What has an entity tag may be kept by its caller, to be asked for again with If-None-Match; nothing else is stored.
    """
    own = list(headers)
    names = {name for name, _ in own}
    if names.isdisjoint(_STANDARD_NAMES):
        own += STANDARD
    else:
        own += [header for header in STANDARD if header[0] not in names]
    if b"cache-control" not in names:
        own.append(REVALIDATED if b"etag" in names else NEVER_STORED)
    if secure:
        own.append(OVER_TLS)
    own.append((b"correlation-id", correlation_id.encode("ascii")))
    return own
