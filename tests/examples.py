"""Facts to begin a test with: one ordinary case of each, in which a test changes only what it is about.

All examples tell of one order: 3 pieces of `85123A` on two lines and a postage service, 12.65 pounds in all.
"""

from datetime import UTC, datetime
from typing import Any, TypeVar

from msgspec.structs import replace

from domain.catalogue.events import PriceChanged, ProductCreated
from domain.event import Event
from domain.identity.events import (
    AccountLocked,
    AccountRegistered,
    AccountUnlocked,
    ClientRegistered,
    ExternalIdentityLinked,
    KeyIssued,
    KeyRevoked,
    PasswordChanged,
    RefreshReuseDetected,
    RoleGranted,
    RoleRevoked,
    SessionOpened,
    SessionRevoked,
)
from domain.ids import AccountId, ClientId, CreditNoteId, CustomerId, OrderId, SessionId, Sku
from domain.inventory.events import (
    StockAdjusted,
    StockReceived,
    StockReleased,
    StockReserved,
    StockReturned,
    StockShipped,
)
from domain.mail.events import (
    MailAccepted,
    MailFailed,
    MailId,
    MailRequested,
    MailSuppressed,
    MailUnconfirmed,
)
from domain.money import Currency, Minor, UnitPrice
from domain.operations.events import (
    DropRequested,
    EventSkipped,
    PauseRequested,
    PromotionRequested,
    RebuildRequested,
    ResumeRequested,
    RetryRequested,
    RollbackRequested,
)
from domain.ordering.events import (
    ROUNDED_BY_LINE,
    Contact,
    CreditLine,
    CreditNoteIssued,
    OrderCancelled,
    OrderConfirmed,
    OrderLine,
    OrderPlaced,
    OrderRejected,
    OrderShipped,
    PaymentTerms,
    ShippedSku,
    Shortage,
    SkuTotal,
)
from domain.ordering.lines import LineRequest
from domain.shipping.events import Content, LabelBought, LabelRefused, LabelRequested
from tests import cart_examples, context_examples, customer_examples, security_examples

E = TypeVar("E", bound=Event)

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
LONG_AGO = datetime(2010, 12, 1, 8, 26, tzinfo=UTC)
SKU, POSTAGE = Sku("85123A"), Sku("POST")
ORDER = OrderId("536365")
NOTE = CreditNoteId("C536379")
CUSTOMER = CustomerId("17850")
GBP = Currency("GBP")
COUNTRY = "United Kingdom"

REQUESTS = (
    LineRequest(sku=SKU, quantity=2, unit_price=UnitPrice("2.55"), stocked=True),
    LineRequest(sku=POSTAGE, quantity=1, unit_price=UnitPrice("5"), stocked=False),
    LineRequest(sku=SKU, quantity=1, unit_price=UnitPrice("2.550"), stocked=True),
)
CODES = (
    SkuTotal(sku=SKU, units=3, total=Minor(765), stocked=True),
    SkuTotal(sku=POSTAGE, units=1, total=Minor(500), stocked=False),
)


def changed(event: E, changes: dict[str, Any]) -> E:
    """The example with some fields otherwise."""
    return replace(event, **changes)


def product_created(**changes: Any) -> ProductCreated:
    example = ProductCreated(
        sku=SKU,
        title="WHITE HANGING HEART T-LIGHT HOLDER",
        stocked=True,
        unit_price=UnitPrice("2.55"),
        currency=GBP,
        created_at=NOW,
    )
    return changed(example, changes)


def price_changed(**changes: Any) -> PriceChanged:
    example = PriceChanged(
        sku=SKU, unit_price=UnitPrice("2.95"), currency=GBP, previous=UnitPrice("2.55"), changed_at=NOW
    )
    return changed(example, changes)


def stock_received(**changes: Any) -> StockReceived:
    return changed(StockReceived(sku=SKU, quantity=10, reference="delivery 7", received_at=NOW), changes)


def stock_adjusted(**changes: Any) -> StockAdjusted:
    return changed(
        StockAdjusted(sku=SKU, delta=-1, reason="damage", note="dropped", adjusted_at=NOW), changes
    )


def stock_reserved(**changes: Any) -> StockReserved:
    return changed(StockReserved(sku=SKU, order_id=ORDER, quantity=3, reserved_at=NOW), changes)


def stock_released(**changes: Any) -> StockReleased:
    return changed(
        StockReleased(sku=SKU, order_id=ORDER, quantity=3, reason="cancelled", released_at=NOW), changes
    )


def stock_shipped(**changes: Any) -> StockShipped:
    return changed(StockShipped(sku=SKU, order_id=ORDER, quantity=3, shipped_at=NOW), changes)


def stock_returned(**changes: Any) -> StockReturned:
    example = StockReturned(sku=SKU, credit_note_id=NOTE, quantity=1, disposition="sellable", returned_at=NOW)
    return changed(example, changes)


def _line(line_id: int, *, sku: Sku, quantity: int, unit_price: str, total: int) -> OrderLine:
    return OrderLine(
        line_id=line_id,
        sku=sku,
        quantity=quantity,
        unit_price=UnitPrice(unit_price),
        total=Minor(total),
        stocked=sku == SKU,
    )


LINES = (
    _line(1, sku=SKU, quantity=2, unit_price="2.55", total=510),
    _line(2, sku=POSTAGE, quantity=1, unit_price="5", total=500),
    _line(3, sku=SKU, quantity=1, unit_price="2.550", total=255),
)

CONTACT = Contact(
    name=customer_examples.sealed("Ada Lovelace"),
    email=customer_examples.sealed("ada@example.org"),
    address=customer_examples.sealed("12 St James's Square"),
)


def placed(**changes: Any) -> OrderPlaced:
    example = OrderPlaced(
        order_id=ORDER,
        customer_id=CUSTOMER,
        contact=None,
        placed_at=LONG_AGO,
        country=COUNTRY,
        currency=GBP,
        lines=LINES,
        total=Minor(1265),
        rounding=ROUNDED_BY_LINE,
        payment=None,
    )
    return changed(example, changes)


def confirmed(**changes: Any) -> OrderConfirmed:
    example = OrderConfirmed(
        order_id=ORDER,
        customer_id=CUSTOMER,
        placed_at=LONG_AGO,
        country=COUNTRY,
        currency=GBP,
        lines=3,
        skus=CODES,
        units=4,
        total=Minor(1265),
        confirmed_at=NOW,
    )
    return changed(example, changes)


def rejected(**changes: Any) -> OrderRejected:
    missing = (Shortage(sku=SKU, requested=3, available=1),)
    example = OrderRejected(order_id=ORDER, reason="stock", missing=missing, rejected_at=NOW)
    return changed(example, changes)


def cancelled(**changes: Any) -> OrderCancelled:
    example = OrderCancelled(
        order_id=ORDER,
        reason="customer",
        was_confirmed=True,
        customer_id=CUSTOMER,
        placed_at=LONG_AGO,
        country=COUNTRY,
        currency=GBP,
        lines=3,
        skus=CODES,
        units=4,
        total=Minor(1265),
        cancelled_at=NOW,
    )
    return changed(example, changes)


def shipped(**changes: Any) -> OrderShipped:
    codes = (ShippedSku(sku=SKU, quantity=3),)
    return changed(OrderShipped(order_id=ORDER, skus=codes, shipped_at=NOW), changes)


def credit_note_issued(**changes: Any) -> CreditNoteIssued:
    line = CreditLine(
        line_id=1, sku=SKU, quantity=1, unit_price=UnitPrice("2.55"), total=Minor(255), stocked=True
    )
    example = CreditNoteIssued(
        credit_note_id=NOTE,
        order_id=ORDER,
        customer_id=CUSTOMER,
        issued_at=LONG_AGO,
        country=COUNTRY,
        currency=GBP,
        lines=(line,),
        skus=(SkuTotal(sku=SKU, units=1, total=Minor(255), stocked=True),),
        units=1,
        total=Minor(255),
    )
    return changed(example, changes)


def event_skipped(**changes: Any) -> EventSkipped:
    example = EventSkipped(
        consumer="order_details",
        shape=1,
        partition_key="order-1",
        position=17,
        actor="operator:jo",
        reason="a line of it was written by hand",
        skipped_at=NOW,
    )
    return changed(example, changes)


def retry_requested(**changes: Any) -> RetryRequested:
    example = RetryRequested(
        consumer="order_details",
        partition_key="order-1",
        position=17,
        actor="operator:jo",
        reason="the fold is repaired",
        requested_at=NOW,
    )
    return changed(example, changes)


def rebuild_requested(**changes: Any) -> RebuildRequested:
    example = RebuildRequested(
        view="order_details", actor="operator:jo", reason="a fold was repaired", requested_at=NOW
    )
    return changed(example, changes)


def promotion_requested(**changes: Any) -> PromotionRequested:
    example = PromotionRequested(
        view="order_details", shape=1, build=2, actor="operator:jo", reason="verified", requested_at=NOW
    )
    return changed(example, changes)


def rollback_requested(**changes: Any) -> RollbackRequested:
    example = RollbackRequested(
        view="order_details", shape=1, build=1, actor="operator:jo", reason="wrong totals", requested_at=NOW
    )
    return changed(example, changes)


def drop_requested(**changes: Any) -> DropRequested:
    example = DropRequested(
        view="order_details", shape=1, build=1, actor="operator:jo", reason="", requested_at=NOW
    )
    return changed(example, changes)


def label_requested(**changes: Any) -> LabelRequested:
    example = LabelRequested(
        order_id=ORDER,
        attempt=1,
        country=COUNTRY,
        contents=(Content(sku=SKU, quantity=3),),
        requested_at=NOW,
    )
    return changed(example, changes)


def label_bought(**changes: Any) -> LabelBought:
    example = LabelBought(
        order_id=ORDER, attempt=1, label_id="L-000017", tracking="CF000000017GB", bought_at=NOW
    )
    return changed(example, changes)


def label_refused(**changes: Any) -> LabelRefused:
    return changed(
        LabelRefused(order_id=ORDER, attempt=1, reason="no service to there", refused_at=NOW), changes
    )


def mail_requested(**changes: Any) -> MailRequested:
    example = MailRequested(
        mail_id=MailId("m-1"),
        template="password-changed",
        template_version=1,
        recipient_ref="a-7",
        parameters={"at": "2010-12-01 08:26 UTC"},
        requested_at=NOW,
    )
    return changed(example, changes)


def mail_accepted(**changes: Any) -> MailAccepted:
    example = MailAccepted(
        mail_id=MailId("m-1"), message_id="<3f2a@shop.example>", handovers=1, accepted_at=NOW
    )
    return changed(example, changes)


def mail_failed(**changes: Any) -> MailFailed:
    example = MailFailed(mail_id=MailId("m-1"), permanent=True, reason="550 5.1.1", failed_at=NOW)
    return changed(example, changes)


def mail_suppressed(**changes: Any) -> MailSuppressed:
    example = MailSuppressed(mail_id=MailId("m-1"), reason="expired", suppressed_at=NOW)
    return changed(example, changes)


def mail_unconfirmed(**changes: Any) -> MailUnconfirmed:
    example = MailUnconfirmed(
        mail_id=MailId("m-1"), message_id="<3f2a@shop.example>", handovers=2, unconfirmed_at=NOW
    )
    return changed(example, changes)


def account_registered(**changes: Any) -> AccountRegistered:
    example = AccountRegistered(
        account_id=AccountId("a-1"), email_digest="5f" * 16, credential_id="c-1", registered_at=NOW
    )
    return changed(example, changes)


def role_granted(**changes: Any) -> RoleGranted:
    return changed(RoleGranted(account_id=AccountId("a-1"), role="owner", granted_at=NOW), changes)


def role_revoked(**changes: Any) -> RoleRevoked:
    return changed(RoleRevoked(account_id=AccountId("a-1"), role="owner", revoked_at=NOW), changes)


def password_changed(**changes: Any) -> PasswordChanged:
    return changed(PasswordChanged(account_id=AccountId("a-1"), credential_id="c-2", changed_at=NOW), changes)


def account_locked(**changes: Any) -> AccountLocked:
    return changed(AccountLocked(account_id=AccountId("a-1"), locked_at=NOW), changes)


def account_unlocked(**changes: Any) -> AccountUnlocked:
    return changed(AccountUnlocked(account_id=AccountId("a-1"), unlocked_at=NOW), changes)


def session_opened(**changes: Any) -> SessionOpened:
    example = SessionOpened(
        session_id=SessionId("s-1"),
        account_id=AccountId("a-1"),
        credential_id="c-1",
        client_id="shop",
        opened_at=NOW,
        expires_at=NOW,
    )
    return changed(example, changes)


def refresh_reuse_detected(**changes: Any) -> RefreshReuseDetected:
    example = RefreshReuseDetected(
        session_id=SessionId("s-1"), account_id=AccountId("a-1"), sequence=3, detected_at=NOW
    )
    return changed(example, changes)


def external_identity_linked(**changes: Any) -> ExternalIdentityLinked:
    example = ExternalIdentityLinked(
        account_id=AccountId("a-1"), provider="google", identity_digest="9f86d081884c7d65", linked_at=NOW
    )
    return changed(example, changes)


def session_revoked(**changes: Any) -> SessionRevoked:
    example = SessionRevoked(
        session_id=SessionId("s-1"), account_id=AccountId("a-1"), cause="reuse", revoked_at=NOW
    )
    return changed(example, changes)


def client_registered(**changes: Any) -> ClientRegistered:
    example = ClientRegistered(
        client_id=ClientId("till-1"), name="Till 1", scopes=("orders:place",), registered_at=NOW
    )
    return changed(example, changes)


def key_issued(**changes: Any) -> KeyIssued:
    example = KeyIssued(client_id=ClientId("till-1"), credential_id="k-1", issued_at=NOW, expires_at=None)
    return changed(example, changes)


def key_revoked(**changes: Any) -> KeyRevoked:
    return changed(KeyRevoked(client_id=ClientId("till-1"), credential_id="k-1", revoked_at=NOW), changes)


def pause_requested(**changes: Any) -> PauseRequested:
    example = PauseRequested(consumer="timers", actor="operator:jo", reason="", requested_at=NOW)
    return changed(example, changes)


def resume_requested(**changes: Any) -> ResumeRequested:
    example = ResumeRequested(consumer="timers", actor="operator:jo", reason="", requested_at=NOW)
    return changed(example, changes)


ONE_OF_EACH: tuple[Event, ...] = (
    product_created(),
    price_changed(),
    stock_received(),
    stock_adjusted(),
    stock_reserved(),
    stock_released(),
    stock_shipped(),
    stock_returned(),
    placed(contact=CONTACT, payment=PaymentTerms(method_ref="pm_visa"), tax=cart_examples.taxed(85, 83, 42)),
    confirmed(),
    rejected(),
    cancelled(),
    shipped(),
    credit_note_issued(),
    label_requested(),
    label_refused(),
    label_bought(),
    mail_requested(),
    mail_accepted(),
    mail_failed(),
    mail_suppressed(),
    mail_unconfirmed(),
    client_registered(),
    key_issued(),
    key_revoked(),
    account_registered(),
    role_granted(),
    role_revoked(),
    password_changed(),
    account_locked(),
    account_unlocked(),
    session_opened(),
    refresh_reuse_detected(),
    session_revoked(),
    external_identity_linked(),
    *security_examples.OF_KEYS,
    event_skipped(),
    retry_requested(),
    rebuild_requested(),
    promotion_requested(),
    rollback_requested(),
    drop_requested(),
    pause_requested(),
    resume_requested(),
    *context_examples.ONE_OF_EACH,
)
