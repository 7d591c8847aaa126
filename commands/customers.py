"""Commands of customers: registered, changed, merged, held by law, and erased.

Personal members are sealed here, before anything is decided (`commands.personal_data`).
"""

from typing import Annotated, Final

from pydantic import ConfigDict, Field, StringConstraints

from commands.decision import Decision, DecisionView, Tagged, events_of
from commands.documentation import Caller
from commands.execution import Caller as Executing
from commands.owners import owners_left
from commands.payloads import (
    EMAIL_ADDRESS,
    PERSON_NAME,
    PERSONAL,
    POSTAL_ADDRESS,
    Country,
    Id,
    Payload,
)
from commands.personal_data import PROBLEMS
from commands.recording import Answer
from commands.routing import command, command_router
from domain.customers import customer as customers
from domain.customers import erasure
from domain.customers.customer import (
    CUSTOMER,
    AddressIdTaken,
    Customer,
    CustomerErased,
    CustomerIdTaken,
    CustomerUnknown,
    HasAnAccount,
    HoldStands,
    MergedWithItself,
    OrdersOpen,
    Profile,
    RecordIsClosed,
    TooManyAddresses,
    TooManyMerged,
)
from domain.customers.events import (
    EMAIL,
    LINES,
    NAME,
    PHONE,
    RECIPIENT,
    Consent,
    HoldReason,
    PolicyVersion,
    Preference,
    PreferenceValue,
)
from domain.customers.merging import merge
from domain.event import Event
from domain.identity.account import ACCOUNT, GRANTS, AccountUnknown, LastOwner
from domain.ids import AccountId, AddressId, CustomerId, HoldId, OrderId, customer_tag
from domain.ordering.events import OrderPlaced
from domain.ordering.order import ORDER, Status
from domain.text import LINE_PATTERN
from runtime.actors import actor
from runtime.http.principal import Owned
from runtime.problems import Fault, ProblemError

router = command_router("customers")

PHONE_CHARACTERS_MAX: Final = 40

_WRITES: Final = Owned("customers:write")
_CHANGES: Final = (CustomerUnknown, RecordIsClosed, CustomerErased)
"""What every change of a customer may refuse."""

ORDERS: Final[Tagged[tuple[OrderId, ...]]] = Tagged(
    (OrderPlaced,), (), lambda orders, event: (*orders, event.order_id)
)
"""The orders that carry a customer's tag."""

_OPEN: Final = frozenset((Status.PLACED, Status.CONFIRMED))
"""Orders that are still to be shipped."""

Name = Annotated[str, PERSON_NAME, NAME]
Recipient = Annotated[str, PERSON_NAME, RECIPIENT]
Email = Annotated[str, EMAIL_ADDRESS, EMAIL]
Phone = Annotated[
    str,
    StringConstraints(min_length=1, max_length=PHONE_CHARACTERS_MAX, pattern=LINE_PATTERN),
    PHONE,
]
Lines = Annotated[str, POSTAL_ADDRESS, LINES]


class ChangeProfile(Payload):
    """The whole profile: what is not given is not known any more."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "name": "Ada Lovelace",
                "email": "ada@example.org",
                "phone": "+44 20 7946 0958",
                "country": "United Kingdom",
            }
        }
    )

    name: Annotated[Name | None, PERSONAL] = None
    email: Annotated[Email | None, PERSONAL] = None
    phone: Annotated[Phone | None, PERSONAL] = None
    country: Country


class RegisterCustomer(ChangeProfile):
    """Somebody who buys here."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "customer_id": "17850",
                "name": "Ada Lovelace",
                "email": "ada@example.org",
                "country": "United Kingdom",
            }
        }
    )

    customer_id: Id | None = Field(default=None, description="Pseudonymous; a UUID is made up when absent.")
    has_account: bool = Field(default=False, description="The customer is who has the account of this id.")


class AddAddress(Payload):
    """Where parcels and bills may go."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "address_id": "home",
                "recipient": "Ada Lovelace",
                "lines": "12 St James's Square\nLondon SW1Y 4JH",
                "country": "United Kingdom",
            }
        }
    )

    address_id: Id
    recipient: Annotated[Recipient, PERSONAL]
    lines: Annotated[Lines, PERSONAL]
    country: Country


class RemoveAddress(Payload):
    """Which address is not used any more."""

    model_config = ConfigDict(json_schema_extra={"example": {"address_id": "home"}})

    address_id: Id


class SetPreference(Payload):
    """What the customer prefers."""

    model_config = ConfigDict(json_schema_extra={"example": {"preference": "language", "value": "en-GB"}})

    preference: Preference
    value: Annotated[
        PreferenceValue, StringConstraints(pattern=r"^[A-Za-z0-9]{1,8}(-[A-Za-z0-9]{1,8}){0,3}$")
    ]


class GrantConsent(Payload):
    """What the customer agrees to, as which version of the policy describes it."""

    model_config = ConfigDict(
        json_schema_extra={"example": {"purpose": "marketing", "policy_version": "2026-01"}}
    )

    purpose: Consent
    policy_version: Annotated[PolicyVersion, StringConstraints(pattern=r"^[A-Za-z0-9._-]{1,64}$")]


class WithdrawConsent(Payload):
    """What the customer does not agree to any more."""

    model_config = ConfigDict(json_schema_extra={"example": {"purpose": "marketing"}})

    purpose: Consent


class MergeCustomers(Payload):
    """The record that becomes part of this one."""

    model_config = ConfigDict(json_schema_extra={"example": {"other_id": "17851"}})

    other_id: Id


class EraseCustomer(Payload):
    """Nothing needs to be said."""

    model_config = ConfigDict(json_schema_extra={"example": {}})


class PlaceHold(Payload):
    """Why the law has the data kept."""

    model_config = ConfigDict(json_schema_extra={"example": {"hold_id": "case-7", "reason": "litigation"}})

    hold_id: Id
    reason: HoldReason


class LiftHold(Payload):
    """Which hold is over."""

    model_config = ConfigDict(json_schema_extra={"example": {"hold_id": "case-7"}})

    hold_id: Id


@command(
    router, "/customers", requires=_WRITES, refusals=(CustomerIdTaken, AccountUnknown), problems=PROBLEMS
)
async def register_customer(body: RegisterCustomer, caller: Caller) -> Answer:
    """Register a customer: with an account, whose id they have, or as a guest.

    Customers and guests register themselves, under their own id.
    """
    chosen: str | None = body.customer_id
    has_account = body.has_account
    if caller.confined_to is not None:
        _require_own(chosen, caller.confined_to)
        chosen, has_account = caller.confined_to, caller.actor == actor("account", caller.confined_to)
    if has_account and chosen is None:
        raise ProblemError("validation-failed", "The id of the account is missing.", errors=[_NO_ACCOUNT])
    customer_id = CustomerId(chosen or caller.new_id())
    profile = await _sealed(body, customer_id, caller)

    def register(customer: Customer | None, view: DecisionView) -> list[Event]:
        account_id = AccountId(customer_id) if has_account else None
        if account_id is not None and view.current(ACCOUNT, account_id) is None:
            raise AccountUnknown(account_id=account_id)
        return customers.register(
            customer, customer_id=customer_id, account_id=account_id, profile=profile, now=caller.now
        )

    return await caller.execute(CUSTOMER, customer_id, register, creates=True)


@command(router, "/customers/{customer_id}/profile", requires=_WRITES, refusals=_CHANGES, problems=PROBLEMS)
async def change_profile(customer_id: CustomerId, body: ChangeProfile, caller: Caller) -> Answer:
    """Put a profile in the place of the one before, as a whole."""
    profile = await _sealed(body, customer_id, caller)
    return await caller.execute(
        CUSTOMER,
        customer_id,
        lambda customer, _: customers.change_profile(
            customer, customer_id=customer_id, profile=profile, now=caller.now
        ),
        owner=_themselves,
    )


@command(
    router,
    "/customers/{customer_id}/addresses",
    requires=_WRITES,
    refusals=(*_CHANGES, AddressIdTaken, TooManyAddresses),
    problems=PROBLEMS,
)
async def add_address(customer_id: CustomerId, body: AddAddress, caller: Caller) -> Answer:
    """Add an address to which parcels and bills may go."""
    sealed = await caller.personal.seal(
        CUSTOMER.stream(customer_id), {"recipient": body.recipient, "lines": body.lines}
    )
    return await caller.execute(
        CUSTOMER,
        customer_id,
        lambda customer, _: customers.add_address(
            customer,
            customer_id=customer_id,
            address_id=AddressId(body.address_id),
            recipient=sealed["recipient"],
            lines=sealed["lines"],
            country=body.country,
            now=caller.now,
        ),
        owner=_themselves,
    )


@command(router, "/customers/{customer_id}/address-removals", requires=_WRITES, refusals=_CHANGES)
async def remove_address(customer_id: CustomerId, body: RemoveAddress, caller: Caller) -> Answer:
    """Remove an address."""
    return await caller.execute(
        CUSTOMER,
        customer_id,
        lambda customer, _: customers.remove_address(
            customer, customer_id=customer_id, address_id=AddressId(body.address_id), now=caller.now
        ),
        owner=_themselves,
    )


@command(router, "/customers/{customer_id}/preferences", requires=_WRITES, refusals=_CHANGES)
async def set_preference(customer_id: CustomerId, body: SetPreference, caller: Caller) -> Answer:
    """Note what the customer prefers."""
    return await caller.execute(
        CUSTOMER,
        customer_id,
        lambda customer, _: customers.set_preference(
            customer,
            customer_id=customer_id,
            preference=body.preference,
            value=body.value,
            now=caller.now,
        ),
        owner=_themselves,
    )


@command(router, "/customers/{customer_id}/consents", requires=_WRITES, refusals=_CHANGES)
async def grant_consent(customer_id: CustomerId, body: GrantConsent, caller: Caller) -> Answer:
    """Note that the customer agrees to something."""
    return await caller.execute(
        CUSTOMER,
        customer_id,
        lambda customer, _: customers.grant_consent(
            customer,
            customer_id=customer_id,
            purpose=body.purpose,
            policy_version=body.policy_version,
            now=caller.now,
        ),
        owner=_themselves,
    )


@command(router, "/customers/{customer_id}/consent-withdrawals", requires=_WRITES, refusals=_CHANGES)
async def withdraw_consent(customer_id: CustomerId, body: WithdrawConsent, caller: Caller) -> Answer:
    """Note that the customer does not agree to something any more."""
    return await caller.execute(
        CUSTOMER,
        customer_id,
        lambda customer, _: customers.withdraw_consent(
            customer, customer_id=customer_id, purpose=body.purpose, now=caller.now
        ),
        owner=_themselves,
    )


@command(
    router,
    "/customers/{customer_id}/merges",
    requires="customers:merge",
    refusals=(*_CHANGES, MergedWithItself, TooManyMerged, HasAnAccount, HoldStands),
    problems=PROBLEMS,
)
async def merge_customers(customer_id: CustomerId, body: MergeCustomers, caller: Caller) -> Answer:
    """Make another record of the same person part of this one. It stays readable, and changes no more."""
    other_id = CustomerId(body.other_id)
    key_id = await caller.personal.key_of(CUSTOMER.stream(other_id))

    def decide(customer: Customer | None, view: DecisionView) -> Decision:
        other = view.current(CUSTOMER, other_id)
        merged, closed = merge(
            customer, other, customer_id=customer_id, other_id=other_id, key_id=key_id, now=caller.now
        )
        return Decision((*events_of(CUSTOMER, customer_id, merged), *events_of(CUSTOMER, other_id, closed)))

    return await caller.execute(CUSTOMER, customer_id, decide)


@command(router, "/customers/{customer_id}/holds", requires="customers:hold", refusals=_CHANGES)
async def place_hold(customer_id: CustomerId, body: PlaceHold, caller: Caller) -> Answer:
    """Have a customer's data kept, because the law has it so: nothing is erased meanwhile."""
    return await caller.execute(
        CUSTOMER,
        customer_id,
        lambda customer, _: erasure.place_hold(
            customer,
            customer_id=customer_id,
            hold_id=HoldId(body.hold_id),
            reason=body.reason,
            now=caller.now,
        ),
    )


@command(
    router, "/customers/{customer_id}/hold-liftings", requires="customers:hold", refusals=(CustomerUnknown,)
)
async def lift_hold(customer_id: CustomerId, body: LiftHold, caller: Caller) -> Answer:
    """End a legal hold."""
    return await caller.execute(
        CUSTOMER,
        customer_id,
        lambda customer, _: erasure.lift_hold(
            customer, customer_id=customer_id, hold_id=HoldId(body.hold_id), now=caller.now
        ),
    )


@command(
    router,
    "/customers/{customer_id}/erasure",
    requires=Owned("customers:erase"),
    refusals=(CustomerUnknown, RecordIsClosed, HoldStands, OrdersOpen, LastOwner),
    problems=(*PROBLEMS, "too-many-tagged", "limits-unavailable"),
)
async def erase_customer(customer_id: CustomerId, body: EraseCustomer, caller: Caller) -> Answer:  # noqa: ARG001 - an empty body
    """Erase a customer's personal data for good: nothing of it is shown from now on, and its keys are destroyed."""
    key_id = await caller.personal.key_of(CUSTOMER.stream(customer_id))
    of_login = await caller.personal.keys_of_address(customer_id)  # who has an account has its id

    def decide(customer: Customer | None, view: DecisionView) -> list[Event]:
        if customer is not None and customer.account_id is not None:
            _require_no_staff(customer.account_id, view, caller)
            _require_another_owner(customer.account_id, view)
        return erasure.request_erasure(
            customer,
            customer_id=customer_id,
            open_orders=() if customer is None else _open_orders(customer, view),
            key_ids=(key_id, *(of_login if customer is not None and customer.account_id is not None else ())),
            now=caller.now,
        )

    return await caller.execute(CUSTOMER, customer_id, decide, owner=_themselves)


def _open_orders(customer: Customer, view: DecisionView) -> list[OrderId]:
    """The orders of a record, and of those that are part of it, that are still to be shipped."""
    tags = [customer_tag(each) for each in (customer.customer_id, *customer.merged)]
    for tag in tags:
        view.prefetch_tagged(ORDERS, tag)
    placed = [order_id for tag in tags for order_id in view.tagged(ORDERS, tag)]
    view.prefetch(ORDER, placed)
    # An order that is no longer open stays so: its version does not matter, and no newer one may carry the tag.
    found = [view.known(ORDER, order_id) for order_id in placed]
    return [order.order_id for order in found if order is not None and order.status in _OPEN]


def _require_no_staff(account_id: AccountId, view: DecisionView, caller: Executing) -> None:
    """Refuse to close the account of somebody who works here, but for themselves: an erasure is no way to take roles.

    Raises:
        ProblemError: `forbidden`.
    """
    if caller.actor in {actor("account", account_id), actor("anonymous")}:
        return
    grants = view.current(GRANTS, account_id)
    if grants is not None and grants.roles - {"customer"}:
        raise ProblemError(
            "forbidden", "The account of this customer has other roles: an owner revokes them first."
        )


def _require_another_owner(account_id: AccountId, view: DecisionView) -> None:
    """Refuse to close the account of the only owner who can log in.

    Raises:
        LastOwner: it is.
    """
    if owners_left(account_id, view) == {account_id}:
        raise LastOwner(account_id=account_id)


def _themselves(customer: Customer) -> str:
    return customer.customer_id


def _require_own(chosen: str | None, own: str) -> None:
    """Refuse another id than the caller's own: whether it is taken would tell of somebody else.

    Raises:
        ProblemError: `forbidden`.
    """
    if chosen not in {None, own}:
        fault = Fault(detail="This may be said by who registers others", pointer="/customer_id")
        detail = "This needs the permission customers:write: who registers themselves has their own id."
        raise ProblemError("forbidden", detail, errors=[fault])


_NO_ACCOUNT: Final = Fault(detail="The account's id is missing", pointer="/customer_id")


async def _sealed(body: ChangeProfile, customer_id: CustomerId, caller: Executing) -> Profile:
    """A profile whose personal values are sealed."""
    personal = {"name": body.name, "email": body.email, "phone": body.phone}
    sealed = await caller.personal.seal(CUSTOMER.stream(customer_id), personal)
    digest = None if body.email is None else await caller.personal.email_digest(body.email)
    return Profile(
        name=sealed.get("name"),
        email=sealed.get("email"),
        email_digest=digest,
        phone=sealed.get("phone"),
        country=body.country,
    )
