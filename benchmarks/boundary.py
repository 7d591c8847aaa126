"""How many appends a second are made under a condition by tag, through the recorder of `eventsourcing.dcb`?

Each append claims a tag that nobody has claimed: one event with two tags, if there is none with the first. The peer is
the library's own recorder for Postgres, called by as many threads.
"""

import secrets
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from eventsourcing.dcb.api import DCBAppendCondition, DCBEvent, DCBQuery, DCBQueryItem, DCBRecorder
from eventsourcing.dcb.persistence import DCBInfrastructureFactory
from eventsourcing.utils import Environment

from benchmarks import library
from benchmarks.laboratory import Laboratory
from benchmarks.measuring import alternating
from benchmarks.table import OWN_DISK, Row

NAME: Final = "boundary"
COURSES: Final = 100
"""Values of the second tag, which many events share."""


def rows(laboratory: Laboratory) -> Iterator[Row]:
    """A row for each number of callers."""
    for callers in laboratory.size.callers():
        contestants = {
            "ours": lambda callers=callers: _rate(laboratory, callers=callers, ours=True),
            "peer": lambda callers=callers: _rate(laboratory, callers=callers, ours=False),
        }
        found = alternating(contestants, rounds=laboratory.size.rounds)
        yield Row(
            name=NAME,
            case=f"claim of a tag, {callers} callers",
            unit="appends/s",
            ours=found["ours"],
            peer=found["peer"],
            peer_name=f"{library.NAME}, its dcb recorder for Postgres",
        )


def _rate(laboratory: Laboratory, *, callers: int, ours: bool) -> float:
    with laboratory.database(OWN_DISK, migrated=ours) as url:
        environment = (
            {"PERSISTENCE_MODULE": "event_store.eventsourcing_module", "COUNTERFOIL_DATABASE_URL": url}
            if ours
            else {**library.environment(url), "PERSISTENCE_MODULE": "eventsourcing.dcb.postgres_tt"}
        )
        factory: DCBInfrastructureFactory[object] = DCBInfrastructureFactory.construct(  # type: ignore[type-var, assignment]
            Environment("Courses", environment)
        )
        with factory:
            try:
                return _claimed(factory.dcb_recorder(), callers=callers, seconds=laboratory.size.seconds)
            finally:
                factory.close()


def _claimed(recorder: DCBRecorder, *, callers: int, seconds: float) -> float:
    end = time.perf_counter() + seconds

    def call(_: int) -> int:
        done = 0
        while time.perf_counter() < end:
            tag = secrets.token_hex(8)
            recorder.append(
                [DCBEvent("Enrolled", b'{"at": "2026-01-31"}', [tag, f"course:{done % COURSES}"])],
                DCBAppendCondition(DCBQuery([DCBQueryItem(["Enrolled"], [tag])])),
            )
            done += 1
        return done

    with ThreadPoolExecutor(callers) as pool:
        return sum(pool.map(call, range(callers))) / seconds
