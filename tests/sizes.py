"""How much the tests do that could go on for ever: a size for `make test`, and one for `make soak`.

docs/testing.md has the same table; a test compares both. TEST_SIZES=full chooses the second size for any run of pytest.
"""

import os
from dataclasses import dataclass
from typing import Final

VARIABLE: Final = "TEST_SIZES"
FULL: Final = os.environ.get(VARIABLE) == "full"


@dataclass(frozen=True)
class Size:
    """What is counted, how much of it the gate does and how much the soak, and the file that asks for it."""

    what: str
    gate: int
    full: int
    where: str

    @property
    def chosen(self) -> int:
        """The one of this run."""
        return self.full if FULL else self.gate


CHAOS_COMMANDS: Final = Size("commands of a round of faults", 600, 3_000, "tests/chaos/test_gate.py")
CHAOS_FAULTS: Final = Size("faults of a round", 20, 30, "tests/chaos/test_gate.py")
CHAOS_MINUTES: Final = Size("minutes of further rounds", 0, 30, "tests/soak.py")
CHAOS_SEEDS: Final = Size("seeds of rounds", 2, 3, "tests/chaos/soak.py")
THROUGH_GATEWAY: Final = Size(
    "requests through a gateway that loses processes", 300, 10_000, "tests/gateway/test_losing.py"
)
LIMITED_CALLS: Final = Size(
    "requests at once of a program with a limit of 100", 300, 1_000, "tests/gateway/test_limits.py"
)
SLOW_CONNECTIONS: Final = Size(
    "connections that send half of a request", 100, 1_000, "tests/runtime/http/test_connection_limits.py"
)
OTHERS_ASKED: Final = Size(
    "requests of others during an attack", 10, 3_000, "tests/gateway/test_hostile_callers.py"
)
REBUILT_EVENTS: Final = Size("events of a view rebuilt under load", 1_500, 50_000, "tests/chaos/test_gate.py")
BROKER_AWAY_S: Final = Size("seconds without a broker", 8, 20, "tests/chaos/test_gate.py")
ROLLING_RESTARTS: Final = Size("rolling restarts of command APIs", 2, 8, "tests/chaos/test_gate.py")
FLOOD_S: Final = Size("seconds of overload", 3, 30, "tests/chaos/test_overload.py")
EFFECTS_ORDERS: Final = Size("orders of a campaign of effects", 12, 36, "tests/effects/test_effects.py")
EFFECTS_KILLS: Final = Size("times that each process of it is killed", 1, 3, "tests/effects/test_effects.py")
EFFECTS_SEEDS: Final = Size("seeds of campaigns of effects", 1, 3, "tests/soak.py")
DEMO_ORDERS: Final = Size("orders of the demo", 300, 2_000, "tests/acceptance/test_demo.py")
IMPORTED: Final = Size(
    "orders imported into the shops that tests of acceptance share", 100, 300, "tests/acceptance/conftest.py"
)
IMPORTED_UNDER_KILLS: Final = Size(
    "orders imported while each process is killed", 600, 6_000, "tests/acceptance/test_faults.py"
)
CART_ADDS: Final = Size("additions to a cart from two devices", 20, 1_000, "tests/commands/test_cart.py")
REQUESTS: Final = Size(
    "requests made of both documents, shared by their operations",
    400,
    130_000,
    "tests/openapi/test_requests.py",
)
RELAYING: Final = Size("schedules of relays", 300, 80_000, "tests/simulation/test_relay.py")
PROJECTING: Final = Size("schedules of projections", 100, 20_000, "tests/simulation/test_projecting.py")
COMMANDING: Final = Size("schedules of commands", 50, 20_000, "tests/simulation/test_commanding.py")
ERASING: Final = Size("schedules of erasures", 20, 5_000, "tests/simulation/test_erasing.py")
TAILING: Final = Size("schedules of global views", 150, 20_000, "tests/simulation/test_tailing.py")
TIMING: Final = Size("schedules of timers", 10, 3_000, "tests/simulation/test_timing.py")
DECIDING: Final = Size(
    "schedules of process managers", 100, 4_000, "tests/commands/processes/test_deciding_simulation.py"
)
BUYING: Final = Size(
    "schedules in which 64 want the last 10 units",
    20,
    1_000,
    "tests/commands/processes/test_deciding_simulation.py",
)
REDEEMING: Final = Size(
    "schedules in which 64 checkouts want the last 10 of a coupon",
    3,
    1_000,
    "tests/simulation/test_redeeming.py",
)
ORDER_PROCESS: Final = Size(
    "schedules of each row of the order process", 3, 300, "tests/commands/processes/test_order_process.py"
)
DEMANDED: Final = Size(
    "orders of one unit of which a tenth are in stock",
    1_000,
    10_000,
    "tests/commands/processes/test_runner.py",
)
HOTTEST: Final = Size(
    "orders of one product that somebody else delivers meanwhile",
    1_200,
    10_000,
    "tests/commands/processes/test_runner.py",
)
SHOP: Final = Size("runs of the whole shop", 30, 3_000, "tests/simulation/test_shop.py")
ACCOUNTING: Final = Size(
    "shops whose money an accountant follows", 5, 2_000, "tests/simulation/test_accountant.py"
)
LOGINS_FLOODED: Final = Size(
    "logins on one account, and one password tried on as many", 100, 1_000, "tests/identity/test_attempts.py"
)
LOGINS_AT_ONCE: Final = Size("logins at once", 20, 200, "tests/identity/test_attempts.py")
LOGINS_PROBED_MS: Final = Size(
    "milliseconds that others are timed before so many log in",
    500,
    20_000,
    "tests/identity/test_logins_at_once.py",
)
LOGIN_BURSTS: Final = Size(
    "times that so many log in while others are answered", 1, 10, "tests/identity/test_logins_at_once.py"
)
SIGNED_IN: Final = Size(
    "clients that are signed in for a day", 2, 1_000, "tests/identity/test_signed_in_for_a_day.py"
)
REVOCATIONS: Final = Size(
    "sessions that are ended, to see how long their tokens are good",
    3,
    200,
    "tests/identity/test_sessions.py",
)
LOGINS_TIMED: Final = Size(
    "failed logins timed for each of two addresses", 12, 2_000, "tests/identity/test_sessions.py"
)
LINKS_TIMED: Final = Size(
    "requests for links timed for each of two addresses", 12, 2_000, "tests/identity/test_links.py"
)
REFRESH_ROUNDS: Final = Size("rounds of 20 refreshes at once", 5, 500, "tests/identity/test_sessions.py")
TAMPERINGS: Final = Size(
    "copies of a shop for each manipulation of it", 1, 50, "tests/tampering/test_tampering.py"
)
FLIPS: Final = Size("bits flipped in rows, tiles and views", 8, 200, "tests/tampering/test_bit_rot.py")
SHARED_CHECKPOINTS: Final = Size(
    "schedules of workers that feed some of the same views",
    5,
    500,
    "tests/projections/test_shared_checkpoints.py",
)
CLEAN_EXPORTS: Final = Size(
    "exports of a shop that nobody touched", 2, 100, "tests/tampering/test_tampering.py"
)
FLIPS_IN_TILES: Final = Size(
    "bits flipped in tiles above the leaves", 8, 400, "tests/event_store/proofs/test_tiles.py"
)
BAD_BODIES: Final = Size("bodies that are nearly right", 80, 5_000, "tests/commands/test_bad_input.py")
BAD_HEADERS: Final = Size(
    "values of headers that nobody would send", 40, 2_000, "tests/commands/test_bad_input.py"
)
PROPERTIES: Final = Size("examples of a property", 100, 2_000, "tests/conftest.py")

SIZES: Final = tuple(each for each in dict(globals()).values() if isinstance(each, Size))
