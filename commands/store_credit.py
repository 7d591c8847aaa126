"""Commands of store credit: issued, held for an order, and spent or released. Refunds issue it too."""

from typing import Final

from pydantic import ConfigDict, Field

from commands.crediting import with_orders
from commands.decision import Decision, DecisionView
from commands.documentation import Caller
from commands.payloads import Currency, Id, Moment, Payload
from commands.payments import Amount, payable, require_payable, router
from commands.recording import Answer
from commands.routing import command
from domain.ids import CreditHoldId, CreditId, CustomerId, OrderId
from domain.money import Minor
from domain.ordering.order import ORDER, OrderUnknown
from domain.payments import store_credit
from domain.payments.order_credit import ORDER_CREDIT
from domain.payments.refusals import (
    AmountExceedsDue,
    CardNumberGiven,
    CreditHoldIdTaken,
    CreditHoldSettled,
    CreditHoldUnknown,
    CreditIdTaken,
    InsufficientCredit,
    OrderNotPayable,
)
from domain.payments.store_credit import STORE_CREDIT, HoldOutcome, StoreCredit
from runtime.http.principal import Owned

_PATH: Final = "/store-credits/{customer_id}"


class IssueCredit(Payload):
    """How much the shop owes, and how long."""

    model_config = ConfigDict(
        json_schema_extra={"example": {"credit_id": "sorry-1", "currency": "GBP", "amount": 500}}
    )

    credit_id: Id
    currency: Currency
    amount: Amount
    expires_at: Moment | None = None


class HoldCredit(Payload):
    """For which order, and how much."""

    model_config = ConfigDict(json_schema_extra={"example": {"hold_id": "hold-1", "order_id": "536365"}})

    hold_id: Id
    order_id: Id
    amount: Amount | None = Field(
        default=None, description="Minor units; all that is due, or as much of it as there is, when absent."
    )


class SettleHold(Payload):
    """How a hold ends."""

    model_config = ConfigDict(json_schema_extra={"example": {"hold_id": "hold-1", "outcome": "spent"}})

    hold_id: Id
    outcome: HoldOutcome


@command(
    router,
    f"{_PATH}/credits",
    requires="payments:refund",
    refusals=(CreditIdTaken, CardNumberGiven),
)
async def issue_store_credit(customer_id: CustomerId, body: IssueCredit, caller: Caller) -> Answer:
    """Owe a customer an amount that pays for orders."""
    return await caller.execute(
        STORE_CREDIT,
        customer_id,
        lambda credit, _: store_credit.issue(
            credit,
            customer_id=customer_id,
            credit_id=CreditId(body.credit_id),
            currency=body.currency,
            amount=Minor(body.amount),
            expires_at=body.expires_at,
            now=caller.now,
        ),
    )


@command(
    router,
    f"{_PATH}/holds",
    requires=Owned("payments:pay"),
    refusals=(
        OrderUnknown,
        OrderNotPayable,
        AmountExceedsDue,
        InsufficientCredit,
        CreditHoldIdTaken,
        CardNumberGiven,
    ),
)
async def hold_store_credit(customer_id: CustomerId, body: HoldCredit, caller: Caller) -> Answer:
    """Keep store credit for an order of the same customer."""
    order_id = OrderId(body.order_id)

    def hold(credit: StoreCredit | None, view: DecisionView) -> Decision:
        view.prefetch(ORDER_CREDIT, (order_id,))
        of = payable(order_id, view, caller)
        if of.customer_id != customer_id:
            raise OrderUnknown(order_id=order_id)
        held = store_credit.hold(
            credit,
            customer_id=customer_id,
            hold_id=CreditHoldId(body.hold_id),
            of=of,
            amount=None if body.amount is None else Minor(body.amount),
            now=caller.now,
        )
        return Decision(with_orders(customer_id, held))

    return await caller.execute(STORE_CREDIT, customer_id, hold)


@command(
    router,
    f"{_PATH}/settlements",
    requires="payments:capture",
    refusals=(CreditHoldUnknown, CreditHoldSettled, OrderNotPayable),
)
async def settle_store_credit(customer_id: CustomerId, body: SettleHold, caller: Caller) -> Answer:
    """Spend what is held for an order, or release it. Nothing is spent for an order that is off, or was refunded."""
    hold_id = CreditHoldId(body.hold_id)

    def settle(credit: StoreCredit | None, view: DecisionView) -> Decision:
        held = None if credit is None else credit.holds.get(hold_id)
        if held is not None:
            view.prefetch(ORDER_CREDIT, (held.order_id,))
        if held is not None and held.status == "held" and body.outcome == "spent":
            require_payable(view.current(ORDER, held.order_id), view)
        settled = store_credit.settle(
            credit,
            customer_id=customer_id,
            hold_id=hold_id,
            outcome=body.outcome,
            now=caller.now,
        )
        return Decision(with_orders(customer_id, settled))

    return await caller.execute(STORE_CREDIT, customer_id, settle)
