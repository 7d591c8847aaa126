"""What a process says about itself: structured logs, metrics, and whether it lives and is ready.

Log events are short stable names with key-values. The correlation id of what is being done is bound once at
the edge and appears on every line. Nothing personal is logged.
"""

import bisect
import contextlib
import itertools
import logging
import platform
import sys
import threading
from collections.abc import Callable, Iterator, MutableMapping, Sequence
from contextvars import ContextVar
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final, TextIO

import structlog
from prometheus_client import CollectorRegistry, Gauge, GCCollector, ProcessCollector
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.metrics_core import CounterMetricFamily, HistogramMetricFamily, Metric

from runtime.listening import listening_at
from runtime.repeated_lines import OnceInAWhile
from runtime.version import version

correlation_id: ContextVar[str] = ContextVar("correlation_id", default="")
"""The correlation id of the work at hand; empty outside of any."""

HEALTH_REQUEST_TIMEOUT_S: Final = 5.0
"""A probe that does not finish its request in this time is cut off."""

_LIBRARY_LEVELS: Final = {
    "kafka": logging.WARNING,
    "httpx": logging.WARNING,
    "httpcore": logging.WARNING,
    "kafka.net.selector": logging.ERROR,
}
"""From which level libraries are heard. At info they tell every connection and refresh; kafka-python's selector warns
of each turn of its own thread over 0.1 s, which decoding a large batch takes."""

_DURATION_BUCKETS_S: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


def configure_logging(level: str = "INFO", *, process: str, stream: TextIO | None = None) -> None:
    """Write every log line of this process, libraries included, as one JSON object on one line.

    `process` names the role (command-api, relay, …) on each line; `stream` is standard error unless given.
    """
    stamp: list[structlog.typing.Processor] = [
        _bind_correlation_id,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _names_process(process),
        structlog.processors.format_exc_info,
    ]
    structlog.configure(
        processors=[*stamp, structlog.processors.JSONRenderer()],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level.upper()]),
        logger_factory=structlog.WriteLoggerFactory(stream or sys.stderr),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.addFilter(OnceInAWhile("kafka"))
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*stamp, structlog.stdlib.add_logger_name],
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.JSONRenderer(),
            ],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    for library, lowest in _LIBRARY_LEVELS.items():
        logging.getLogger(library).setLevel(max(root.level, lowest))


def _bind_correlation_id(
    _logger: object, _method: str, event: MutableMapping[str, Any]
) -> MutableMapping[str, Any]:
    if bound := correlation_id.get():
        event.setdefault("correlation_id", bound)
    return event


def _names_process(process: str) -> structlog.typing.Processor:
    def name(_logger: object, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        event["process"] = process
        return event

    return name


def new_registry() -> CollectorRegistry:
    """A registry with what every process shows: its version, memory, processor time, open files, collections."""
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    GCCollector(registry=registry)
    build = Gauge(
        "counterfoil_build_info",
        "Always 1; the labels name what runs.",
        ["version", "python"],
        registry=registry,
    )
    build.labels(version(), platform.python_version()).set(1)
    return registry


class Tally:
    """A counter with labels for the one thread that answers, in plain numbers.

    Counters of the library take locks, which cost an answer that is at hand as much as reading it did.
    """

    def __init__(
        self, name: str, meaning: str, labels: Sequence[str], *, registry: CollectorRegistry | None
    ) -> None:
        """`registry` shows it; None: nobody does."""
        self._name, self._meaning, self._labels = name, meaning, labels
        self._counts: dict[tuple[str, ...], int] = {}
        if registry is not None:
            registry.register(self)

    def add(self, *labels: str) -> None:
        """Count one, under these values of the labels."""
        self._counts[labels] = self._counts.get(labels, 0) + 1

    def collect(self) -> Iterator[Metric]:
        """The family, for the registry."""
        family = CounterMetricFamily(self._name, self._meaning, labels=self._labels)
        for labels, count in sorted(self._counts.items()):
            family.add_metric(labels, count)
        yield family


class HttpMetrics:
    """How many requests each route answered, with which status, in which time; counted as a `Tally` counts."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._requests = Tally(
            "counterfoil_http_requests",
            "Requests answered.",
            ["method", "route", "status"],
            registry=registry,
        )
        self._seconds: dict[tuple[str, str], _Durations] = {}
        registry.register(self)

    def answered(self, method: str, route: str, *, status: int, seconds: float) -> None:
        """Count one answer. `route` is the template of the route, never the address that was asked for."""
        self._requests.add(method, route, str(status))
        durations = self._seconds.get((method, route))
        if durations is None:
            durations = self._seconds[method, route] = _Durations()
        durations.add(seconds)

    def collect(self) -> Iterator[Metric]:
        """The durations, for the registry."""
        seconds = HistogramMetricFamily(
            "counterfoil_http_request_seconds",
            "Time from the request's head to the end of the answer.",
            labels=["method", "route"],
        )
        for (method, route), durations in sorted(self._seconds.items()):
            seconds.add_metric([method, route], durations.buckets(), durations.sum_s)
        yield seconds


class _Durations:
    """Durations in seconds by bucket."""

    def __init__(self) -> None:
        self.sum_s = 0.0
        self._counts = [0] * (len(_DURATION_BUCKETS_S) + 1)

    def add(self, seconds: float) -> None:
        self.sum_s += seconds
        self._counts[bisect.bisect_left(_DURATION_BUCKETS_S, seconds)] += 1

    def buckets(self) -> list[tuple[str, float]]:
        """Upper bound, and how many were no longer."""
        bounds = [*map(str, _DURATION_BUCKETS_S), "+Inf"]
        return list(zip(bounds, itertools.accumulate(self._counts), strict=True))


class Readiness:
    """Whether a process wants new work: once it drains, never again."""

    def __init__(self, ready: Callable[[], bool] = lambda: True) -> None:
        self._ready = ready
        self._draining = False

    @property
    def draining(self) -> bool:
        """Work at hand is finished, no new work is wanted."""
        return self._draining

    def drain(self) -> None:
        """Ask for no more work from now on."""
        self._draining = True

    def __call__(self) -> bool:
        return not self._draining and self._ready()


@contextlib.contextmanager
def serve_health(
    port: int,
    registry: CollectorRegistry,
    ready: Callable[[], bool],
    *,
    host: str = "127.0.0.1",
    lines: Callable[[], Sequence[str]] = tuple,
) -> Iterator[int]:
    """Serve /livez, /readyz and /metrics of a worker from a thread; yields its port (0: a free one).

    `lines` say in the body of /readyz why it is so.

    Raises:
        CannotListen: the port is taken, say.
    """
    with listening_at(host, port):
        server = ThreadingHTTPServer((host, port), _health_handler(registry, ready, lines))
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, name="health", daemon=True)
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _health_handler(
    registry: CollectorRegistry, ready: Callable[[], bool], lines: Callable[[], Sequence[str]]
) -> type[BaseHTTPRequestHandler]:
    class HealthHandler(BaseHTTPRequestHandler):
        timeout = HEALTH_REQUEST_TIMEOUT_S

        def do_GET(self) -> None:
            match self.path:
                case "/livez":
                    self._answer(HTTPStatus.OK, b"ok\n")
                case "/readyz" if ready():
                    self._answer(HTTPStatus.OK, _body("ready", lines()))
                case "/readyz":
                    self._answer(HTTPStatus.SERVICE_UNAVAILABLE, _body("not ready", lines()))
                case "/metrics":
                    self._answer(HTTPStatus.OK, generate_latest(registry), CONTENT_TYPE_LATEST)
                case _:
                    self._answer(HTTPStatus.NOT_FOUND, b"not found\n")

        do_HEAD = do_GET  # noqa: N815 - the server calls it so

        def _answer(self, status: HTTPStatus, body: bytes, media_type: str = "text/plain") -> None:
            self.send_response_only(status)
            self.send_header("Content-Type", media_type)
            self.send_header("Content-Length", str(len(body)))
            self.send_header("X-Content-Type-Options", "nosniff")
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            """Probes come every few seconds: they are not worth a line."""

    return HealthHandler


def _body(first: str, lines: Sequence[str]) -> bytes:
    return "".join(f"{line}\n" for line in (first, *lines)).encode()
