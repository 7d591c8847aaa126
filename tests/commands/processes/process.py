"""Process managers to be killed by tests: `python -m tests.commands.processes.process DATABASE_URL`."""

import sys

from prometheus_client import CollectorRegistry

from commands.processes import runner
from commands.processes.metrics import ProcessMetrics
from event_store.consumers import driver
from runtime.signals import stop_on_signals
from tests.commands.processes.running import SHOP


def main() -> None:
    url = sys.argv[1]
    registry = CollectorRegistry()
    deciding = runner.consumers(SHOP, metrics=ProcessMetrics(registry))
    with stop_on_signals() as stop:
        driver.run(deciding, database_url=url, stop=stop, registry=registry)


if __name__ == "__main__":
    main()
