"""The processes of a campaign: every role of the product, and both simulators. Each can be killed and started again."""

import contextlib
import itertools
import socket
import time
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from counterfoil.probing import answers_ok
from devservers import child
from tests import forking
from tests.acceptance import running
from tests.effects.process import prepare

READY_WITHIN_S = 240.0
SECRET = "a secret that webhooks of a campaign have"
CARRIER, PROVIDER = "carrier", "payments"
SIMULATORS = (CARRIER, PROVIDER)
APIS = ("command-api", "query-api")
SELLING = (*APIS, "relay", "projections")
"""With these orders are placed, and nothing is decided about them."""

SEALER = "sealer"
ROLES = (*SELLING, "processes")


@dataclass
class Simulated:
    """A party of the outside world: its ledger, and what goes wrong with it."""

    ledger: Path
    faults: str
    webhook_faults: str = ""


@dataclass
class Roles:
    """All processes of a campaign by name. Ports stay the same for as long as it goes on."""

    home: Path
    simulated: dict[str, Simulated]
    seed: int
    planted: tuple[str, ...] = ()
    killed: set[str] = field(default_factory=set)
    running: dict[str, forking.Forked] = field(default_factory=dict)

    def __post_init__(self):
        self.ports = {name: child.free_port() for name in (*APIS, *SIMULATORS)}
        self.url = ""
        self._settings = {}
        self._seeds = itertools.count(self.seed)

    def use(self, url: str, *, tiles: Path) -> None:
        """The log that roles have from now on."""
        self.url = url
        self._settings = {
            "COUNTERFOIL_DATABASE_URL": url,
            "COUNTERFOIL_CARRIER_URL": self._address(CARRIER),
            "COUNTERFOIL_PAYMENT_URL": self._address(PROVIDER),
            "COUNTERFOIL_PAYMENT_WEBHOOK_SECRETS": SECRET,
            "COUNTERFOIL_COMMAND_API_PORT": str(self.ports["command-api"]),
            "COUNTERFOIL_QUERY_API_PORT": str(self.ports["query-api"]),
            "COUNTERFOIL_SEAL_KEY": str(self.home / "seal.key"),
            "COUNTERFOIL_SEAL_TILES": str(tiles),
        }

    def start(self, *names: str) -> None:
        """Start roles or simulators; each that has a port answers there when this returns."""
        for name in names:
            self.running[name] = self.started(name)
        give_up = time.monotonic() + READY_WITHIN_S
        for name in names:
            while not self._answers(name):
                self.see_that_all_run()
                assert time.monotonic() < give_up, f"{name} is not ready"
                time.sleep(0.02)

    def started(self, name: str) -> forking.Forked:
        """One more process of a role."""
        with (self.home / f"{name}.log").open("ab") as output:
            return forking.popen(
                running.command(*(self._simulating(name) if name in self.simulated else [name])),
                env=running.environment(self.home, **self._settings),
                cwd=forking.PROJECT,
                stdout=output,
                stderr=output,
                before=partial(prepare, self.planted),
            )

    def kill(self, *names: str) -> None:
        """SIGKILL, while they do whatever they do."""
        for name in names:
            self.running[name].kill()
        for name in names:
            self.running.pop(name).wait()
            self.killed.add(name)

    def kill_all(self, *, but: tuple[str, ...] = ()) -> None:
        """SIGKILL to everything that runs."""
        self.kill(*(name for name in self.running if name not in but))

    def see_that_all_run(self) -> None:
        """No process ends by itself."""
        for name, process in self.running.items():
            code = process.poll()
            if code is not None:
                said = (self.home / f"{name}.log").read_text(errors="replace")[-3000:]
                raise AssertionError(f"{name} ended by itself with code {code}:\n{said}")

    def _answers(self, name: str) -> bool:
        if name in APIS:
            return answers_ok(f"{self._address(name)}/readyz")
        if name not in SIMULATORS:
            return True
        with contextlib.suppress(OSError), socket.create_connection((child.LOCALHOST, self.ports[name])):
            return True
        return False

    def _address(self, name: str) -> str:
        return f"http://{child.LOCALHOST}:{self.ports[name]}"

    def _simulating(self, name: str) -> list[str]:
        """Another seed each time: the first faults of a process are not always the same."""
        party = self.simulated[name]
        options = {
            "--ledger": str(party.ledger),
            "--port": str(self.ports[name]),
            "--faults": party.faults,
            "--seed": str(next(self._seeds)),
        }
        if party.webhook_faults:
            options |= {
                "--webhooks": f"{self._address('command-api')}/v1/payment-webhooks",
                "--webhook-secret": SECRET,
                "--webhook-faults": party.webhook_faults,
            }
        return ["simulate", name, *itertools.chain(*options.items())]
