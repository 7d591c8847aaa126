"""The contexts of the shop: the only list of them. Others are declared elsewhere and named in a setting.

Every process reads this list, so what few of them use stands in it by its place, or is imported when it is opened.
"""

import contextlib
from collections.abc import AsyncIterator
from typing import Final

from commands.gateways.labels import CARRIER
from commands.gateways.mail import mails as mail_gateway
from commands.gateways.payment.charging import PROVIDER
from commands.gateways.shredding import ERASURE
from commands.processes.carts_left import CARTS_LEFT
from commands.processes.closing import CLOSING
from commands.processes.credit_expiry import CREDIT_EXPIRY
from commands.processes.credit_holds import CREDIT_HOLDS
from commands.processes.fulfilment import FULFILMENT
from commands.processes.labels import LABELS
from commands.processes.order_mails import ORDER_MAILS
from commands.processes.purchases import PURCHASES
from commands.processes.restock import RESTOCK
from commands.processes.security_notices import SECURITY_NOTICES
from commands.recipients import ByTemplate, FixedAddress, Recipients
from counterfoil.context import Context, Contexts
from counterfoil.operations import OPERATIONS
from counterfoil.security import SECURITY
from domain.cart import cart_refusals
from domain.cart.cart import CART as CARTS
from domain.catalogue import category, channel, listing, product, slugs
from domain.catalogue.category import CATEGORY
from domain.catalogue.channel import CHANNEL
from domain.catalogue.listing import LISTING
from domain.catalogue.product import PRODUCT
from domain.customers import customer
from domain.customers.customer import CUSTOMER
from domain.identity import account, client, external
from domain.identity.account import ACCOUNT, GRANTS
from domain.identity.client import CLIENT
from domain.identity.events import (
    AddressVerified,
    ClientRegistered,
    KeyIssued,
    KeyRevoked,
    PasswordChanged,
    PasswordReset,
    RefreshReuseDetected,
    SessionOpened,
    SessionRevoked,
    SigningKeyRotated,
)
from domain.identity.external import EXTERNAL
from domain.identity.session import SESSION
from domain.identity.signing_key import SIGNING_KEY
from domain.inventory import locations, stock_refusals
from domain.inventory.events import BackorderPolicySet
from domain.inventory.locations import LOCATIONS
from domain.inventory.stock_item import STOCK
from domain.mail import mail
from domain.mail.mail import MAIL as MAILS
from domain.mail.templates import DISPATCH_OVERDUE, OF_ORDERS
from domain.money import AmountTooLarge
from domain.ordering import credit_note, holding, lines, order
from domain.ordering.credit_note import CREDIT_NOTE
from domain.ordering.events import PaymentAdded, PaymentExpiryScheduled, PurchaseBegun, PurchaseUnwound
from domain.ordering.order import ORDER
from domain.ordering.purchase import PURCHASE
from domain.payments import refusals as payment_refusals
from domain.payments.events import CreditExpiryScheduled
from domain.payments.order_credit import ORDER_CREDIT
from domain.payments.payment import PAYMENT
from domain.payments.store_credit import STORE_CREDIT
from domain.pricing import coupon, price, promotion, quote, redemption, tax_table, window
from domain.pricing.coupon import COUPON
from domain.pricing.customer_group import CUSTOMER_GROUP
from domain.pricing.price import PRICES
from domain.pricing.price_lists import PRICE_LISTS
from domain.pricing.promotion import PROMOTION
from domain.pricing.redemption import REDEMPTION
from domain.pricing.tax_table import TAX_TABLE
from domain.quantity import QuantityOutOfRange
from domain.shipping import shipment
from domain.shipping.shipment import SHIPMENT
from projections.cart import folds as cart_folds
from projections.catalogue import folds as catalogue_folds
from projections.customers import folds as customer_folds
from projections.identity import folds as identity_folds
from projections.inventory import folds as inventory_folds
from projections.mail import folds as mail_folds
from projections.ordering import folds as ordering_folds
from projections.ordering import history, sales
from projections.payments import folds as payment_folds
from projections.pricing import folds as pricing_folds
from projections.shipping import folds as shipping_folds
from runtime.settings import Settings


@contextlib.asynccontextmanager
async def _recipients(settings: Settings) -> AsyncIterator[Recipients]:
    from commands import order_contacts
    from commands.identity import address_book

    async with address_book.opened(settings) as accounts, order_contacts.opened(settings) as orders:
        of_orders: dict[str, Recipients] = {template.name: orders for template in OF_ORDERS}
        warehouse = {DISPATCH_OVERDUE.name: FixedAddress(settings.mail_warehouse)}
        yield ByTemplate(accounts, of_orders | warehouse)


ORDERING: Final = Context(
    name="ordering",
    aggregates=(ORDER, CREDIT_NOTE, PURCHASE),
    commands="commands.ordering:router",
    processes=(FULFILMENT, RESTOCK, PURCHASES),
    views=(*ordering_folds.VIEWS, *history.VIEWS, *sales.VIEWS),
    measures=history.MEASURES,
    queries="read_api.ordering:QUERIES",
    problems=(
        order.OrderUnknown,
        order.OrderIdTaken,
        order.AlreadyRejected,
        order.AlreadyShipped,
        order.AlreadyCancelled,
        order.NotConfirmed,
        order.OrderIsHeld,
        holding.NothingReserved,
        credit_note.CreditNoteIdTaken,
        credit_note.CreditedInAnotherCurrency,
        credit_note.CreditedToAnotherCustomer,
        credit_note.CreditedInAnotherCountry,
        credit_note.MoreCreditedThanShipped,
        lines.UnknownSku,
        lines.NoListPrice,
        AmountTooLarge,
    ),
    unshown={
        CREDIT_NOTE: "it is shown in sums only, and its one event is all there is to it",
        PURCHASE: "it is what the process of an order remembers; order and payment show what came of it",
        PurchaseBegun: "as PURCHASE",
        PaymentAdded: "as PURCHASE",
        PaymentExpiryScheduled: "as PURCHASE",
        PurchaseUnwound: "as PURCHASE",
    },
)

INVENTORY: Final = Context(
    name="inventory",
    aggregates=(STOCK, LOCATIONS),
    commands="commands.inventory:router",
    views=inventory_folds.VIEWS,
    queries="read_api.inventory:QUERIES",
    problems=(
        stock_refusals.NotStocked,
        stock_refusals.InsufficientStock,
        locations.LocationUnknown,
        locations.LocationClosed,
        locations.TooManyLocations,
    ),
    unshown={
        BackorderPolicySet: "the events of the stock item show it",
        LOCATIONS: "they are one list",
    },
)

CATALOGUE: Final = Context(
    name="catalogue",
    aggregates=(PRODUCT, LISTING, CATEGORY, CHANNEL),
    commands="commands.catalogue:router",
    views=catalogue_folds.VIEWS,
    queries="read_api.catalogue:QUERIES",
    problems=(
        product.ProductUnknown,
        product.SkuTaken,
        product.PriceWithoutCurrency,
        slugs.SlugTaken,
        listing.ListingUnknown,
        listing.ListingIdTaken,
        listing.ProductArchived,
        listing.OptionsTaken,
        listing.VariantUnknown,
        listing.TooManyVariants,
        listing.TooManyMedia,
        listing.NotPublishable,
        category.CategoryUnknown,
        category.CategoryIdTaken,
        category.CategoryCycle,
        category.CategoryTooDeep,
        channel.ChannelUnknown,
        channel.ChannelIdTaken,
    ),
)

PRICING: Final = Context(
    name="pricing",
    aggregates=(PRICES, PRICE_LISTS, CUSTOMER_GROUP, TAX_TABLE, PROMOTION, COUPON, REDEMPTION),
    commands="commands.pricing.quotes:router",
    views=pricing_folds.VIEWS,
    queries="read_api.pricing:QUERIES",
    problems=(
        price.PriceIdTaken,
        price.PriceUnknown,
        price.OverlappingPrice,
        price.TooManyPrices,
        tax_table.TooManyRates,
        tax_table.MissingTaxRate,
        quote.PriceMissing,
        window.EmptyWindow,
        promotion.PromotionIdTaken,
        promotion.PromotionUnknown,
        promotion.MalformedPromotion,
        coupon.CouponCodeTaken,
        coupon.CouponUnknown,
        coupon.CouponExhausted,
        coupon.CouponNotApplicable,
        redemption.RedemptionIdTaken,
        redemption.RedemptionUnknown,
    ),
    unshown={REDEMPTION: "what is left of its coupon is shown with the coupon"},
)

CART: Final = Context(
    name="cart",
    aggregates=(CARTS,),
    commands="commands.cart.checking_out:router",
    processes=(CARTS_LEFT,),
    views=cart_folds.VIEWS,
    queries="read_api.cart:QUERIES",
    problems=(
        cart_refusals.CartUnknown,
        cart_refusals.CartIdTaken,
        cart_refusals.CartIsClosed,
        cart_refusals.CartFrozen,
        cart_refusals.CheckoutOver,
        cart_refusals.NotTheBuyer,
        cart_refusals.ShippingNotOffered,
        cart_refusals.CartEmpty,
        cart_refusals.CountryMissing,
        cart_refusals.CartHasCustomer,
        cart_refusals.CartHasCoupon,
        cart_refusals.CartsInTwoCurrencies,
        cart_refusals.SameCart,
        cart_refusals.LineUnknown,
        cart_refusals.TooManyLines,
        cart_refusals.PriceChanged,
        cart_refusals.NotOffered,
        QuantityOutOfRange,
    ),
)

TOTALS: Final = Context(name="totals", queries="read_api.totals:QUERIES")

SHIPPING: Final = Context(
    name="shipping",
    aggregates=(SHIPMENT,),
    commands="commands.shipping:router",
    processes=(LABELS,),
    gateways=(CARRIER,),
    views=shipping_folds.VIEWS,
    queries="read_api.shipping:QUERIES",
    problems=(
        shipment.NotShipped,
        shipment.NothingToSend,
        shipment.LabelNotAwaited,
        shipment.NotUnderWay,
        shipment.NotLost,
        shipment.SettledOtherwise,
    ),
)

PAYMENTS: Final = Context(
    name="payments",
    aggregates=(PAYMENT, STORE_CREDIT, ORDER_CREDIT),
    commands="commands.store_credit:router",
    processes=(CREDIT_EXPIRY, CREDIT_HOLDS),
    gateways=(PROVIDER,),
    receiver="commands.gateways.payment.webhooks:RECEIVER",
    views=payment_folds.VIEWS,
    queries="read_api.payments:QUERIES",
    problems=(
        payment_refusals.PaymentUnknown,
        payment_refusals.PaymentIdTaken,
        payment_refusals.CaptureIdTaken,
        payment_refusals.RefundIdTaken,
        payment_refusals.AttemptInProgress,
        payment_refusals.NotAuthorised,
        payment_refusals.AuthorisationExpired,
        payment_refusals.AmountExceedsDue,
        payment_refusals.AmountExceedsCapturable,
        payment_refusals.AmountExceedsRefundable,
        payment_refusals.OrderNotPayable,
        payment_refusals.PaymentIsClosed,
        payment_refusals.CaptureInProgress,
        payment_refusals.ManuallyPaid,
        payment_refusals.Declined,
        payment_refusals.CardNumberGiven,
        payment_refusals.RefundDoesNotAddUp,
        payment_refusals.RefundBeyondOrder,
        payment_refusals.WebhookTooEarly,
        payment_refusals.InsufficientCredit,
        payment_refusals.CreditIdTaken,
        payment_refusals.CreditHoldIdTaken,
        payment_refusals.CreditHoldUnknown,
        payment_refusals.CreditHoldSettled,
        payment_refusals.NobodyToCredit,
    ),
    unshown={
        CreditExpiryScheduled: "each credit is shown with when it expires, and timers are a view",
        ORDER_CREDIT: "it is shown in the history of the order, and by its customer's store credit",
    },
)

CUSTOMERS: Final = Context(
    name="customers",
    aggregates=(CUSTOMER,),
    commands="commands.customers:router",
    processes=(CLOSING,),
    gateways=(ERASURE,),
    views=customer_folds.VIEWS,
    queries="read_api.customers:QUERIES",
    problems=(
        customer.CustomerUnknown,
        customer.CustomerIdTaken,
        customer.RecordIsClosed,
        customer.CustomerErased,
        customer.AddressIdTaken,
        customer.TooManyAddresses,
        customer.TooManyMerged,
        customer.HasAnAccount,
        customer.MergedWithItself,
        customer.HoldStands,
        customer.OrdersOpen,
    ),
)

MAIL: Final = Context(
    name="mail",
    aggregates=(MAILS,),
    commands="commands.mail.copies:router",
    processes=(ORDER_MAILS,),
    gateways=(mail_gateway.gateway(_recipients),),
    views=mail_folds.VIEWS,
    queries="read_api.mail:QUERIES",
    problems=(mail.MailUnknown, mail.MailUnanswered, mail.MailHasLink),
)

IDENTITY: Final = Context(
    name="identity",
    aggregates=(ACCOUNT, GRANTS, SESSION, CLIENT, EXTERNAL, SIGNING_KEY),
    processes=(SECURITY_NOTICES,),
    views=identity_folds.VIEWS,
    queries="read_api.identity:QUERIES",
    problems=(
        account.EmailTaken,
        account.AccountIdTaken,
        account.AccountUnknown,
        account.LastOwner,
        external.ProviderNotLinked,
        external.LastLogin,
        client.ClientIdTaken,
        client.ClientUnknown,
        client.KeyUnknown,
        client.TooManyKeys,
    ),
    unshown={
        GRANTS: "roles are shown with the account",
        SESSION: "its events are read by auditors; what is valid now is in the vault",
        CLIENT: "its events are read by auditors; a view of clients is still to come",
        SIGNING_KEY: "auditors read its one event; which keys are trusted now is in the vault",
        SigningKeyRotated: "as SIGNING_KEY",
        EXTERNAL: "providers are shown with the account",
        ClientRegistered: "no view shows clients yet",
        KeyIssued: "no view shows clients yet",
        KeyRevoked: "no view shows clients yet",
        PasswordChanged: "which password is valid is in the vault",
        PasswordReset: "as PasswordChanged",
        AddressVerified: "no view says anything of an address",
        SessionOpened: "as SESSION",
        SessionRevoked: "as SESSION",
        RefreshReuseDetected: "as SESSION",
    },
)

SHOP_CONTEXTS: Final = (
    ORDERING,
    INVENTORY,
    CATALOGUE,
    CART,
    PRICING,
    TOTALS,
    SHIPPING,
    PAYMENTS,
    CUSTOMERS,
    MAIL,
    IDENTITY,
)
"""Routes are tried one after another, so what is asked most often stands first."""

CONTEXTS: Final = Contexts(*SHOP_CONTEXTS, OPERATIONS, SECURITY)
"""What an installation has for which no others are named."""
