"""Customers with all that is known of them: sealed, merged, kept by law, and erased."""

from typing import Any, Final

from tests.upgrade.history.catalogue import COUNTRY
from tests.upgrade.installation import Installation, Sent

ADA: Final = "ada"
"""Who buys, may be written to, and agrees to that."""
RESELLER: Final = "reseller"


def mail_of(name: str) -> str:
    """The address of a customer."""
    return f"{name}@example.org"


def register(on: Installation, name: str, **more: Any) -> None:
    """Register a customer who may be written to."""
    body = {"customer_id": name, "name": f"{name.title()} Ångström", "email": mail_of(name), **more}
    on.send(Sent(f"register-{name}", "/v1/customers", {**body, "country": COUNTRY}))


def fill(on: Installation) -> None:
    """Everything that happens to customers, but for those with accounts."""
    for name in (ADA, RESELLER, "double", "forgotten", "kept"):
        register(on, name)
    of_ada = f"/v1/customers/{ADA}"
    profile = {"name": "Ada Lovelace", "email": mail_of(ADA), "phone": "+44 20 7946 0958", "country": COUNTRY}
    on.send(Sent("profile", f"{of_ada}/profile", profile))
    for place in ("home", "work"):
        lines = {"recipient": "Ada Lovelace", "lines": "12 St James's Square\nLondon", "country": COUNTRY}
        on.send(Sent(f"address-{place}", f"{of_ada}/addresses", {"address_id": place, **lines}))
    on.send(Sent("no-address", f"{of_ada}/address-removals", {"address_id": "work"}))
    on.send(Sent("language", f"{of_ada}/preferences", {"preference": "language", "value": "en-GB"}))
    for purpose in ("marketing", "analytics"):
        on.send(Sent(purpose, f"{of_ada}/consents", {"purpose": purpose, "policy_version": "2026-01"}))
    on.send(Sent("no-analytics", f"{of_ada}/consent-withdrawals", {"purpose": "analytics"}))
    on.send(Sent("merge", f"{of_ada}/merges", {"other_id": "double"}))
    for case in ("case-1", "case-2"):
        on.send(Sent(case, "/v1/customers/kept/holds", {"hold_id": case, "reason": "tax"}))
    on.send(Sent("case-1-over", "/v1/customers/kept/hold-liftings", {"hold_id": "case-1"}))
    on.send(Sent("erase-kept", "/v1/customers/kept/erasure", {}, status=409))
    on.send(Sent("erase-forgotten", "/v1/customers/forgotten/erasure", {}))
    on.wait_for_event("customers.personal_data_erased.v1", "customer-forgotten")
    on.shows(*(f"/v1/customers/{name}" for name in (ADA, RESELLER, "double", "forgotten", "kept")))
    on.shows("/v1/customers")
