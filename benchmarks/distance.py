"""Puts a server at a distance: passes on what it gets, and what comes back a number of milliseconds later."""

import argparse
import asyncio
import contextlib

import uvloop

BLOCK_BYTES = 1 << 18


async def between(port: int, to: tuple[str, int], *, delay_s: float) -> None:
    """Listen and pass on, for ever."""

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        answers, server = await asyncio.open_connection(*to)
        await asyncio.gather(passed(reader, server, delay_s=0.0), passed(answers, writer, delay_s=delay_s))

    async with await asyncio.start_server(connected, "127.0.0.1", port) as listening:
        await listening.serve_forever()


async def passed(source: asyncio.StreamReader, sink: asyncio.StreamWriter, *, delay_s: float) -> None:
    """Each block leaves on its own, so that a later one does not wait for the time of an earlier one."""
    loop = asyncio.get_running_loop()
    with contextlib.suppress(ConnectionError):
        while block := await source.read(BLOCK_BYTES):
            if delay_s:
                loop.call_later(delay_s, sink.write, block)
            else:
                sink.write(block)
    loop.call_later(delay_s, sink.close)


def main() -> None:
    """Run until stopped."""
    given = argparse.ArgumentParser(description=__doc__)
    given.add_argument("--port", type=int, required=True)
    given.add_argument("--to-host", required=True)
    given.add_argument("--to-port", type=int, required=True)
    given.add_argument("--milliseconds", type=float, default=1.0)
    arguments = given.parse_args()
    uvloop.run(
        between(arguments.port, (arguments.to_host, arguments.to_port), delay_s=arguments.milliseconds / 1000)
    )


if __name__ == "__main__":
    main()
