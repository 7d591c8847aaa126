"""Timers at work on a real database, one pass at a time: who fires, and where their processes stand."""

import contextlib
import threading
from datetime import timedelta

from prometheus_client import CollectorRegistry

from commands.processes import timers
from commands.processes.fulfilment import FULFILMENT, UNDECIDED
from commands.processes.process import lease_groups
from counterfoil.contexts import CONTEXTS
from event_store.consumers import checkpoints
from event_store.consumers.driver import ConsumerSession
from event_store.consumers.lease import Lease, new_owner
from event_store.consumers.metrics import ConsumerMetrics
from event_store.consumers.news import News
from event_store.log import reading
from projections import builds
from runtime import database

PASS_ROUNDS_MAX = 50
AT_ONCE = timedelta()
LEASE = next(group.lease for group in lease_groups(CONTEXTS.processes) if FULFILMENT in group.processes)


class Firing:
    """The consumer of timers, opened and driven by hand."""

    def __init__(self, url, processes, *, delays, off_after):
        self.url = url
        self.registry = CollectorRegistry()
        self._consumer = timers.consumer(
            processes, delays=delays, registry=self.registry, off_after=off_after
        )
        self._conn = database.connect(url, role=self._consumer.role, name="timers")
        lease = Lease(self._conn, name=self._consumer.lease, owner=new_owner())
        session = ConsumerSession(
            conn=self._conn,
            lease=lease,
            stop=threading.Event(),
            news=News(),
            metrics=ConsumerMetrics(CollectorRegistry()),
            database_url=url,
        )
        assert lease.hold()
        self.step = self._consumer.open(session)

    def one_pass(self):
        """All that is due, once."""
        for _ in range(PASS_ROUNDS_MAX):
            if not self.step.round():
                return
        raise AssertionError("the pass has no end")

    def count(self, outcome, timer=UNDECIDED):
        labels = {"process": timer.process.name, "timer": timer.name, "outcome": outcome}
        return self.registry.get_sample_value("counterfoil_timers_fired_total", labels) or 0

    def shown(self, gauge, timer=UNDECIDED):
        labels = {"process": timer.process.name, "timer": timer.name}
        return self.registry.get_sample_value(f"counterfoil_timers_{gauge}", labels)

    def die(self):
        """End as a process that is killed: nothing is given back."""
        self._conn.close()


@contextlib.contextmanager
def firing(url, processes=CONTEXTS.processes, *, delays=None, off_after=timers.OFF_AFTER):
    """Who fires, at hand while the block runs; timers are due as soon as they are set unless `delays` say otherwise."""
    work = Firing(url, processes, delays=delays or {}, off_after=off_after)
    try:
        yield work
    finally:
        work.die()


def stands(url, *, through, runs=True, processes=(FULFILMENT,), lease=LEASE):
    """Say that processes are through with the log up to a position, and run, or do so no longer."""
    with database.connect(url, role=None, name="test") as owner:
        for process in processes:
            checkpoints.register(owner, process.name, start=process.start, kind="process")
        owner.execute("update consumers.checkpoint set position = %s", [through])
        owner.execute(
            "insert into runtime.lease (name, owner, renewed_at) values (%s, 'somebody', clock_timestamp() - %s)"
            " on conflict (name) do update set renewed_at = excluded.renewed_at",
            [lease, timedelta() if runs else timedelta(days=1)],
        )


def head(url):
    with database.connect(url, role="counterfoil_reader", name="test") as conn:
        return reading.head(conn).position


def recorded(url, stream):
    """What a stream holds."""
    with database.connect(url, role="counterfoil_reader", name="test") as conn:
        return reading.read_stream(conn, stream)


def running_timers(url, view):
    """The streams whose timers are set, by the view."""
    with database.connect(url, role="counterfoil_projector", name="test") as conn:
        table = builds.live(conn, view.name).table
        return [stream for (stream,) in conn.execute(f"select stream from views.{table} order by stream")]
