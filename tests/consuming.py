"""Consumers in a thread of the test, by the driver that the roles use."""

import contextlib
import threading
import time
from collections.abc import Iterator, Sequence

from prometheus_client import CollectorRegistry

from event_store.consumers import driver
from event_store.consumers.driver import Consumer
from event_store.consumers.health import ConsumerHealth, Health
from event_store.consumers.news import News

STOP_S = 60.0


class Hosting:
    """Consumers at work, until the block ends."""

    def __init__(
        self, url: str, consumers: Sequence[Consumer], registry: CollectorRegistry, news: News
    ) -> None:
        self.failures: list[BaseException] = []
        self.health = Health()
        self.registry = registry
        self.news = news
        self.stop = threading.Event()
        self.thread = threading.Thread(target=self._run, args=(url, consumers), daemon=True)

    def __getitem__(self, name: str) -> ConsumerHealth:
        """How a consumer is."""
        return self.health.consumers[name]

    def count(self, name: str, **labels: str) -> float:
        """The value of a metric; 0 when it was never counted."""
        return self.registry.get_sample_value(name, labels) or 0.0

    def end(self) -> None:
        """Stop all of them and wait for it."""
        self.stop.set()
        self.thread.join(STOP_S)
        assert not self.thread.is_alive(), f"not stopped after {STOP_S} s: {self.health.lines()}"

    def _run(self, url: str, consumers: Sequence[Consumer]) -> None:
        try:
            driver.run(
                consumers,
                database_url=url,
                stop=self.stop,
                registry=self.registry,
                health=self.health,
                news=self.news,
            )
        except BaseException as error:  # noqa: BLE001 - the test looks at it
            self.failures.append(error)


@contextlib.contextmanager
def hosting(
    url: str,
    consumers: Sequence[Consumer],
    *,
    registry: CollectorRegistry | None = None,
    news: News | None = None,
    fails: bool = False,
) -> Iterator[Hosting]:
    """Host consumers for the length of a block; none of them may fail for good unless the test says that it does."""
    hosted = Hosting(url, consumers, registry or CollectorRegistry(), news or News())
    hosted.thread.start()
    try:
        while hosted.thread.is_alive() and not hosted.health.hosted:
            time.sleep(0.001)
        yield hosted
    finally:
        hosted.end()
    assert fails or hosted.failures == []
