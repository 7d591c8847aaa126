"""A seeded campaign: orders are paid and sent while providers err, everything is killed, and the log restored twice.

1  carts are checked out and orders placed; the database is backed up before anything was decided about them (before the
   intents)
2  each role and each simulator is killed with SIGKILL at moments drawn by lot, or senders are paused until others have
   taken over, while orders are shipped, called off, given back and refunded; at some moment everything is killed, and
   the database backed up again, while some labels are sold and some money is taken of which the log does not know
   (before the outcomes)
3  when everything has its outcome, the second backup is restored and fenced, and all plans begin again
4  the same with the first backup, in which every intent is decided anew, at another position

The carrier and the payment provider are processes of their own with their own ledgers, which no restore touches.
Webhooks of the provider come late, twice, in another order, with other amounts, or not at all.
"""

import contextlib
import os
import random
import signal
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

import psycopg
from psycopg import sql
from pydantic import SecretStr

from counterfoil import fencing, sealing
from runtime.settings import Settings
from tests.commands.processes.running import append, received
from tests.effects import checker, payment_checker
from tests.effects.roles import (
    CARRIER,
    PROVIDER,
    ROLES,
    SEALER,
    SELLING,
    SIMULATORS,
    Roles,
    Simulated,
)
from tests.effects.selling import COUNTRY, PRICE, RATE_BP, RETAIL, SKU, UNITS, Sale, Shop
from tests.sizes import EFFECTS_KILLS, EFFECTS_ORDERS

LISTED = {
    "price_id": "retail-1",
    "list_id": "retail",
    "unit_price": f"{RETAIL / 100:.2f}",
    "currency": "GBP",
}
RATE = {"tax_category": "standard", "rate_bp": RATE_BP, "included": False}
PROVIDER_FAULTS = "lose=0.12,twice=0.08,late=0.08:2.2,error=0.12,garble=0.1,wrong=0.08"
WEBHOOK_FAULTS = "twice=0.15,late=0.15:0.7,reorder=0.15,wrong=0.1,lose=0.1"
ANSWERED_WITHIN_S = 60.0
"""How long nothing at all may happen."""

STEP_S = 0.02
"""Between two looks at one plan after the other."""

SEEN_EVERY_S = 0.2
PAUSED_ROUNDS = 8
PAUSED_ROUND_S = 0.5
"""How often plans go on while a sender is paused, at most, and how long each of these rounds takes."""

FAULTS = "lose=0.12,twice=0.08,late=0.08:2.2,error=0.12,garble=0.1,wrong=0.08,refuse=0.1"
"""More than half of all requests go wrong."""
FORGETTING = f"{FAULTS},forget=1.5"
"""And repeated purchases are only recognised for a moment, so they have to be asked about. Nobody is paused then: who
wakes up between question and purchase relies on what the contract asks for, that a key is recognised for a day."""

JUDGED_WITHIN_S = 60.0
"""How long views may take to show what the log has."""

_RELAYED = """
select (select position from log.head) <= (select position from transport.relay order by generation desc limit 1)
"""


class Unanswered(AssertionError):
    """Not everything was answered in time."""


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

    def __post_init__(self):
        self.chance = random.Random(self.seed)
        self.sales = [Sale(number) for number in range(self.orders)]
        self.ledgers = {name: self.home / f"{name}.ledger" for name in SIMULATORS}
        self.roles = Roles(
            self.home,
            {
                CARRIER: Simulated(self.ledgers[CARRIER], FAULTS if self.pauses else FORGETTING),
                PROVIDER: Simulated(self.ledgers[PROVIDER], PROVIDER_FAULTS, WEBHOOK_FAULTS),
            },
            seed=self.seed,
            planted=self.planted,
        )

    def run(self) -> list[checker.Violation]:
        """Every violation that was found after any of the histories, the last of which may have come to no end."""
        with contextlib.ExitStack() as stack:
            stack.callback(self._clean_up)
            self.shop = Shop(self.roles.ports["command-api"], self.roles.ports["query-api"], self.chance)
            stack.callback(self.shop.close)
            sealing.generate(self._settings(self.url), self.home / "seal.key", origin=None)
            self._use(self.url)
            self.roles.start(*SIMULATORS)
            self._sell()
            try:
                return self._histories()
            except Unanswered as error:
                return [checker.Violation("E4", str(error)), *self._found(self.roles.url)]

    def _histories(self) -> list[checker.Violation]:
        """Work, and work again in each of the restored logs."""
        before_intents = self._backup()
        before_outcomes = self._work_and_be_killed(self.url, (*ROLES, SEALER), kills=self.kills, backup=True)
        found = self._judge(self.url)
        for backup in (before_outcomes, before_intents):
            restored = self._restore(backup)
            kills = self.kills - 1 if backup is before_outcomes else 0
            self._work_and_be_killed(restored, ROLES, kills=kills)
            found += self._judge(restored)
        return found

    def _sell(self) -> None:
        """Have all orders placed, while the command API is killed."""
        self.roles.start(*SELLING)
        units = sum(sale.quantity for sale in self.sales)
        product = {"sku": SKU, "title": "CUP", "stocked": True, "unit_price": f"{PRICE / 100:.2f}"}
        commands = (
            ("product", "/v1/products", {**product, "currency": "GBP"}),
            ("stock", f"/v1/stock/{SKU}/receipts", {"quantity": units + UNITS}),
            ("price", f"/v1/products/{SKU}/prices", LISTED),
            ("lists", "/v1/channels/web/price-lists", {"lists": [{"list_id": LISTED["list_id"]}]}),
            ("tax", f"/v1/tax-tables/{quote(COUNTRY)}/rates", RATE),
        )
        for key, path, body in commands:
            self._until(lambda key=key, path=path, body=body: self.shop.post(key, path, body))
        for sale in self.sales:
            sale.begin(placed_only=True)
        self._advance(self._drawn(("command-api",), rounds=self.kills), over=lambda: True)
        self.roles.kill_all(but=SIMULATORS)

    def _work_and_be_killed(
        self, url: str, names: tuple[str, ...], *, kills: int, backup: bool = False
    ) -> str:
        """Have all plans carried out by roles that are killed now and then; the name of a backup of in between."""
        self._use(url)
        self.roles.start(*names)
        for sale in self.sales:
            sale.begin()
        killing = list(self._drawn((*names, *SIMULATORS), rounds=kills))
        made = []

        def back_up() -> None:
            self.roles.kill_all(but=SIMULATORS)
            made.append(self._backup())
            self.roles.start(*names)

        if backup:
            killing.insert(self.chance.randrange(len(killing) // 2, len(killing)), back_up)
        shipped = sum(sale.kind.is_shipped for sale in self.sales)
        self._advance(killing, over=lambda: answered(url) >= shipped and is_relayed(url))
        return made[0] if made else ""

    def _drawn(self, names: tuple[str, ...], *, rounds: int) -> Iterator[Callable[[], None]]:
        """Each of these killed once a round, in an order drawn by lot; senders are paused before, if they are to be."""
        for _ in range(rounds):
            for name in self.chance.sample(names, len(names)):
                yield lambda name=name: self._strike(name)

    def _strike(self, name: str) -> None:
        """Kill it in the middle of what it does, and start it again."""
        time.sleep(self.chance.random() * 0.1)
        if self.pauses and name == "processes":
            self._be_paused()
        self.roles.kill(name)
        self.roles.start(name)

    def _be_paused(self) -> None:
        """Another sender takes over while the first is stopped, in the middle of whatever it did; then it wakes up."""
        os.kill(self.roles.running["processes"].pid, signal.SIGSTOP)
        paused = self.roles.running.pop("processes")
        try:
            self.roles.start("processes")
            for _ in range(self.chance.randrange(1, PAUSED_ROUNDS)):
                self._done += sum(sale.advance(self.shop) for sale in self.sales)
                time.sleep(PAUSED_ROUND_S)
            os.kill(paused.pid, signal.SIGCONT)
            time.sleep(self.chance.random())
        finally:
            paused.kill()
            paused.wait()

    def _advance(self, kills: Iterable[Callable[[], None]], *, over: Callable[[], bool]) -> None:
        """Carry the plans out, with kills at moments that are drawn by lot, until nothing is left to do.

        Raises:
            Unanswered: nothing happened for too long.
        """
        steps = sum(sale.length() for sale in self.sales)
        killing = deque(kills)
        at = deque(sorted(self.chance.randrange(steps) for _ in killing))
        self._done, seen_s, give_up_s = 0, 0.0, time.monotonic() + self.answered_within_s
        while True:
            for sale in self.sales:
                advanced = sale.advance(self.shop)
                self._done += advanced
                while killing and self._done >= at[0]:
                    at.popleft()
                    killing.popleft()()
                    advanced = 1
                if advanced:
                    give_up_s = time.monotonic() + self.answered_within_s
            self.roles.see_that_all_run()
            waiting = [sale for sale in self.sales if not sale.is_done]
            if not waiting and time.monotonic() >= seen_s:
                if over():
                    return
                seen_s = time.monotonic() + SEEN_EVERY_S
            if time.monotonic() > give_up_s:
                raise Unanswered(
                    f"plans stand still, or something has no outcome: {[sale.name for sale in waiting]}"
                )
            time.sleep(STEP_S * (1 + len(waiting)))

    def _until(self, holds: Callable[[], bool]) -> None:
        give_up = time.monotonic() + self.answered_within_s
        while not holds():
            if time.monotonic() > give_up:
                raise Unanswered("the shop cannot be opened")
            time.sleep(STEP_S)

    def _judge(self, url: str) -> list[checker.Violation]:
        """What is wrong with a history that has come to its end, which is killed then."""
        give_up = time.monotonic() + JUDGED_WITHIN_S
        while (found := self._found(url)) and time.monotonic() < give_up:
            time.sleep(SEEN_EVERY_S)
        self.roles.kill_all(but=SIMULATORS)
        return found

    def _found(self, url: str) -> list[checker.Violation]:
        sold, taken = (checker.ledger_of(self.ledgers[name]) for name in (CARRIER, PROVIDER))
        log, views = payment_checker.log_of(url), payment_checker.views_of(url)
        wanted = {sale.order_id: sale.wanted for sale in self.sales}
        return [
            *checker.violations(sold, *checker.log_of(url), zombies=self.pauses),
            *payment_checker.violations(taken, log, views, wanted),
        ]

    def _use(self, url: str) -> None:
        self.roles.use(url, tiles=self.home / "tiles")

    def _settings(self, url: str) -> Settings:
        return Settings(database_url=SecretStr(url), home=self.home)

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
        fencing.fence(self._settings(url), reason=f"restored by campaign {self.seed}")
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
        self.roles.kill_all()
        with psycopg.connect(self.admin_url, autocommit=True) as admin:
            for name in self.made:
                drop = sql.SQL("drop database if exists {} with (force)")
                admin.execute(drop.format(sql.Identifier(name)))


def dbname(url: str) -> str:
    """The database of an address."""
    return str(psycopg.conninfo.conninfo_to_dict(url)["dbname"])


def answered(url: str) -> int:
    """How many shipments have the outcome of their intent."""
    with psycopg.connect(url, autocommit=True) as conn:
        row = conn.execute(
            "select count(distinct stream) from log.event where type = any(%s)",
            [[checker.BOUGHT, checker.REFUSED]],
        ).fetchone()
    return int(row[0])


def is_relayed(url: str) -> bool:
    """Whether the relay has come to the end of the log."""
    with psycopg.connect(url, autocommit=True) as conn:
        return conn.execute(_RELAYED).fetchone() == (True,)


def seed_of(environment=os.environ) -> int:
    """The seed that is asked for, or one of its own."""
    return int(environment.get("EFFECTS_SEED", random.SystemRandom().randrange(2**32)))
