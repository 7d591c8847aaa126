"""Acts of operators: on the builds of a view, and on parked keys."""

from typing import Final

from tests.upgrade.installation import Installation, Sent
from tests.upgrade.kept import PARKED_NOTE, SKIPPED_NOTE
from tests.upgrade.parties import wait_until

VIEW: Final = "product_page"
WHY: Final = {"reason": "for the dump", "operator": "jo"}
CAUGHT_UP_WITHIN_S: Final = 120.0


def fill(on: Installation, *, skipped_at: int) -> None:
    """Everything that operators do; `skipped_at` is where the note stands that is to be skipped."""
    for verb in ("rebuilds", "promotions", "rollbacks", "drops"):
        assert _act(on, Sent(verb, f"/v1/operations/views/{VIEW}/{verb}", WHY)) == "done"
    of_notes = "/v1/operations/consumers/notes"
    retry = {"partition_key": f"note-{PARKED_NOTE}", **WHY}
    assert _act(on, Sent("retry", f"{of_notes}/retries", retry)) == "failed", "nobody can read it still"
    skip = {"partition_key": f"note-{SKIPPED_NOTE}", "position": skipped_at, **WHY}
    assert _act(on, Sent("skip", f"{of_notes}/skips", skip)) == "done"
    on.shows(
        *(f"/v1/operations/acts?kind={kind}" for kind in ("promotion", "drop", "retry", "skip", "pause"))
    )


def _act(on: Installation, sent: Sent) -> str:
    """Send an act, as soon as it is not refused since builds are apart; what came of it."""

    def taken() -> bool:
        return on.ask("POST", sent.path, json=sent.body, headers={"Idempotency-Key": sent.key}).is_success

    wait_until(taken, sent.key, within_s=CAUGHT_UP_WITHIN_S)
    path = f"/v1/operations/acts/{on.send(sent)}"
    found = on.wait_for(path, lambda act: act.get("state") in {"done", "failed"})
    return str(found["state"])
