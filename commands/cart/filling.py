"""Commands of carts: opened, filled, changed, repriced, and merged when a guest logs in.

Prices are never a caller's: they are read from the price lists of the cart's channel and from the catalogue, whose
versions the append names.
"""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Annotated, Final

from pydantic import ConfigDict, Field, StringConstraints

from commands.decision import Decision, DecisionView, events_of
from commands.documentation import Caller
from commands.execution import Caller as Executing
from commands.payloads import CHOSEN_BY_STAFF, SECRET, Currency, Id, Payload, Quantity, ShopChannel, UnitPrice
from commands.prices_found import lists_in, price_in
from commands.recording import Answer
from commands.routing import command, command_router
from domain.cart import cart as carts
from domain.cart.cart import CART, Cart
from domain.cart.cart_merging import assign, merge
from domain.cart.cart_refusals import (
    LINES_MAX,
    CartFrozen,
    CartHasCustomer,
    CartIdTaken,
    CartIsClosed,
    CartsInTwoCurrencies,
    CartUnknown,
    LineUnknown,
    NotOffered,
    PriceChanged,
    SameCart,
    TooManyLines,
)
from domain.cart.events import Locale, MergeStrategy
from domain.cart.offers import Offer, Offers
from domain.catalogue.product import PRODUCT
from domain.event import Event
from domain.ids import CartId, ChannelId, CustomerId, Sku
from domain.moment import in_utc
from domain.pricing.price import PRICES
from domain.quantity import QuantityOutOfRange
from runtime.actors import actor
from runtime.http.principal import Owned
from runtime.identity.tokens import TOKEN_BYTES_MAX
from runtime.problems import Fault, ProblemError

router = command_router("cart")

WRITES: Final = Owned("carts:write")
CHANGES: Final = (CartUnknown, CartIsClosed, CartFrozen)
"""What every change of a cart may refuse."""

Language = Annotated[Locale, StringConstraints(pattern=r"^[A-Za-z0-9]{1,8}(-[A-Za-z0-9]{1,8}){0,3}$")]
GuestToken = Annotated[str, StringConstraints(max_length=TOKEN_BYTES_MAX)]
LineId = Annotated[int, Field(ge=1, le=1_000_000_000)]


class OpenCart(Payload):
    """Whose cart it is, and what its prices are in."""

    model_config = ConfigDict(
        json_schema_extra={"example": {"cart_id": "c-17850", "customer_id": "17850", "currency": "GBP"}}
    )

    cart_id: Id | None = Field(default=None, description=CHOSEN_BY_STAFF)
    customer_id: Id | None = Field(default=None, description="The caller, where they have an identity.")
    currency: Currency
    channel: ShopChannel = Field(default="web", description="The shop's own name of where it sells.")
    locale: Language | None = Field(default=None, description="A language tag.")


class AddItem(Payload):
    """So many pieces of a SKU, besides those that are in the cart."""

    model_config = ConfigDict(json_schema_extra={"example": {"sku": "85123A", "quantity": 6}})

    sku: Id
    quantity: Quantity


class ChangeQuantity(Payload):
    """How many pieces a line has."""

    model_config = ConfigDict(json_schema_extra={"example": {"line_id": 1, "quantity": 2}})

    line_id: LineId
    quantity: Quantity


class RemoveItem(Payload):
    """Which line is not wanted any more."""

    model_config = ConfigDict(json_schema_extra={"example": {"line_id": 1}})

    line_id: LineId


class AgreedPrice(Payload):
    """A price that the buyer was shown and agrees to."""

    sku: Id
    unit_price: UnitPrice


class RepriceCart(Payload):
    """The prices that rose and that the buyer agrees to. Prices that fell need no consent."""

    model_config = ConfigDict(
        json_schema_extra={"example": {"agreed": [{"sku": "85123A", "unit_price": "2.95"}]}}
    )

    agreed: Annotated[list[AgreedPrice], Field(default_factory=list, max_length=LINES_MAX)]


class AssignCart(Payload):
    """Who the customer is, and what shows that the cart is theirs to take."""

    model_config = ConfigDict(json_schema_extra={"example": {"customer_id": "17850"}})

    customer_id: Id | None = Field(default=None, description="The caller, where they have an identity.")
    guest_token: Annotated[GuestToken | None, SECRET] = Field(
        default=None, description="The token of the guest who has the cart, while it is good."
    )


class MergeCarts(Payload):
    """The cart that ends, and how many pieces an SKU has that both have."""

    model_config = ConfigDict(json_schema_extra={"example": {"source_id": "c-guest", "strategy": "sum"}})

    source_id: Id
    strategy: MergeStrategy = Field(
        default="sum",
        description="`sum`, `max`, or those of one: `keep_guest` of the cart that ends, `keep_customer` of this one.",
    )
    guest_token: Annotated[GuestToken | None, SECRET] = Field(
        default=None, description="The token of the guest who has the other cart, while it is good."
    )


@command(router, "/carts", requires=WRITES, refusals=(CartIdTaken,))
async def open_cart(body: OpenCart, caller: Caller) -> Answer:
    """Open a cart. Customers and guests open their own, under an id that is made up."""
    customer_id, guest = _buyer(body, caller)
    cart_id = CartId(body.cart_id or caller.new_id())
    return await caller.execute(
        CART,
        cart_id,
        lambda cart, _: carts.open_cart(
            cart,
            cart_id=cart_id,
            customer_id=customer_id,
            guest=guest,
            currency=body.currency,
            channel=body.channel,
            locale=body.locale,
            now=caller.now,
        ),
        creates=True,
    )


@command(
    router,
    "/carts/{cart_id}/items",
    requires=WRITES,
    refusals=(*CHANGES, TooManyLines, PriceChanged, NotOffered, QuantityOutOfRange),
)
async def add_item(cart_id: CartId, body: AddItem, caller: Caller) -> Answer:
    """Put pieces into a cart, at the price for as many as it has then. A SKU has one line, which grows."""
    sku = Sku(body.sku)

    def add(cart: Cart | None, view: DecisionView) -> list[Event]:
        return carts.add_item(
            cart,
            cart_id=cart_id,
            sku=sku,
            quantity=body.quantity,
            offers=offers_of(cart, {sku: body.quantity + quantity_of(cart, sku)}, view, now=caller.now),
            now=caller.now,
        )

    return await caller.execute(CART, cart_id, add, owner=buyer_of)


@command(
    router,
    "/carts/{cart_id}/quantities",
    requires=WRITES,
    refusals=(*CHANGES, LineUnknown, QuantityOutOfRange),
)
async def change_quantity(cart_id: CartId, body: ChangeQuantity, caller: Caller) -> Answer:
    """Have so many pieces in a line."""
    return await caller.execute(
        CART,
        cart_id,
        lambda cart, _: carts.change_quantity(
            cart, cart_id=cart_id, line_id=body.line_id, quantity=body.quantity, now=caller.now
        ),
        owner=buyer_of,
    )


@command(router, "/carts/{cart_id}/removals", requires=WRITES, refusals=CHANGES)
async def remove_item(cart_id: CartId, body: RemoveItem, caller: Caller) -> Answer:
    """Take a line out of a cart."""
    return await caller.execute(
        CART,
        cart_id,
        lambda cart, _: carts.remove_item(cart, cart_id=cart_id, line_id=body.line_id, now=caller.now),
        owner=buyer_of,
    )


@command(
    router,
    "/carts/{cart_id}/prices",
    requires=WRITES,
    refusals=(*CHANGES, PriceChanged, NotOffered),
)
async def reprice_cart(cart_id: CartId, body: RepriceCart, caller: Caller) -> Answer:
    """Have all lines cost what they are offered for now: what fell at once, what rose if the buyer agrees to it."""
    agreed = {Sku(each.sku): each.unit_price for each in body.agreed}

    def reprice(cart: Cart | None, view: DecisionView) -> list[Event]:
        offers = offers_of(cart, quantities(cart), view, now=caller.now)
        return carts.reprice(cart, cart_id=cart_id, offers=offers, agreed=agreed, now=caller.now)

    return await caller.execute(CART, cart_id, reprice, owner=buyer_of)


@command(
    router,
    "/carts/{cart_id}/assignment",
    requires=WRITES,
    refusals=(*CHANGES, CartHasCustomer),
)
async def assign_cart(cart_id: CartId, body: AssignCart, caller: Caller) -> Answer:
    """Make the cart of a guest a customer's: the caller's, who shows the token of the guest."""
    if body.customer_id not in {None, caller.confined_to} and caller.confined_to is not None:
        raise ProblemError("forbidden", "A cart becomes one's own.", errors=[_OF_ANOTHER])
    customer_id = caller.confined_to or body.customer_id
    if customer_id is None:
        raise ProblemError("validation-failed", "Nobody says whose the cart is.", errors=[_NO_CUSTOMER])
    shown = await _shown(body.guest_token, caller)
    return await caller.execute(
        CART,
        cart_id,
        lambda cart, _: assign(cart, cart_id=cart_id, customer_id=CustomerId(customer_id), now=caller.now),
        owner=lambda cart: caller.confined_to if shown(cart) else cart.customer_id,
    )


@command(
    router,
    "/carts/{cart_id}/merges",
    requires=WRITES,
    refusals=(*CHANGES, CartsInTwoCurrencies, TooManyLines, SameCart, QuantityOutOfRange),
)
async def merge_carts(cart_id: CartId, body: MergeCarts, caller: Caller) -> Answer:
    """Put all lines of another cart into this one, and end the other: one's own, or a guest's whose token is shown."""
    source_id = CartId(body.source_id)
    shown = await _shown(body.guest_token, caller)

    def decide(cart: Cart | None, view: DecisionView) -> Decision:
        source = view.current(CART, source_id)
        if source is not None and not shown(source):
            source = None
        merged, closed = merge(
            cart, source, cart_id=cart_id, source_id=source_id, strategy=body.strategy, now=caller.now
        )
        return Decision((*events_of(CART, cart_id, merged), *events_of(CART, source_id, closed)))

    return await caller.execute(CART, cart_id, decide, owner=buyer_of)


_OF_ANOTHER: Final = Fault(detail="Only the caller's own id may be sent", pointer="/customer_id")
_NO_CUSTOMER: Final = Fault(detail="The customer's id is missing", pointer="/customer_id")


async def _shown(guest_token: str | None, caller: Executing) -> Callable[[Cart], bool]:
    """Whether a cart is one that the caller shows to be theirs: their own, that of a guest whose token they have.

    Raises:
        ProblemError: `identity-unavailable`: no token can be verified now.
    """
    if caller.confined_to is None:
        return lambda _: True
    guest = None if guest_token is None else await caller.premises.guest_of(guest_token)
    buyers = {caller.confined_to, guest} - {None}
    return lambda cart: cart.customer_id in buyers and (cart.customer_id == caller.confined_to or cart.guest)


def _buyer(body: OpenCart, caller: Executing) -> tuple[CustomerId | None, bool]:
    """Whose cart is opened, and whether they are a guest.

    Raises:
        ProblemError: `forbidden`: a caller who is confined to their own names another, or chooses an id. Whether it
            is taken would tell of a cart of somebody else.
    """
    own = caller.confined_to
    if own is None:
        return (None if body.customer_id is None else CustomerId(body.customer_id)), False
    said = {"/cart_id": body.cart_id is not None, "/customer_id": body.customer_id not in {None, own}}
    faults = [
        Fault(detail="Only callers who open carts for others may send this member", pointer=pointer)
        for pointer, is_said in said.items()
        if is_said
    ]
    if faults:
        raise ProblemError(
            "forbidden",
            "This needs the permission carts:write for all carts: one's own has an id that is made up.",
            errors=faults,
        )
    return CustomerId(own), caller.actor == actor("guest", own)


def buyer_of(cart: Cart) -> str | None:
    """Whose the cart is."""
    return cart.customer_id


def quantity_of(cart: Cart | None, sku: Sku) -> int:
    """The pieces of a SKU in a cart."""
    line = None if cart is None else cart.line_of(sku)
    return 0 if line is None else line.quantity


def quantities(cart: Cart | None) -> dict[Sku, int]:
    """The pieces of all that has a price in a cart, the shipping included."""
    return {} if cart is None else {line.sku: line.quantity for line in carts.priced_lines(cart)}


def offers_of(cart: Cart | None, wanted: Mapping[Sku, int], view: DecisionView, *, now: datetime) -> Offers:
    """What so many pieces of these cost in the channel and currency of the cart, as it is when this is recorded."""
    if cart is None:
        return {}
    skus = tuple(wanted)
    view.prefetch(PRODUCT, skus)
    lists = lists_in(view, ChannelId(cart.channel), customer_id=cart.customer_id)
    if lists:
        view.prefetch(PRICES, skus)
    found = {}
    for sku, quantity in wanted.items():
        product = view.current(PRODUCT, sku)
        price = (
            None
            if product is None
            else price_in(
                view, product, lists=lists, currency=cart.currency, quantity=quantity, at=in_utc(now)
            )
        )
        if product is not None and price is not None:
            found[sku] = Offer(
                unit_price=price.unit_price,
                stocked=product.stocked,
                list_id=price.list_id,
                price_id=price.price_id,
            )
    return found
