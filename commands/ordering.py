"""Commands of ordering: orders are placed, held, cancelled and shipped, credit notes issued.

The contact data of an order is sealed under the key of its customer (`commands.personal_data`).
"""

from collections.abc import Sequence
from typing import Annotated, Final

from pydantic import ConfigDict, Field

from commands import amounts_held
from commands.decision import Decision, DecisionView, Tagged, events_of
from commands.documentation import Caller
from commands.execution import Caller as Executing
from commands.payloads import (
    CHOSEN_BY_STAFF,
    EMAIL_ADDRESS,
    PERSON_NAME,
    PERSONAL,
    POSTAL_ADDRESS,
    Country,
    Currency,
    Id,
    Moment,
    Payload,
    Quantity,
    UnitPrice,
)
from commands.personal_data import PROBLEMS
from commands.recording import Answer
from commands.routing import command, command_router
from commands.stock_losses import reserve_again
from domain import money
from domain.catalogue.product import PRODUCT, Product
from domain.customers.customer import (
    CUSTOMER,
    CustomerErased,
    CustomerUnknown,
    RecordIsClosed,
    require_active,
)
from domain.event import Event
from domain.ids import CreditNoteId, CustomerId, OrderId, Sku
from domain.inventory.stock_refusals import InsufficientStock
from domain.ordering import credit_note as credit_notes
from domain.ordering import holding
from domain.ordering import order as orders
from domain.ordering.credit_note import (
    CREDIT_NOTE,
    Credited,
    CreditedInAnotherCountry,
    CreditedInAnotherCurrency,
    CreditedToAnotherCustomer,
    CreditNote,
    CreditNoteIdTaken,
    MoreCreditedThanShipped,
    NamedOrder,
)
from domain.ordering.events import (
    CONTACT_EMAIL,
    CONTACT_NAME,
    DELIVERY_ADDRESS,
    CancellationReason,
    Contact,
    CreditNoteIssued,
    HoldReason,
    order_tag,
)
from domain.ordering.lines import LINES_MAX, LineRequest, NoListPrice, UnknownSku
from domain.ordering.order import (
    ORDER,
    AlreadyCancelled,
    AlreadyRejected,
    AlreadyShipped,
    Buyer,
    NotConfirmed,
    Order,
    OrderIdTaken,
    OrderIsHeld,
    OrderUnknown,
)
from runtime.http.principal import Owned
from runtime.problems import ERRORS_MAX, Fault, ProblemError

router = command_router("ordering")

CREDITED: Final[Tagged[Credited]] = Tagged((CreditNoteIssued,), {}, credit_notes.credited)
"""Earlier credits of an order: its credit notes carry its tag."""


class Line(Payload):
    """One line of an order."""

    sku: Id
    quantity: Quantity
    unit_price: UnitPrice | None = Field(default=None, description="The list price when absent.")


class CreditedLine(Payload):
    """One line of a credit note."""

    sku: Id
    quantity: Quantity
    unit_price: UnitPrice


class GivenContact(Payload):
    """Who is written to about the order, and where the parcel goes."""

    name: Annotated[Annotated[str, PERSON_NAME, CONTACT_NAME] | None, PERSONAL] = None
    email: Annotated[Annotated[str, EMAIL_ADDRESS, CONTACT_EMAIL] | None, PERSONAL] = None
    address: Annotated[Annotated[str, POSTAL_ADDRESS, DELIVERY_ADDRESS] | None, PERSONAL] = None


class PlaceOrder(Payload):
    """Somebody wants this."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "order_id": "536365",
                "customer_id": "17850",
                "country": "United Kingdom",
                "currency": "GBP",
                "lines": [
                    {"sku": "85123A", "quantity": 6},
                    {"sku": "71053", "quantity": 6, "unit_price": "3.39"},
                ],
            }
        }
    )

    order_id: Id | None = Field(default=None, description=CHOSEN_BY_STAFF)
    customer_id: Id | None = None
    contact: GivenContact | None = Field(default=None, description="Of a registered customer's order only.")
    country: Country
    currency: Currency
    placed_at: Moment | None = Field(default=None, description="When it was placed, if not just now.")
    lines: Annotated[list[Line], Field(min_length=1, max_length=LINES_MAX)]


class CancelOrder(Payload):
    """Why the order is called off."""

    model_config = ConfigDict(json_schema_extra={"example": {"reason": "customer"}})

    reason: CancellationReason


class HoldOrder(Payload):
    """Why the order is not to be shipped."""

    model_config = ConfigDict(json_schema_extra={"example": {"reason": "fraud"}})

    reason: HoldReason


class LiftOrderHold(Payload):
    """Which reason is seen to."""

    model_config = ConfigDict(json_schema_extra={"example": {"reason": "fraud"}})

    reason: HoldReason


class ShipOrder(Payload):
    """Nothing needs to be said."""

    model_config = ConfigDict(json_schema_extra={"example": {}})


class IssueCreditNote(Payload):
    """Money given back for pieces that came back."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "credit_note_id": "C536379",
                "order_id": "536365",
                "customer_id": "17850",
                "country": "United Kingdom",
                "currency": "GBP",
                "lines": [{"sku": "85123A", "quantity": 1, "unit_price": "2.55"}],
            }
        }
    )

    credit_note_id: Id | None = Field(default=None, description="A UUID is made up when absent.")
    order_id: Id | None = Field(
        default=None, description="The order it belongs to: no more than it shipped is credited."
    )
    customer_id: Id | None = Field(default=None, description="That of the order when absent.")
    issued_at: Moment | None = Field(default=None, description="When it was issued, if not just now.")
    country: Country
    currency: Currency
    lines: Annotated[list[CreditedLine], Field(min_length=1, max_length=LINES_MAX)]


@command(
    router,
    "/orders",
    requires=Owned("orders:place"),
    refusals=(
        OrderIdTaken,
        UnknownSku,
        NoListPrice,
        money.AmountTooLarge,
        CustomerUnknown,
        RecordIsClosed,
        CustomerErased,
    ),
    problems=PROBLEMS,
)
async def place_order(body: PlaceOrder, caller: Caller) -> Answer:
    """Place an order. Whether stock suffices is decided afterwards: it is confirmed or rejected.

    Customers and guests place their own, now and at list prices, under an id that is made up. Contact data is taken
    for registered customers, and erased with them.
    """
    customer_id = None if body.customer_id is None else CustomerId(body.customer_id)
    if caller.confined_to is not None:
        _require_own(body, caller.confined_to)
        customer_id = CustomerId(caller.confined_to)
    order_id = OrderId(body.order_id or caller.new_id())
    contact = (
        None if body.contact is None else await _sealed(body.contact, order_id, customer_id, caller=caller)
    )

    def place(order: Order | None, view: DecisionView) -> list[Event]:
        if contact is not None:
            _require_registered(customer_id, body.lines, view)
        return orders.place(
            order,
            order_id=order_id,
            customer_id=customer_id,
            buyer=Buyer(contact=contact),
            placed_at=body.placed_at or caller.now,
            country=body.country,
            currency=body.currency,
            lines=_priced(body.lines, body.currency, view),
        )

    return await caller.execute(ORDER, order_id, place, creates=True, occurred_at=body.placed_at)


@command(
    router,
    "/orders/{order_id}/cancellation",
    requires=Owned("orders:cancel"),
    refusals=(OrderUnknown, AlreadyShipped, AlreadyRejected),
)
async def cancel_order(order_id: OrderId, body: CancelOrder, caller: Caller) -> Answer:
    """Call off an order that has not been shipped."""
    return await caller.execute(
        ORDER,
        order_id,
        lambda order, _: orders.cancel(order, order_id=order_id, reason=body.reason, now=caller.now),
        owner=lambda order: order.customer_id,
    )


@command(
    router,
    "/orders/{order_id}/holds",
    requires="orders:hold",
    refusals=(OrderUnknown, AlreadyShipped, AlreadyRejected, AlreadyCancelled),
)
async def hold_order(order_id: OrderId, body: HoldOrder, caller: Caller) -> Answer:
    """Keep an order from being shipped. It may be held for several reasons at once."""
    return await caller.execute(
        ORDER,
        order_id,
        lambda order, _: holding.hold(order, order_id=order_id, reason=body.reason, now=caller.now),
    )


@command(
    router,
    "/orders/{order_id}/hold-liftings",
    requires="orders:hold",
    refusals=(OrderUnknown, InsufficientStock),
)
async def lift_order_hold(order_id: OrderId, body: LiftOrderHold, caller: Caller) -> Answer:
    """End the hold of an order that has this reason. With that of `stock`, what it has lost is reserved again."""

    def lift(order: Order | None, view: DecisionView) -> Decision:
        if body.reason == "stock":
            return reserve_again(order, view, order_id=order_id, now=caller.now)
        lifted = holding.lift(order, order_id=order_id, reason=body.reason, now=caller.now)
        return Decision(events_of(ORDER, order_id, lifted))

    return await caller.execute(ORDER, order_id, lift)


@command(
    router,
    "/orders/{order_id}/shipment",
    requires="orders:ship",
    refusals=(OrderUnknown, NotConfirmed, OrderIsHeld),
)
async def ship_order(order_id: OrderId, body: ShipOrder, caller: Caller) -> Answer:  # noqa: ARG001 - an empty body
    """Send a confirmed order off, unless it is held, or the amount that it was placed with a method for is not."""

    def ship(order: Order | None, view: DecisionView) -> list[Event]:
        shipped = orders.ship(order, order_id=order_id, now=caller.now)
        if shipped and order is not None:
            amounts_held.require_held(order, view, now=caller.now)
        return shipped

    return await caller.execute(ORDER, order_id, ship)


@command(
    router,
    "/credit-notes",
    requires="credit-notes:issue",
    refusals=(
        CreditNoteIdTaken,
        OrderUnknown,
        CreditedInAnotherCurrency,
        CreditedToAnotherCustomer,
        CreditedInAnotherCountry,
        MoreCreditedThanShipped,
        UnknownSku,
        money.AmountTooLarge,
    ),
    problems=("too-many-tagged", "limits-unavailable"),
)
async def issue_credit_note(body: IssueCreditNote, caller: Caller) -> Answer:
    """Give money back; stocked pieces return to stock afterwards. Without an order it is compared with nothing."""
    credit_note_id = CreditNoteId(body.credit_note_id or caller.new_id())

    def issue(note: CreditNote | None, view: DecisionView) -> list[Event]:
        return credit_notes.issue(
            note,
            credit_note_id=credit_note_id,
            against=None if body.order_id is None else _named(OrderId(body.order_id), view),
            customer_id=None if body.customer_id is None else CustomerId(body.customer_id),
            issued_at=body.issued_at or caller.now,
            country=body.country,
            currency=body.currency,
            lines=_priced(body.lines, body.currency, view),
        )

    return await caller.execute(CREDIT_NOTE, credit_note_id, issue, creates=True, occurred_at=body.issued_at)


_NO_CUSTOMER: Final = Fault(detail="The customer's id is missing", pointer="/customer_id")


async def _sealed(
    given: GivenContact, order_id: OrderId, customer_id: CustomerId | None, *, caller: Executing
) -> Contact | None:
    """Contact data under the key of the customer, with whom it is erased; None if nothing is given.

    Raises:
        ProblemError: `validation-failed`: no customer is named, so nobody could have it erased; and as `seal`.
    """
    if customer_id is None:
        raise ProblemError(
            "validation-failed", "Contact data belongs to a registered customer.", errors=[_NO_CUSTOMER]
        )
    values = {"name": given.name, "email": given.email, "address": given.address}
    sealed = await caller.personal.seal(ORDER.stream(order_id), values, subject=CUSTOMER.stream(customer_id))
    return Contact(**sealed) if sealed else None


def _require_registered(customer_id: CustomerId | None, lines: Sequence[Line], view: DecisionView) -> None:
    """Refuse contact data of whom nothing new may be recorded, as the log has it when the order is recorded.

    Raises:
        CustomerUnknown, RecordIsClosed, CustomerErased: nothing may.
    """
    assert customer_id is not None, "sealed under the customer's key"
    view.prefetch(PRODUCT, [line.sku for line in lines])  # in the same round trip
    require_active(view.current(CUSTOMER, customer_id), customer_id=customer_id)


def _require_own(body: PlaceOrder, customer_id: str) -> None:
    """Refuse what only they may say who place orders for others.

    An id is no choice of a customer's: whether it is taken would tell of an order of somebody else.

    Raises:
        ProblemError: `forbidden`; every member is named.
    """
    said = {
        "/order_id": body.order_id is not None,
        "/customer_id": body.customer_id not in {None, customer_id},
        "/placed_at": body.placed_at is not None,
        **{f"/lines/{n}/unit_price": line.unit_price is not None for n, line in enumerate(body.lines)},
    }
    faults = [
        Fault(detail="Only callers who place orders for others may send this member", pointer=pointer)
        for pointer, is_said in said.items()
        if is_said
    ]
    if faults:
        detail = (
            "This needs the permission orders:place: an order of one's own is placed now, at list prices."
        )
        raise ProblemError("forbidden", detail, errors=faults[:ERRORS_MAX])


def _named(order_id: OrderId, view: DecisionView) -> NamedOrder:
    """The order of a credit note, and what was credited on it: exactly as they are when the note is recorded."""
    view.prefetch(ORDER, (order_id,))
    view.prefetch_tagged(CREDITED, order_tag(order_id))
    return NamedOrder(order_id, view.current(ORDER, order_id), view.tagged(CREDITED, order_tag(order_id)))


def _priced(
    lines: Sequence[Line | CreditedLine], currency: money.Currency, view: DecisionView
) -> list[LineRequest]:
    """The lines with what the catalogue knows of their codes.

    Raises:
        UnknownSku, NoListPrice: a code is unknown, or a line has no price and its product none in this currency.
    """
    view.prefetch(PRODUCT, [line.sku for line in lines])
    # Whether a product is stocked never changes; its list price may have, this very moment.
    products = [
        view.current(PRODUCT, line.sku) if line.unit_price is None else view.known(PRODUCT, line.sku)
        for line in lines
    ]
    if None in products:
        skus = {index: Sku(lines[index].sku) for index, product in enumerate(products) if product is None}
        raise UnknownSku(skus=skus)
    return [
        LineRequest(
            sku=Sku(line.sku),
            quantity=line.quantity,
            unit_price=line.unit_price or _list_price(index, product, currency),
            stocked=product.stocked,
        )
        for index, (line, product) in enumerate(zip(lines, products, strict=True))
        if product is not None
    ]


def _list_price(index: int, product: Product, currency: money.Currency) -> money.UnitPrice:
    if product.unit_price is None or product.currency != currency:
        raise NoListPrice(line=index, sku=product.sku, currency=currency)
    return product.unit_price
