"""Process managers to be killed by tests: `python -m tests.commands.processes.process DATABASE_URL`."""

import signal
import sys
import threading

from prometheus_client import CollectorRegistry

from commands.processes import runner
from commands.processes.metrics import ProcessMetrics
from event_store.consumers import driver
from tests.commands.processes.running import SHOP


def main() -> None:
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    url = sys.argv[1]
    registry = CollectorRegistry()
    deciding = runner.consumers(SHOP, metrics=ProcessMetrics(registry))
    driver.run(deciding, database_url=url, stop=stop, registry=registry)


if __name__ == "__main__":
    main()
