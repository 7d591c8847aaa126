"""Commands that make a cart an order: where it goes, how it is sent, and the checkout, which freezes it.

Addresses are sealed under the key of the buyer before anything is decided (`commands.personal_data`). The order is
placed by the decision of its own context, in the append that ends the cart.
"""

from datetime import timedelta
from typing import Annotated, Final

from pydantic import ConfigDict, Field

from commands.cart.costing import charge_in, requested, terms_in
from commands.cart.filling import CHANGES, WRITES, buyer_of, offers_of, quantities, router
from commands.coupons import coupon_in, uses_in
from commands.decision import Appended, Decision, DecisionView, events_of
from commands.documentation import Caller
from commands.execution import Caller as Executing
from commands.payloads import (
    EMAIL_ADDRESS,
    PERSON_NAME,
    PERSONAL,
    POSTAL_ADDRESS,
    Country,
    Id,
    Method,
    Payload,
)
from commands.personal_data import PROBLEMS
from commands.recording import Answer
from commands.routing import command
from domain import money
from domain.cart import cart_coupon
from domain.cart import checkout as checkouts
from domain.cart.cart import CART, Cart, Checkout
from domain.cart.cart_refusals import (
    CartEmpty,
    CartHasCoupon,
    CartIsClosed,
    CartUnknown,
    CheckoutOver,
    CountryMissing,
    NotOffered,
    NotTheBuyer,
    PriceChanged,
    ShippingNotOffered,
)
from domain.cart.checkout import SealedAddress
from domain.cart.events import EMAIL, LINES, RECIPIENT, AddressKind
from domain.customers.customer import (
    CUSTOMER,
    CustomerErased,
    CustomerUnknown,
    RecordIsClosed,
    require_active,
)
from domain.event import Event
from domain.ids import CartId, CheckoutId, CustomerId, OrderId, Sku
from domain.ordering import order as orders
from domain.ordering.events import (
    CONTACT_EMAIL,
    CONTACT_NAME,
    DELIVERY_ADDRESS,
    Contact,
    OrderPlaced,
    PaymentTerms,
)
from domain.ordering.order import ORDER, Buyer, OrderIdTaken
from domain.payments.authorising import require_no_card_number
from domain.payments.refusals import CardNumberGiven
from domain.pricing import redemption as redemptions
from domain.pricing.coupon import COUPON, CouponExhausted, CouponNotApplicable, CouponUnknown, code_of
from domain.pricing.promotion import PROMOTION
from domain.pricing.redemption import REDEMPTION, Redemption, RedemptionIdTaken, redemption_of
from domain.pricing.tax_table import MissingTaxRate
from domain.promotion_terms import of_coupon
from runtime.problems import Fault, ProblemError
from runtime.settings import Settings

_REGISTERED: Final = (CustomerUnknown, RecordIsClosed, CustomerErased)
"""What is refused where personal data of the buyer would be recorded."""

Recipient = Annotated[str, PERSON_NAME, RECIPIENT]
Lines = Annotated[str, POSTAL_ADDRESS, LINES]
Email = Annotated[str, EMAIL_ADDRESS, EMAIL]


class SetAddress(Payload):
    """Where the parcel goes, or the bill. Of a registered customer's cart only, or of a guest's who is registered."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "customer_id": "17851",
                "recipient": "Ada Lovelace",
                "lines": "12 St James's Square\nLondon SW1Y 4JH",
                "email": "ada@example.org",
                "country": "United Kingdom",
            }
        }
    )

    customer_id: Id | None = Field(default=None, description="The caller, where they have an identity.")
    kind: AddressKind = "delivery"
    recipient: Annotated[Recipient, PERSONAL]
    lines: Annotated[Lines, PERSONAL]
    email: Annotated[Email | None, PERSONAL] = None
    country: Country


class ChooseShipping(Payload):
    """One of the shop's ways of shipping."""

    model_config = ConfigDict(json_schema_extra={"example": {"option_id": "POST"}})

    option_id: Id


class ApplyCoupon(Payload):
    """The code of a coupon."""

    model_config = ConfigDict(json_schema_extra={"example": {"code": "SPRING10"}})

    code: Id = Field(description="Case and spaces do not matter.")


class RemoveCoupon(Payload):
    """The code of the coupon that is not wanted any more."""

    model_config = ConfigDict(json_schema_extra={"example": {"code": "SPRING10"}})

    code: Id = Field(description="Case and spaces do not matter.")


class StartCheckout(Payload):
    """Where the order goes, if the cart has no delivery address."""

    model_config = ConfigDict(json_schema_extra={"example": {"country": "United Kingdom"}})

    country: Country | None = None


class AbortCheckout(Payload):
    """Nothing needs to be said."""

    model_config = ConfigDict(json_schema_extra={"example": {}})


class BuyerContact(Payload):
    """Who is written to about the order, and where the parcel goes."""

    name: Annotated[Annotated[str, PERSON_NAME, CONTACT_NAME] | None, PERSONAL] = None
    email: Annotated[Annotated[str, EMAIL_ADDRESS, CONTACT_EMAIL] | None, PERSONAL] = None
    address: Annotated[Annotated[str, POSTAL_ADDRESS, DELIVERY_ADDRESS] | None, PERSONAL] = None


class CheckOut(Payload):
    """The checkout that is completed; the order has its id."""

    model_config = ConfigDict(
        json_schema_extra={"example": {"checkout_id": "018f3c5e-2f5b-7a10-b3c4-9e0d6b0c1a2f"}}
    )

    checkout_id: Id
    customer_id: Id | None = Field(default=None, description="The caller, where they have an identity.")
    contact: BuyerContact | None = Field(default=None, description="Of a registered customer's cart only.")
    method_ref: Method | None = Field(
        default=None,
        description="The payment provider's token of a method: the order is confirmed once its amount is held.",
    )


@command(
    router,
    "/carts/{cart_id}/addresses",
    requires=WRITES,
    refusals=(*CHANGES, NotTheBuyer, *_REGISTERED),
    problems=PROBLEMS,
)
async def set_address(cart_id: CartId, body: SetAddress, caller: Caller) -> Answer:
    """Note where the parcel goes, or the bill: sealed, and erased with its customer."""
    customer_id = _buyer(body.customer_id, caller)
    given = {"recipient": body.recipient, "lines": body.lines, "email": body.email}
    sealed = await caller.personal.seal(CART.stream(cart_id), given, subject=CUSTOMER.stream(customer_id))

    address = SealedAddress(
        recipient=sealed["recipient"],
        lines=sealed["lines"],
        email=sealed.get("email"),
        country=body.country,
    )

    def decide(cart: Cart | None, view: DecisionView) -> list[Event]:
        events = checkouts.set_address(
            cart,
            cart_id=cart_id,
            customer_id=customer_id,
            kind=body.kind,
            address=address,
            now=caller.now,
        )
        require_active(view.current(CUSTOMER, customer_id), customer_id=customer_id)
        return events

    return await caller.execute(CART, cart_id, decide, owner=buyer_of)


@command(
    router,
    "/carts/{cart_id}/shipping",
    requires=WRITES,
    refusals=(*CHANGES, ShippingNotOffered, NotOffered),
)
async def choose_shipping(cart_id: CartId, body: ChooseShipping, caller: Caller) -> Answer:
    """Choose how it is sent, at the price of that: a product that the shop names as a way of shipping."""
    option_id, options = Sku(body.option_id), _settings(caller).shipping_skus

    def choose(cart: Cart | None, view: DecisionView) -> list[Event]:
        return checkouts.choose_shipping(
            cart,
            cart_id=cart_id,
            option_id=option_id,
            options=tuple(map(Sku, options)),
            offers=offers_of(cart, {option_id: 1}, view, now=caller.now),
            now=caller.now,
        )

    return await caller.execute(CART, cart_id, choose, owner=buyer_of)


@command(
    router,
    "/carts/{cart_id}/coupons",
    requires=WRITES,
    refusals=(*CHANGES, CartHasCoupon, CouponUnknown, CouponExhausted, CouponNotApplicable),
    problems=("too-many-tagged",),
)
async def apply_coupon(cart_id: CartId, body: ApplyCoupon, caller: Caller) -> Answer:
    """Have a coupon taken off what the cart costs. It is redeemed with the order, if it is not used up by then."""
    code = code_of(body.code)

    def apply(cart: Cart | None, view: DecisionView) -> list[Event]:
        return cart_coupon.apply_coupon(
            cart,
            cart_id=cart_id,
            code=code,
            terms_of=lambda found: terms_in(view, found, code=code, now=caller.now),
            now=caller.now,
        )

    return await caller.execute(CART, cart_id, apply, owner=buyer_of)


@command(router, "/carts/{cart_id}/coupon-removals", requires=WRITES, refusals=CHANGES)
async def remove_coupon(cart_id: CartId, body: RemoveCoupon, caller: Caller) -> Answer:
    """Do without a coupon."""
    return await caller.execute(
        CART,
        cart_id,
        lambda cart, _: cart_coupon.remove_coupon(
            cart, cart_id=cart_id, code=code_of(body.code), now=caller.now
        ),
        owner=buyer_of,
    )


@command(
    router,
    "/carts/{cart_id}/checkout",
    requires=WRITES,
    refusals=(
        *CHANGES,
        CartEmpty,
        CountryMissing,
        PriceChanged,
        NotOffered,
        money.AmountTooLarge,
        CouponExhausted,
        CouponNotApplicable,
        MissingTaxRate,
    ),
    problems=("too-many-tagged",),
)
async def start_checkout(cart_id: CartId, body: StartCheckout, caller: Caller) -> Answer:
    """Freeze a cart for a while: its prices, its totals and the id of the order stand until the checkout expires.

    What promotions and the coupon of the cart take off is in the totals, and so is the tax of where it goes.
    """
    checkout_id = CheckoutId(caller.new_id())
    lasts = timedelta(seconds=_settings(caller).checkout_s)

    def start(cart: Cart | None, view: DecisionView) -> list[Event]:
        offers = offers_of(cart, quantities(cart), view, now=caller.now)
        return checkouts.start_checkout(
            cart,
            cart_id=cart_id,
            checkout_id=checkout_id,
            country=body.country,
            offers=offers,
            charge_of=lambda found, country: charge_in(view, found, country, offers=offers, now=caller.now),
            lasts=lasts,
            now=caller.now,
        )

    return await caller.execute(CART, cart_id, start, owner=buyer_of)


@command(
    router,
    "/carts/{cart_id}/checkout-abortion",
    requires=WRITES,
    refusals=(CartUnknown, CartIsClosed),
)
async def abort_checkout(cart_id: CartId, body: AbortCheckout, caller: Caller) -> Answer:  # noqa: ARG001 - an empty body
    """Go on choosing: the cart may change again."""
    return await caller.execute(
        CART,
        cart_id,
        lambda cart, _: checkouts.abort_checkout(cart, cart_id=cart_id, reason="buyer", now=caller.now),
        owner=buyer_of,
    )


@command(
    router,
    "/carts/{cart_id}/order",
    requires=WRITES,
    refusals=(
        CartUnknown,
        CartIsClosed,
        CheckoutOver,
        OrderIdTaken,
        NotTheBuyer,
        CardNumberGiven,
        CouponExhausted,
        CouponNotApplicable,
        RedemptionIdTaken,
        *_REGISTERED,
    ),
    problems=(*PROBLEMS, "too-many-tagged"),
)
async def check_out(cart_id: CartId, body: CheckOut, caller: Caller) -> Answer:
    """Complete a checkout: the order is placed at the prices that it fixed, and the cart ends, in one append.

    Completing it again is the same order. With a method its payment is requested afterwards, under the id of the order.
    A coupon is redeemed in the same append: where it is used up meanwhile, the checkout is aborted and started again
    without it.
    """
    payment = None if body.method_ref is None else PaymentTerms(method_ref=body.method_ref)
    checkout_id = CheckoutId(body.checkout_id)
    buyer = None if body.contact is None else _buyer(body.customer_id, caller)
    contact = None if body.contact is None else await _sealed(body.contact, checkout_id, buyer, caller)

    def decide(cart: Cart | None, view: DecisionView) -> Decision:
        checkout, done = checkouts.check_out(cart, cart_id=cart_id, checkout_id=checkout_id, now=caller.now)
        if not done:
            return Decision()
        assert cart is not None, "refused before"
        if buyer is not None:
            if cart.customer_id != buyer:
                raise NotTheBuyer(cart_id=cart_id, customer_id=buyer)
            require_active(view.current(CUSTOMER, buyer), customer_id=buyer)
        if body.method_ref is not None:
            require_no_card_number(method_ref=body.method_ref)
        terms = Buyer(
            contact=contact, payment=payment, promotions=checkout.discount.promotions, tax=checkout.tax
        )
        view.prefetch(ORDER, (checkout.order_id,))
        redeemed = _redeemed(cart, checkout, view, caller)
        placed = _placed(cart, checkout, terms, view, caller)
        return Decision(
            (*events_of(CART, cart_id, done), *redeemed, *events_of(ORDER, checkout.order_id, placed))
        )

    return await caller.execute(CART, cart_id, decide, owner=buyer_of)


def _redeemed(cart: Cart, checkout: Checkout, view: DecisionView, caller: Executing) -> tuple[Appended, ...]:
    """The redemption of the coupon that a checkout promised, by the decision of its own context; nothing without one.

    Raises:
        CouponExhausted, CouponNotApplicable: it was used up, its budget spent or its promotion ended meanwhile.
        RedemptionIdTaken: somebody redeemed one under the id of the order.
    """
    promised = of_coupon(checkout.discount.promotions)
    if promised is None or promised.code is None:
        return ()
    redemption_id = redemption_of(checkout.order_id)
    view.prefetch(COUPON, (promised.code,))
    view.prefetch(PROMOTION, (promised.promotion_id,))
    view.prefetch(REDEMPTION, (redemption_id,))
    coupon, promotion = coupon_in(view, promised.code)
    redemption = Redemption(
        redemption_id,
        promised.code,
        promised.promotion_id,
        checkout.order_id,
        cart.customer_id,
        promised.amount,
    )
    redeemed = redemptions.redeem(
        view.current(REDEMPTION, redemption_id),
        coupon,
        promotion,
        uses_in(view, coupon, promotion, customer_id=cart.customer_id),
        redemption=redemption,
        now=caller.now,
        promised_at=checkout.started_at,
    )
    return events_of(REDEMPTION, redemption_id, redeemed)


def _placed(
    cart: Cart, checkout: Checkout, buyer: Buyer, view: DecisionView, caller: Executing
) -> list[Event]:
    """The order of a checkout, by the decision of its own context."""
    placed = orders.place(
        view.current(ORDER, checkout.order_id),
        order_id=checkout.order_id,
        customer_id=cart.customer_id,
        buyer=buyer,
        placed_at=caller.now,
        country=checkout.country,
        currency=cart.currency,
        lines=requested(cart, checkout),
    )
    totals = [event.total for event in placed if isinstance(event, OrderPlaced)]
    assert totals == [checkout.totals.grand], "a frozen cart has the prices that its checkout fixed"
    return placed


_NO_CUSTOMER: Final = Fault(detail="The customer's id is missing", pointer="/customer_id")
_OF_ANOTHER: Final = Fault(detail="Only the caller's own id may be sent", pointer="/customer_id")


def _buyer(said: str | None, caller: Executing) -> CustomerId:
    """Under whose key something is sealed.

    Raises:
        ProblemError: `validation-failed`: nobody is named, so nobody could have it erased; `forbidden`: somebody else.
    """
    own = caller.confined_to
    if own is not None and said not in {None, own}:
        raise ProblemError("forbidden", "Personal data in a cart is its buyer's.", errors=[_OF_ANOTHER])
    if own is None and said is None:
        raise ProblemError(
            "validation-failed", "Personal data belongs to a registered customer.", errors=[_NO_CUSTOMER]
        )
    return CustomerId(own or said or "")


async def _sealed(
    given: BuyerContact, checkout_id: CheckoutId, buyer: CustomerId | None, caller: Executing
) -> Contact | None:
    """Contact data under the key of the buyer, for the stream of the order; None if nothing is given."""
    assert buyer is not None, "named before"
    values = {"name": given.name, "email": given.email, "address": given.address}
    stream = ORDER.stream(OrderId(checkout_id))
    sealed = await caller.personal.seal(stream, values, subject=CUSTOMER.stream(buyer))
    return Contact(**sealed) if sealed else None


def _settings(caller: Executing) -> Settings:
    assert caller.premises.settings is not None, "the command API has settings"
    return caller.premises.settings
