"""Keeps Postgres busy with appends for a share of the time: batches as fast as they are taken, and pauses between."""

import argparse
import asyncio
import time

import uvloop

from benchmarks import shop_events
from event_store.log.appending.writer import Writer

CALLERS = 64


async def append(url: str, *, share: float) -> None:
    """Append for ever; of each stretch of time `share` is spent on it."""
    async with Writer.open(url, name="benchmark busy") as writer:
        while True:
            requests = [shop_events.single() for _ in range(CALLERS)]
            began = time.perf_counter()
            await asyncio.gather(*(writer.append(request) for request in requests))
            await asyncio.sleep((time.perf_counter() - began) * (1 - share) / share)


def main() -> None:
    """Run until stopped."""
    given = argparse.ArgumentParser(description=__doc__)
    given.add_argument("--url", required=True)
    given.add_argument("--share", type=float, required=True)
    arguments = given.parse_args()
    uvloop.run(append(arguments.url, share=arguments.share))


if __name__ == "__main__":
    main()
