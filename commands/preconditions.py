"""If-Match: whether a stream still has the version that its caller saw."""

from typing import Any

from commands import refusals
from commands.calls import ANY_VERSION, SeenAt
from commands.decision import StreamState


def require_seen(seen: int | SeenAt | None, stream: str, base: StreamState[Any], *, epoch: int) -> None:
    """Refuse a state of a stream, in an epoch of the log, that is not what the caller saw.

    Raises:
        ProblemError: `precondition-failed`.
    """
    if seen is None or seen == base.version:
        return
    if isinstance(seen, SeenAt):
        # In another epoch the log may hold another event at that position.
        if epoch != seen.epoch or base.version == 0 or base.position > seen.position:
            raise refusals.version_moved(stream, expected=str(seen), actual=base.version)
        return
    if seen != ANY_VERSION:
        raise refusals.version_moved(stream, expected=seen, actual=base.version)
    if base.version == 0:
        raise refusals.version_moved(stream, expected="any version", actual=0)
