"""How often somebody may do something in a sliding window, and what came of asking: values without I/O."""

import math
from collections.abc import Iterable
from typing import Final, Literal

from msgspec import Struct

from runtime.problems import ProblemError

WINDOW_S: Final = 60
"""Seconds of the window of every limit of requests: never more than the quota in any of them."""

Source = Literal["shared", "local"]
"""Who decided: the count that all processes share, or that of this process with its part of the quota."""


class Quota(Struct, frozen=True):
    """At most `most` in any `window_s` seconds; `name` is what clients and metrics see."""

    name: str
    most: int
    window_s: int = WINDOW_S

    def part(self, processes: int) -> "Quota":
        """What one of several processes may give away without the others."""
        return Quota(self.name, max(1, self.most // processes), self.window_s)


class Allowance(Struct, frozen=True):
    """What came of asking: whether it passes, how many more do, and in how many seconds there is one more."""

    quota: Quota
    passes: bool
    remaining: int
    wait_s: float
    source: Source = "local"

    @property
    def policy_item(self) -> str:
        """The quota in the header RateLimit-Policy (draft-ietf-httpapi-ratelimit-headers)."""
        return f'"{self.quota.name}";q={self.quota.most};w={self.quota.window_s}'

    @property
    def limit_item(self) -> str:
        """What is left of it in the header RateLimit."""
        return f'"{self.quota.name}";r={self.remaining};t={math.ceil(self.wait_s)}'

    def refusal(self, slug: str, detail: str) -> ProblemError:
        """The problem of a caller who has to wait."""
        return ProblemError(slug, detail, headers={"retry-after": str(max(1, math.ceil(self.wait_s)))})


def headers_of(allowances: Iterable[Allowance]) -> list[tuple[bytes, bytes]]:
    """What an answer says of the limits that its request was counted by."""
    found = list(allowances)
    if not found:
        return []
    policy = ", ".join(each.policy_item for each in found)
    limit = ", ".join(each.limit_item for each in found)
    return [(b"ratelimit-policy", policy.encode("ascii")), (b"ratelimit", limit.encode("ascii"))]
