"""Twenty streams that a defective fold cannot take (P10): they wait, nobody else does, and cured they are whole."""

import contextlib
import json
import threading
import time
from dataclasses import dataclass, field

from runtime import database
from tests.chaos.clients import Connection
from tests.chaos.laboratory import wait_until
from tests.parked import request_retry

STREAMS = 20
EVENTS = 1_000
POISONED_AT = 501
BATCH = 500
POISON = 13
HEALTHY = 5
LAG_S_MAX = 2.0
PARKED_WITHIN_S = 60.0
CURED_WITHIN_S = 60.0
PROBE_EVERY_S = 0.05
FOLD = "projections/inventory/folds.py"
ROLES = {
    "command-api-1": "command-api",
    "query-api": "query-api",
    "relay-1": "relay",
    "projections-1": "projections",
    "projections-2": "projections",
}


@dataclass
class Poisoned:
    """What was seen; times in seconds."""

    parked: int = 0
    waiting: int = 0
    probes: int = 0
    slowest_s: float = 0.0
    cured_s: float = 0.0
    broken: list = field(default_factory=list)

    def __str__(self):
        return (
            f"{self.parked} streams of {EVENTS} events parked with {self.waiting} events waiting; "
            f"{self.probes} reads of other streams meanwhile, the slowest {self.slowest_s * 1e3:.0f} ms behind its "
            f"command; cured in {self.cured_s:.1f} s"
        )

    def violations(self):
        """What P10 forbids, in words."""
        if self.parked != STREAMS:
            yield f"{self.parked} keys are parked, {STREAMS} are poisoned"
        if self.slowest_s > LAG_S_MAX:
            yield f"another stream lagged {self.slowest_s:.1f} s"
        yield from self.broken


def plant(tree):
    """Make the fold of received stock fail on one quantity."""
    anchor = '    """A delivery adds to what is on hand and available."""\n'
    file = tree / FOLD
    text = file.read_text()
    if text.count(anchor) != 1:
        raise ValueError(f"this stands {text.count(anchor)} times in {FOLD}: {anchor!r}")
    failing = (
        f'{anchor}    if event.quantity == {POISON}:\n        raise ValueError("the fold cannot take it")\n'
    )
    file.write_text(text.replace(anchor, failing))
    return tree


def poison(laboratory, *, sound):
    """Poison the streams of a laboratory whose tree is defective, look at the others, cure it with `sound`."""
    found = Poisoned()
    with contextlib.closing(Connection(laboratory.of("command-api")[0].port)) as api:
        _create(api)
        with Prober(laboratory) as prober:
            for stream in range(STREAMS):
                for first in range(0, EVENTS, BATCH):
                    _send(api, [_receipt(stream, first + each + 1) for each in range(BATCH)])
            wait_until(
                lambda: _caught_up(laboratory),
                within_s=PARKED_WITHIN_S,
                what="everything is parked or folded",
            )
    found.probes, found.slowest_s = prober.probes, prober.slowest_s
    found.broken += prober.broken
    with laboratory.admin() as conn:
        keys = [
            key
            for (key,) in conn.execute(
                "select partition_key from consumers.parked where consumer = 'stock_level'"
            )
        ]
        (found.waiting,) = conn.execute("select coalesce(sum(queued), 0) from consumers.parked").fetchone()
    found.parked = len(keys)
    begun = time.monotonic()
    _cure(laboratory, keys, sound=sound)
    found.cured_s = time.monotonic() - begun
    found.broken += _unlike_a_fold(laboratory)
    return found


def _create(api):
    skus = [*(f"X{number}" for number in range(STREAMS)), *(f"H{number}" for number in range(HEALTHY))]
    _send(
        api,
        [
            {"key": sku, "command": "create_product", "body": {"sku": sku, "title": sku, "stocked": True}}
            for sku in skus
        ],
    )


def _receipt(stream, number):
    return {
        "key": f"X{stream}-{number}",
        "command": "receive_stock",
        "target": f"X{stream}",
        "body": {"quantity": POISON if number == POISONED_AT else 1},
    }


def _send(api, commands):
    """One batch, repeated while the shop is busy."""
    body = json.dumps({"commands": commands})
    while True:
        status, _, text = api.ask(
            "POST", "/v1/commands", body=body, headers={"Content-Type": "application/json"}
        )
        if status == 200:
            break
        time.sleep(0.2)
    assert {201} == {result["status"] for result in json.loads(text)["results"]}


class Prober(threading.Thread):
    """Somebody who counts other stock all the time, and looks how soon it shows."""

    def __init__(self, laboratory):
        super().__init__(name="prober")
        self.probes = 0
        self.slowest_s = 0.0
        self.broken = []
        self._stop_asked = threading.Event()
        self._api = Connection(laboratory.of("command-api")[0].port)
        self._query = Connection(laboratory.of("query-api")[0].port)

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self._stop_asked.set()
        self.join()
        self._api.close()
        self._query.close()

    def run(self):
        while not self._stop_asked.wait(PROBE_EVERY_S):
            self._probe(f"H{self.probes % HEALTHY}")

    def _probe(self, sku):
        headers = {"Idempotency-Key": f"probe-{self.probes}", "Content-Type": "application/json"}
        status, answered, _ = self._api.ask(
            "POST", f"/v1/stock/{sku}/receipts", body='{"quantity": 1}', headers=headers
        )
        if status != 201:
            return
        begun = time.monotonic()
        wanted = {"Min-Position": answered["Position"], "Prefer": "wait=10"}
        status, _, text = self._query.ask("GET", f"/v1/stock/{sku}", headers=wanted)
        self.probes += 1
        self.slowest_s = max(self.slowest_s, time.monotonic() - begun)
        if status != 200:
            self.broken.append(f"{sku} was answered {status}: {text[:100]!r}")


def _caught_up(laboratory):
    """Every stream is at its end, in the rows or in the queue behind a parked key."""
    with laboratory.admin() as conn:
        (head,) = conn.execute("select position from log.head").fetchone()
        (relayed,) = conn.execute("select min(position) from transport.relay").fetchone()
        rows = conn.execute(
            "select count(*) from log.head cross join views.checkpoint join views.live using (view, shape, build)"
            " left join transport.relay_partition last using (generation, partition)"
            " where checkpoint.position < coalesce(last.position, head.position)"
        ).fetchone()
    return relayed == head and rows == (0,)


def _cure(laboratory, keys, *, sound):
    """Workers of the sound product take over, and an operator lets every key go on."""
    for process in laboratory.of("projections"):
        process.stop()
        del laboratory.processes[process.name]
    laboratory.tree = sound
    laboratory.environment = {**laboratory.environment, "PYTHONPATH": str(sound)}
    for number in (1, 2):
        laboratory.spawn(f"sound-{number}", "projections")
    laboratory.wait_ready()
    with database.connect(laboratory.postgres.url, role="counterfoil_projector", name="cure") as conn:
        for key in keys:
            request_retry(conn, "stock_level", key)
    wait_until(lambda: _parked(laboratory) == 0, within_s=CURED_WITHIN_S, what="no key is parked")


def _parked(laboratory):
    with laboratory.admin() as conn:
        return conn.execute("select count(*) from consumers.parked").fetchone()[0]


def _unlike_a_fold(laboratory):
    """A clean build of the same log must have the same digest."""
    laboratory.run("views", "rebuild", "stock_level")
    verified = json.loads(laboratory.run("views", "verify", "stock_level", "--json").stdout)
    if not verified["ok"]:
        yield f"the cured view differs from a clean one: {verified}"
