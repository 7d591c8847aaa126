"""A seeded campaign: labels are bought while the carrier errs, senders are killed, and the log is restored twice.

1  orders are shipped; the database is backed up before anything was decided about them (before the intents)
2  senders work and are killed with SIGKILL at moments drawn by lot, or paused until another has taken over; behind one
   of those it is backed up again, while some labels are sold of which the log does not know (before the outcomes)
3  when everything has its answer, the second backup is restored and fenced, and all of it is answered again
4  the same with the first backup, in which every intent is decided anew, at another position

The carrier is a process of its own with its own ledger, which no restore touches. Each order is paid as well, by a
payment provider with its own ledger, which begins anew from that whenever a sender does.
"""

import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

import psycopg
from psycopg import sql
from pydantic import SecretStr

from counterfoil import fencing
from counterfoil.contexts import CONTEXTS
from counterfoil.testing.spec import folded
from domain.ids import PaymentId, Sku
from domain.inventory import stock_item
from domain.money import Minor
from domain.ordering import order as ordering
from domain.payments import authorising, payment
from domain.payments.authorising import Payable
from event_store.log import codec
from projections.payments.ledger import LEDGER
from runtime.settings import Settings
from tests.acceptance import running
from tests.commands.gateways.test_payment import simulated
from tests.commands.processes.running import NOW, append, placed, received, register
from tests.effects import checker, payment_checker
from tests.sizes import EFFECTS_KILLS, EFFECTS_ORDERS

PIECES = 3
METHODS = ("pm_visa", "pm_pending", "pm_declined", "pm_soft", "pm_3ds")
PAYMENT_FAULTS = "lose=0.12,twice=0.08,late=0.08:1.2,error=0.12,garble=0.1,wrong=0.08"
ANSWERED_WITHIN_S = 60.0
STEP_S = 0.02
FAULTS = "lose=0.12,twice=0.08,late=0.08:1.2,error=0.12,garble=0.1,wrong=0.08,refuse=0.1"
"""More than half of all requests go wrong."""
FORGETTING = f"{FAULTS},forget=1.5"
"""And repeated purchases are only recognised for a moment, so they have to be asked about. Nobody is paused then: who
wakes up between question and purchase relies on what the contract asks for, that a key is recognised for a day."""


class Unanswered(AssertionError):
    """Not everything was answered in time."""


@dataclass
class Carrier:
    """The carrier's process."""

    url: str
    ledger: Path
    process: subprocess.Popen


@contextlib.contextmanager
def carrier(ledger: Path, *, faults: str = "", seed: int = 0):
    """A simulated carrier while the block runs."""
    arguments = ["simulate", "carrier", "--ledger", ledger, "--faults", faults, "--seed", seed]
    process = subprocess.Popen(
        running.command(*arguments),
        env=running.environment(ledger.parent),
        cwd=running.PROJECT,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        yield Carrier(json.loads(process.stdout.readline())["url"], ledger, process)
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


@dataclass
class Campaign:
    """One run; everything drawn by lot follows from the seed, but for how far processes get in a time."""

    home: Path
    admin_url: str
    url: str
    seed: int
    orders: int = EFFECTS_ORDERS.full
    kills: int = EFFECTS_KILLS.full
    planted: tuple[str, ...] = ()
    pauses: bool = False
    answered_within_s: float = ANSWERED_WITHIN_S
    chance: random.Random = field(init=False)
    made: list[str] = field(default_factory=list)
    provider: contextlib.ExitStack = field(default_factory=contextlib.ExitStack)
    payment_url: str = ""
    started: list[subprocess.Popen] = field(default_factory=list)

    def __post_init__(self):
        self.chance = random.Random(self.seed)

    def run(self) -> list[checker.Violation]:
        """Every violation that was found after any of the histories."""
        with contextlib.ExitStack() as stack:
            stack.callback(self._clean_up)
            stack.callback(self.provider.close)
            self.carrier = stack.enter_context(
                carrier(self.home / "ledger", faults=FAULTS if self.pauses else FORGETTING, seed=self.seed)
            )
            self._ship_orders()
            before_intents = self._backup()
            before_outcomes = self._work_and_be_killed(self.url, kills=self.kills, backup=True)
            found = self._judge(self.url)
            for backup in (before_outcomes, before_intents):
                restored = self._restore(backup)
                self._work_and_be_killed(restored, kills=self.kills - 1 if backup is before_outcomes else 0)
                found += self._judge(restored)
            return found

    def _ship_orders(self) -> None:
        register(self.url, CONTEXTS.processes)
        total = self.orders * PIECES
        stock = stock_item.evolve(None, received("A", total)[2][0])
        reserved, shipped = [], []
        for number in range(self.orders):
            stream, _, events = placed(f"o {number}", [("A", PIECES)])
            state = ordering.evolve(None, events[0])
            shipped.append(self._payment_of(number, state))
            for decide in (ordering.confirm, ordering.ship):
                decided = decide(state, order_id=state.order_id, now=NOW)
                state = ordering.evolve(state, decided[0])
                events = [*events, *decided]
            shipped.append((stream, 0, events))
            reserved += stock_item.reserve(
                stock, sku=Sku("A"), order_id=state.order_id, quantity=PIECES, now=NOW
            )
        append(self.url, [received("A", total), ("stock-A", 1, reserved), *shipped])

    def _payment_of(self, number: int, order: ordering.Order):
        """A payment of an order that is to be captured as soon as it is held."""
        payment_id = PaymentId(f"pay-{number}")
        of = Payable(
            order_id=order.order_id,
            customer_id=None,
            currency=order.currency,
            total=order.total,
            covered=Minor(0),
        )
        of_it = {"payment_id": payment_id, "now": NOW}
        method = METHODS[number % len(METHODS)]
        [created] = authorising.create(None, of=of, amount=None, method_ref=method, capture="auto", **of_it)
        paid = payment.evolve(None, created)
        return f"payment-{payment_id}", 0, [created, *authorising.authorise(paid, method_ref=None, **of_it)]

    def _work_and_be_killed(self, url: str, *, kills: int, backup: bool = False) -> str:
        """Have everything answered by senders that are killed now and then; the name of a backup of in between."""
        made = ""
        for kill in range(kills):
            process = self._start(url)
            enough = min(answered(url) + self.chance.randint(1, 4), self.orders)
            self._wait(url, process, enough=enough)
            time.sleep(self.chance.random() * 0.5)
            if self.pauses:
                self._be_paused(url, process)
            self._kill_all()
            if backup and kill == 0:
                made = self._backup()
        self._wait(url, self._start(url), enough=self.orders)
        self._kill_all()
        return made

    def _be_paused(self, url: str, process: subprocess.Popen) -> None:
        """Another sender takes over while the first is stopped, in the middle of whatever it did; then it wakes up."""
        process.send_signal(signal.SIGSTOP)
        successor = self._start(url)
        self._wait(url, successor, enough=min(answered(url) + 1, self.orders))
        process.send_signal(signal.SIGCONT)
        time.sleep(self.chance.random())

    def _kill_all(self) -> None:
        for process in self.started:
            process.kill()
            process.wait()
        self.started.clear()

    def _start(self, url: str) -> subprocess.Popen:
        if not self.started:  # one that is paused goes on with the same provider
            self.provider.close()
            server = self.provider.enter_context(simulated(self.home / "payments", PAYMENT_FAULTS))
            self.payment_url = server.url
        settings = {
            "COUNTERFOIL_DATABASE_URL": url,
            "COUNTERFOIL_CARRIER_URL": self.carrier.url,
            "COUNTERFOIL_PAYMENT_URL": self.payment_url,
        }
        with (self.home / "senders.log").open("ab") as output:
            process = subprocess.Popen(
                [sys.executable, "-m", "tests.effects.process", *self.planted],
                env=running.environment(self.home, **settings),
                cwd=running.PROJECT,
                stderr=output,
            )
        self.started.append(process)
        return process

    def _wait(self, url: str, process: subprocess.Popen, *, enough: int) -> None:
        give_up = time.monotonic() + self.answered_within_s
        while answered(url) < enough or (enough == self.orders and payment_checker.settled(url) < enough):
            assert process.poll() is None, f"the sender ended by itself; see {self.home / 'senders.log'}"
            if time.monotonic() > give_up:
                raise Unanswered(f"{answered(url)} of {self.orders} were answered")
            time.sleep(STEP_S)

    def _judge(self, url: str) -> list[checker.Violation]:
        ledger = checker.ledger_of(self.carrier.ledger)
        found = checker.violations(ledger, *checker.log_of(url), zombies=self.pauses)
        taken = checker.ledger_of(self.home / "payments")
        return [
            *found,
            *payment_checker.violations(taken, payment_checker.payments_of(url), postings_of(url)),
        ]

    def _backup(self) -> str:
        """A copy of the database as it is now: nobody is connected to it any more."""
        name = f"{dbname(self.url)}_backup_{len(self.made)}"
        self._copy(dbname(self.url), name)
        return name

    def _restore(self, backup: str) -> str:
        """A database made of a backup and fenced; other things happen in it first, so positions are others."""
        name = f"{backup}_restored"
        self._copy(backup, name)
        url = psycopg.conninfo.make_conninfo(self.url, dbname=name)
        settings = Settings(database_url=SecretStr(url), home=self.home)
        fencing.fence(settings, reason=f"restored by campaign {self.seed}")
        append(url, [received("B", 1)])
        return url

    def _copy(self, source: str, name: str) -> None:
        with psycopg.connect(self.admin_url, autocommit=True) as admin:
            give_up = time.monotonic() + ANSWERED_WITHIN_S
            while admin.execute(
                "select count(*) from pg_stat_activity where datname = %s", [source]
            ).fetchone() != (0,):
                assert time.monotonic() < give_up, f"somebody stays connected to {source}"
                time.sleep(STEP_S)
            statement = sql.SQL("create database {} template {} strategy file_copy")
            admin.execute(statement.format(sql.Identifier(name), sql.Identifier(source)))
        self.made.append(name)

    def _clean_up(self) -> None:
        self._kill_all()
        with psycopg.connect(self.admin_url, autocommit=True) as admin:
            for name in self.made:
                drop = sql.SQL("drop database if exists {} with (force)")
                admin.execute(drop.format(sql.Identifier(name)))


def dbname(url: str) -> str:
    """The database of an address."""
    return str(psycopg.conninfo.conninfo_to_dict(url)["dbname"])


def postings_of(url: str) -> list[tuple[str, str, int]]:
    """The payments ledger of a log: payment, account and amount of each posting."""
    events = [
        codec.decode(kind, json.dumps(body).encode()) for kind, body in payment_checker.payments_of(url)
    ]
    moving = [event for event in events if type(event) in LEDGER.folds]
    return [(row.payment_id, row.account, row.amount) for row in folded(LEDGER, *moving).values()]


def answered(url: str) -> int:
    """How many shipments have the outcome of their intent."""
    with psycopg.connect(url, autocommit=True) as conn:
        row = conn.execute(
            "select count(distinct stream) from log.event where type = any(%s)",
            [[checker.BOUGHT, checker.REFUSED]],
        ).fetchone()
    return int(row[0])


def seed_of(environment=os.environ) -> int:
    """The seed that is asked for, or one of its own."""
    return int(environment.get("EFFECTS_SEED", random.SystemRandom().randrange(2**32)))
