"""What does it cost that every request names a stream that it only read?

All requests name the same one at its exact version, as decisions do that rely on one price list or one catalogue.
"""

from collections.abc import Iterator
from typing import Final

import msgspec
import uvloop

from benchmarks import shop_events
from benchmarks.append import PREPARED_PER_S, appended
from benchmarks.laboratory import Laboratory
from benchmarks.measuring import alternating
from benchmarks.table import Goal, Row
from event_store.log.envelope import AppendRequest, Expectation

NAME: Final = "check-only"
CALLERS: Final = 64
READ: Final = "product-85123A"
GOALS: Final = (Goal("ratio_to_limit", at_least=0.9),)


def rows(laboratory: Laboratory) -> Iterator[Row]:
    """One row: appends that name it, against the same that do not."""
    found = alternating(
        {
            "limit": lambda: _rate(laboratory, names_it=False),
            "ours": lambda: _rate(laboratory, names_it=True),
        },
        rounds=laboratory.size.rounds,
    )
    yield Row(
        name=NAME,
        case=f"{CALLERS} callers, one stream read by every request",
        unit="appends/s",
        ours=found["ours"],
        limit=found["limit"],
        limit_name="the same without it",
        goals=GOALS,
    )


def _rate(laboratory: Laboratory, *, names_it: bool) -> float:
    seconds = laboratory.size.seconds
    with laboratory.database() as url:
        uvloop.run(appended(url, [shop_events.single(READ)], callers=1, seconds=seconds))
        requests = [shop_events.single() for _ in range(int(seconds * PREPARED_PER_S))]
        if names_it:
            requests = list(map(_naming, requests))
        return uvloop.run(appended(url, requests, callers=CALLERS, seconds=seconds))[0]


def _naming(request: AppendRequest) -> AppendRequest:
    expectations = (*request.expectations, Expectation(READ, 1))
    return msgspec.structs.replace(request, expectations=expectations)
