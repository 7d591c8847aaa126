"""What both APIs count of their callers: denials, refused logins, exports, and reads of the log."""

from tests.upgrade.history import identity
from tests.upgrade.installation import Installation


def fill(on: Installation) -> None:
    """Be refused, and take something away. The sums are recorded when the processes end."""
    clerk = identity.log_in(on, {"email": "clerk@example.com", "password": identity.OTHER_PASSWORD})
    denied = on.read("/v1/events", **identity.bearer(clerk["access_token"]))
    assert denied.status_code == 403, denied.text
    wrong = {"email": "clerk@example.com", "password": "not this one"}
    assert on.ask("POST", "/v1/sessions", json=wrong).status_code == 401
    assert on.read("/v1/events?limit=1").status_code == 200
    assert on.read("/v1/products", Accept="application/x-ndjson").status_code == 200
    on.wait_for_event("security.rows_exported.v1")
    on.wait_for_event("security.fields_revealed.v1")


def wait(on: Installation) -> None:
    """Wait for the sums of processes that have ended."""
    for name in ("requests_denied", "logins_refused", "history_read"):
        on.wait_for_event(f"security.{name}.v1")
