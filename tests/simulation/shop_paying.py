"""Payments and store credit of orders, as rules of a state machine."""

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule

from commands import payments, store_credit
from domain.ordering.order import ORDER
from domain.payments.payment import PAYMENT
from tests.simulation.shop_choices import AMOUNTS, BUYERS, FEW, METHODS, SOME, chosen


class Paying(RuleBasedStateMachine):
    """Those who pay for orders, and staff who move the money; see `Shopping`."""

    @rule(
        some=SOME,
        amount=st.none() | AMOUNTS,
        what=st.sampled_from(("capture", "void", "refund", "credit", "by hand", "by hand")),
        times=st.integers(1, 2),
    )
    def move_money(self, some, amount, what, times):
        is_taken = what in {"refund", "credit", "by hand"}
        for payment_id in chosen(self.payments, some, self._has_refundable if is_taken else self._has_held):
            left = self.shop.now(PAYMENT, payment_id).refundable
            taken = min(amount or left, left) if is_taken else amount
            for _ in range(times):
                self._move(payment_id, what, taken)

    def _move(self, payment_id, what, amount):
        match what:
            case "capture":
                capture = {"capture_id": self.shop.number(), "amount": amount}
                self.shop.ask(payments.capture_payment, payment_id, **capture)
            case "void":
                self.void(payment_id)
            case "by hand":
                refund = {"refund_id": self.shop.number(), "amount": amount, "reason": "other"}
                self.shop.ask(payments.record_manual_refund, payment_id, **refund, method="cash")
            case _:
                to = "store_credit" if what == "credit" else "original"
                refund = {"refund_id": self.shop.number(), "amount": amount, "reason": "other"}
                self.shop.ask(payments.refund_payment, payment_id, **refund, to=to)

    def _is_due(self, order_id):
        return self.books.covered[order_id] < self.shop.now(ORDER, order_id).total

    def _has_held(self, payment_id):
        return self.shop.now(PAYMENT, payment_id).capturable

    def _has_refundable(self, payment_id):
        return self.shop.now(PAYMENT, payment_id).refundable

    @rule(some=SOME, amount=st.none() | AMOUNTS, capture=st.sampled_from(("manual", "auto", "till")))
    def pay_apart(self, some, amount, capture):
        """An order is paid by another payment than the one that it was placed with."""
        for order_id in chosen(self.orders, some, self._is_due):
            said = {"payment_id": f"p{self.shop.number()}", "order_id": order_id, "amount": amount}
            if capture == "till":
                self.shop.ask(payments.record_manual_payment, **said, method="cash")
            else:
                self.shop.ask(payments.create_payment, **said, method_ref="pm_visa", capture=capture)

    def void(self, payment_id):
        return self.shop.ask(payments.void_payment, payment_id)

    def pay_instead(self, order_id):
        """Two others pay for it, once its own payment is voided."""
        for amount in (100, None):
            said = {"payment_id": f"p{self.shop.number()}", "order_id": order_id, "amount": amount}
            if self.shop.ask(payments.create_payment, **said, method_ref="pm_visa"):
                self.shop.ask(payments.authorise_payment, said["payment_id"])

    @rule(some=SOME, method=st.sampled_from(METHODS))
    def pay_again(self, some, method):
        for payment_id in chosen(self.payments, some):
            self.shop.ask(payments.authorise_payment, payment_id, method_ref=method)

    @rule(
        some=SOME,
        buyer=st.sampled_from(BUYERS),
        amount=AMOUNTS,
        what=st.sampled_from(("issue", "hold", "hold, spent", "hold, released", "spent", "released")),
        days=st.none() | FEW,
    )
    def move_credit(self, some, buyer, amount, what, days):
        hold, _, outcome = what.partition(", ")
        if what == "issue":
            expires_at = None if days is None else f"2026-03-{days + 1:02}T00:00:00Z"
            credit = {"credit_id": self.shop.number(), "currency": "GBP", "amount": amount}
            self.shop.ask(store_credit.issue_store_credit, buyer, **credit, expires_at=expires_at)
        elif hold == "hold":
            for order_id in chosen(self.orders, some, self._is_due):
                self.pay_by_credit(order_id, outcome)
        else:
            for customer_id, hold_id in chosen(self.holds, some):
                self._settle(customer_id, hold_id, what)

    def pay_by_credit(self, order_id, outcome):
        """As much of an order as there is credit; it may be spent, or released, at once."""
        customer_id, hold_id = self.shop.now(ORDER, order_id).customer_id, self.shop.number()
        hold = {"hold_id": hold_id, "order_id": order_id}
        if self.shop.ask(store_credit.hold_store_credit, customer_id, **hold, by=customer_id):
            self.holds.append((customer_id, hold_id))
            if outcome:
                self._settle(customer_id, hold_id, outcome)

    def _settle(self, customer_id, hold_id, outcome):
        self.shop.ask(store_credit.settle_store_credit, customer_id, hold_id=hold_id, outcome=outcome)
