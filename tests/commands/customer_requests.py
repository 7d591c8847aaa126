"""Requests of customers' commands: one of each that is accepted after `FACTS`, and one for each refusal."""

from typing import Any, Final

from domain.customers.customer import ADDRESSES_MAX, MERGED_MAX
from domain.event import Event
from domain.ids import AccountId, AddressId, CustomerId, OrderId
from tests.customer_examples import (
    address_added,
    customer_registered,
    customers_merged,
    erasure_requested,
    legal_hold_placed,
    record_closed,
)
from tests.examples import account_registered, placed, role_granted

PROFILE: Final = {"name": "Ada Lovelace", "email": "ada@example.org", "phone": "1", "country": "Italy"}
ADDRESS: Final = {"address_id": "new", "recipient": "Ada", "lines": "1 High Street", "country": "Italy"}
LANGUAGE: Final = {"preference": "language", "value": "en-GB"}
CONSENT: Final = {"purpose": "marketing", "policy_version": "2026-01"}
HOLD: Final = {"hold_id": "case-7", "reason": "tax"}

OF = "/v1/customers"

VALID: Final[dict[str, tuple[str, Any]]] = {
    "register_customer": (OF, PROFILE),
    "change_profile": (f"{OF}/known/profile", PROFILE),
    "add_address": (f"{OF}/known/addresses", ADDRESS),
    "remove_address": (f"{OF}/known/address-removals", {"address_id": "home"}),
    "set_preference": (f"{OF}/known/preferences", LANGUAGE),
    "grant_consent": (f"{OF}/known/consents", CONSENT),
    "withdraw_consent": (f"{OF}/known/consent-withdrawals", {"purpose": "marketing"}),
    "merge_customers": (f"{OF}/known/merges", {"other_id": "guest"}),
    "erase_customer": (f"{OF}/known/erasure", {}),
    "place_hold": (f"{OF}/known/holds", HOLD),
    "lift_hold": (f"{OF}/held/hold-liftings", {"hold_id": "case-7"}),
}

_MANY: Final = tuple(CustomerId(f"m-{n}") for n in range(MERGED_MAX))

FACTS: Final[tuple[Event, ...]] = (
    account_registered(account_id=AccountId("with-account")),
    *(
        customer_registered(customer_id=CustomerId(each))
        for each in ("known", "guest", "closed", "erased", "held", "full", "crowded", "waiting")
    ),
    customer_registered(customer_id=CustomerId("with-account"), account_id=AccountId("with-account")),
    address_added(customer_id=CustomerId("known")),
    record_closed(customer_id=CustomerId("closed"), merged_into=CustomerId("known")),
    erasure_requested(customer_id=CustomerId("erased")),
    legal_hold_placed(customer_id=CustomerId("held")),
    *(
        address_added(customer_id=CustomerId("full"), address_id=AddressId(f"a-{n}"))
        for n in range(ADDRESSES_MAX)
    ),
    placed(order_id=OrderId("waiting"), customer_id=CustomerId("waiting")),
    role_granted(account_id=AccountId("with-account"), role="owner"),
    customers_merged(customer_id=CustomerId("crowded"), merged_ids=_MANY),
)


def _refused() -> dict[tuple[str, str], tuple[str, Any]]:
    """What every change of a customer refuses, for each of them."""
    ways = {"customer-unknown": "nobody", "record-is-closed": "closed", "customer-erased": "erased"}
    found = {}
    for name, (path, body) in VALID.items():
        if name in {"register_customer", "lift_hold", "erase_customer"}:
            continue
        for code, customer_id in ways.items():
            found[name, code] = (path.replace("known", customer_id), body)
    return found


REFUSED: Final[dict[tuple[str, str], tuple[str, Any]]] = {
    **_refused(),
    ("register_customer", "customer-id-taken"): (OF, {**PROFILE, "customer_id": "known"}),
    ("register_customer", "account-unknown"): (
        OF,
        {**PROFILE, "customer_id": "no-account", "has_account": True},
    ),
    ("add_address", "address-id-taken"): (f"{OF}/known/addresses", {**ADDRESS, "address_id": "home"}),
    ("add_address", "too-many-addresses"): (f"{OF}/full/addresses", ADDRESS),
    ("merge_customers", "merged-with-itself"): (f"{OF}/known/merges", {"other_id": "known"}),
    ("merge_customers", "too-many-merged"): (f"{OF}/crowded/merges", {"other_id": "guest"}),
    ("merge_customers", "has-an-account"): (f"{OF}/known/merges", {"other_id": "with-account"}),
    ("merge_customers", "hold-stands"): (f"{OF}/known/merges", {"other_id": "held"}),
    ("erase_customer", "customer-unknown"): (f"{OF}/nobody/erasure", {}),
    ("erase_customer", "record-is-closed"): (f"{OF}/closed/erasure", {}),
    ("erase_customer", "hold-stands"): (f"{OF}/held/erasure", {}),
    ("erase_customer", "orders-open"): (f"{OF}/waiting/erasure", {}),
    ("erase_customer", "last-owner"): (f"{OF}/with-account/erasure", {}),
    ("lift_hold", "customer-unknown"): (f"{OF}/nobody/hold-liftings", {"hold_id": "case-7"}),
}
