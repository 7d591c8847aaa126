"""A policies process for tests that kill it: `python -m tests.commands.policies.process DATABASE_URL`."""

import signal
import sys
import threading

from prometheus_client import CollectorRegistry

from commands.policies.worker import run_policies
from event_store.local_transport import LocalTransport


def main() -> None:
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    url = sys.argv[1]
    run_policies(url, transport=LocalTransport(url), stop=stop, registry=CollectorRegistry())


if __name__ == "__main__":
    main()
