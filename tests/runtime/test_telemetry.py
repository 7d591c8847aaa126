"""Logs on one line each, metrics by route, and the three addresses of every process."""

import io
import json
import logging
import urllib.error
import urllib.request
from collections import defaultdict

import pytest
import structlog
from prometheus_client.exposition import generate_latest

from runtime import repeated_lines, telemetry
from runtime.telemetry import HttpMetrics, Readiness, Tally, new_registry, serve_health
from runtime.version import version


@pytest.fixture
def lines():
    """All lines by their event: in this process there may be lines of the threads of other tests, too."""
    root = logging.getLogger()
    configured = structlog.get_config()
    before, level = root.handlers[:], root.level
    stream = io.StringIO()
    telemetry.configure_logging("INFO", process="relay", stream=stream)

    def lines():
        by_event = defaultdict(list)
        for line in stream.getvalue().splitlines():
            found = json.loads(line)
            by_event[found["event"]].append(found)
        return by_event

    yield lines
    structlog.configure(**configured)
    root.handlers[:] = before
    root.setLevel(level)


def test_a_line_carries_event_level_time_process_and_correlation_id(lines):
    token = telemetry.correlation_id.set("c-9")
    structlog.get_logger().info("order_cancelled", order_id="A1")
    telemetry.correlation_id.reset(token)

    [line] = lines()["order_cancelled"]
    assert ("info", "relay", "c-9", "A1") == (
        line["level"],
        line["process"],
        line["correlation_id"],
        line["order_id"],
    )
    assert line["timestamp"].endswith("Z")


def test_line_breaks_and_escapes_in_values_stay_inside_their_line(lines):
    structlog.get_logger().info("note_taken", note='a\r\n{"event":"forged"}\x1b[31m')

    found = lines()
    assert 1 == len(found["note_taken"])
    assert "forged" not in found


def test_a_librarys_log_lines_have_the_same_form(lines):
    logging.getLogger("kafka").warning("broker %s is gone", 7)

    [line] = lines()["broker 7 is gone"]
    assert ("warning", "kafka", "relay") == (line["level"], line["logger"], line["process"])


def test_what_a_client_of_kafka_says_again_and_again_is_logged_once_in_a_while(lines, monkeypatch):
    client, others = logging.getLogger("kafka.librdkafka"), logging.getLogger("uvicorn.error")
    for milliseconds in (4, 0):
        client.error("%s refused (after %dms)", "FAIL", milliseconds)
        others.error("started anew")
    client.error("timed out")
    monkeypatch.setattr(repeated_lines, "REPEATED_LOG_S", 0.0)
    client.error("%s refused (after %dms)", "FAIL", 7)

    found = lines()
    assert {
        "FAIL refused (after 4ms)",
        "timed out",
        "FAIL refused (after 7ms)",
        "started anew",
    } <= found.keys()
    assert "FAIL refused (after 0ms)" not in found
    assert 2 == len(found["started anew"])


def test_a_connection_that_a_client_of_kafka_lost_has_no_trace_and_a_defect_has_one(lines):
    for error in (ConnectionResetError("lost"), KeyError("defect")):
        try:
            raise error
        except (OSError, KeyError):
            logging.getLogger("kafka.net.transport").exception("%s is closed", type(error).__name__)

    found = lines()
    assert "exception" not in found["ConnectionResetError is closed"][0]
    assert "KeyError: 'defect'" in found["KeyError is closed"][0]["exception"]


def test_lines_below_the_level_are_not_written(lines):
    structlog.get_logger().debug("detail")

    assert "detail" not in lines()


def test_answers_are_counted_by_route_and_status():
    registry = new_registry()
    metrics = HttpMetrics(registry)
    for status in (201, 201, 409):
        metrics.answered("POST", "/orders", status=status, seconds=0.003)

    text = generate_latest(registry).decode()
    assert 'counterfoil_http_requests_total{method="POST",route="/orders",status="201"} 2.0' in text
    assert 'counterfoil_http_request_seconds_count{method="POST",route="/orders"} 3.0' in text


def test_a_tally_counts_by_its_labels():
    registry = new_registry()
    taken = Tally("taken", "Things taken.", ["name", "answer"], registry=registry)
    for answer in ("accepted", "accepted", "replayed"):
        taken.add("place-order", answer)

    text = generate_latest(registry).decode()
    assert 'taken_total{answer="accepted",name="place-order"} 2.0' in text
    assert 'taken_total{answer="replayed",name="place-order"} 1.0' in text


def _get(port: int, path: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=60) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


def test_a_worker_serves_its_health_and_metrics():
    readiness = Readiness()
    with serve_health(0, new_registry(), readiness) as port:
        assert (200, "ok\n") == _get(port, "/livez")
        assert (200, "ready\n") == _get(port, "/readyz")
        metrics = _get(port, "/metrics")[1]
        assert "process_resident_memory_bytes" in metrics
        assert f'version="{version()}"}} 1.0' in metrics
        assert 404 == _get(port, "/else")[0]


def test_a_draining_process_lives_but_is_not_ready():
    readiness = Readiness()
    with serve_health(0, new_registry(), readiness, lines=lambda: ["relay standby"]) as port:
        readiness.drain()

        assert (503, "not ready\nrelay standby\n") == _get(port, "/readyz")
        assert (200, "ok\n") == _get(port, "/livez")


def test_a_process_whose_dependencies_are_not_there_is_not_ready():
    assert not Readiness(lambda: False)()
