"""Which of the media types that a route offers a caller prefers, by its header Accept (RFC 9110, 12.5.1)."""

import re
from collections.abc import Iterable, Iterator, Sequence

from runtime.http.headers import Header

RANGES_MAX = 32
"""Media ranges that are read; browsers send half a dozen."""

_range = re.compile(r"\s*([!#$%&'*+.^_`|~0-9a-z-]+)/([!#$%&'*+.^_`|~0-9a-z-]+)\s*", re.IGNORECASE).fullmatch
_quality = re.compile(r"\s*q\s*=\s*([01](?:\.[0-9]{0,3})?)\s*", re.IGNORECASE).fullmatch


def preferred(headers: Iterable[Header], offered: Sequence[str]) -> str | None:
    """The offered media type that the caller likes best, the first of equals; None: it takes none of them.

    Parameters of media types are passed over, as are ranges that cannot be read; who says nothing takes anything.
    """
    given = [value.decode("latin-1") for name, value in headers if name == b"accept"]
    if not given:
        return offered[0]
    ranges = list(_ranges(",".join(given)))
    if not ranges:
        return offered[0]
    liked = [(_liking(each, ranges), -index) for index, each in enumerate(offered)]
    quality, index = max(liked)
    return offered[-index] if quality > 0 else None


def _ranges(accept: str) -> Iterator[tuple[str, str, float]]:
    for each in accept.split(",")[:RANGES_MAX]:
        media_type, *parameters = each.split(";")
        found = _range(media_type)
        if found is None:
            continue
        qualities = [float(quality[1]) for quality in map(_quality, parameters) if quality]
        yield found[1].lower(), found[2].lower(), min(qualities[0], 1.0) if qualities else 1.0


def _liking(media_type: str, ranges: Iterable[tuple[str, str, float]]) -> float:
    """The quality that the most specific range gives a media type, 0 when none takes it."""
    kind, _, of_kind = media_type.partition("/")
    best = (-1, 0.0)
    for first, second, quality in ranges:
        if first in {"*", kind} and second in {"*", of_kind}:
            best = max(best, ((first != "*") + (second != "*"), quality))
    return best[1]
