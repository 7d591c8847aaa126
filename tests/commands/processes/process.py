"""Process managers to be killed by tests: `python -m tests.commands.processes.process DATABASE_URL`."""

import signal
import sys
import threading

from prometheus_client import CollectorRegistry

from commands.processes.runner import run_processes
from event_store.local_transport import LocalTransport
from tests.commands.processes.running import SHOP


def main() -> None:
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    url = sys.argv[1]
    run_processes(
        url,
        processes=SHOP,
        transport=LocalTransport(url),
        stop=stop,
        registry=CollectorRegistry(),
    )


if __name__ == "__main__":
    main()
