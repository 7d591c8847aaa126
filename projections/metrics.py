"""Metrics of projection workers, per view."""

from collections.abc import Sequence

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from projections.measure import Measure, Measures
from projections.step import Plan
from projections.storing import BuildId

_BATCH_BUCKETS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)


class ProjectionMetrics:
    """Counters and gauges of one worker; duplicates and repairs are counted by the transport's follower."""

    def __init__(self, registry: CollectorRegistry, *, measures: Sequence[Measure] = ()) -> None:
        """`measures` are what contexts want counted of the events that keyed views fold."""
        self.measures = Measures(measures, registry)
        labels = ["view", "build"]
        self._applied = Counter(
            "counterfoil_projection_applied_events",
            "Events folded into a build and committed.",
            labels,
            registry=registry,
        )
        self._rows = Counter(
            "counterfoil_projection_written_rows", "Rows written to a build.", labels, registry=registry
        )
        self._stopped = Gauge(
            "counterfoil_projection_stopped", "1 while a build is not fed.", labels, registry=registry
        )
        self._rewritten = Counter(
            "counterfoil_projection_rewritten_documents",
            "Documents written again after the cache was empty, old or away.",
            labels,
            registry=registry,
        )
        self.documents_unavailable = Counter(
            "counterfoil_projection_documents_unavailable",
            "Calls to the document cache that failed.",
            registry=registry,
        )
        self.conflicts = Counter(
            "counterfoil_projection_conflicts",
            "Batches taken back because another worker had written the build.",
            registry=registry,
        )
        self.read_from_log = Counter(
            "counterfoil_projection_log_events",
            "Events read from the log: all of global views, and those of builds that stood behind.",
            registry=registry,
        )
        self.batch_seconds = Histogram(
            "counterfoil_projection_batch_seconds",
            "Time from records in hand to their commit.",
            buckets=_BATCH_BUCKETS_S,
            registry=registry,
        )

    def committed(self, plans: Sequence[Plan]) -> None:
        """Count what was committed. Most builds only moved: the metrics of those stay as they are."""
        for plan in plans:
            labels = _labels(plan.build)
            if plan.applied:
                self._applied.labels(*labels).inc(plan.applied)
            if plan.rows:
                self._rows.labels(*labels).inc(len(plan.rows))
            if plan.stopped is not None:
                self._stopped.labels(*labels).set(True)

    def rewritten(self, build: BuildId, documents: int) -> None:
        """Count documents written again."""
        self._rewritten.labels(*_labels(build)).inc(documents)

    def shown(self, build: BuildId, *, stopped: bool) -> None:
        """Show whether a build is fed."""
        self._stopped.labels(*_labels(build)).set(stopped)

    def left(self, build: BuildId) -> None:
        """Show no longer whether a build is fed: another process feeds it now."""
        self._stopped.remove(*_labels(build))


def _labels(build: BuildId) -> tuple[str, str]:
    return build.view, build.label
