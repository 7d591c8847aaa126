"""Store credit that was to pay for orders, from the events alone: what is to come back, and what stays spent."""

from domain.ordering import events as ordering
from domain.payments import events as paying
from domain.shipping import events as shipping

STEPS = {
    paying.CreditSpent: ("held", "spent"),
    paying.CreditReleased: ("held", "released"),
    paying.CreditReturned: ("spent", "returned"),
}
"""The status of a hold before each event and afterwards: so each comes once."""


class HeldCredit:
    """Holds and their status; `at_rest` says which should have come back."""

    def __init__(self):
        self.holds = {}
        """Order, amount and status, by customer and hold."""
        self.refunded = set()
        """Orders whose lost parcel was refunded."""
        self.problems = []
        self._off = set()
        self._due_back = set()
        """What was held or spent when its order was called off or refunded; only this is ever returned."""

    def enter(self, event):
        """Enter an event, if it is about any of this."""
        match event:
            case ordering.OrderCancelled() | ordering.OrderRejected():
                self._off.add(event.order_id)
                self._owe(event.order_id)
            case shipping.LossSettled(remedy="refund"):
                self.refunded.add(event.order_id)
                self._owe(event.order_id)
            case paying.CreditHeld():
                self._require_payable(event)
                self.holds[event.customer_id, event.hold_id] = event.order_id, event.amount, "held"
            case paying.CreditSpent() | paying.CreditReleased() | paying.CreditReturned():
                self._move(event)

    def of_customer(self, customer_id):
        """The holds of a customer."""
        return {hold_id: hold for (owner, hold_id), hold in self.holds.items() if owner == customer_id}

    def at_rest(self):
        """What customers should have back and have not."""
        for hold in self._due_back:
            order_id, amount, status = self.holds[hold]
            if status in {"held", "spent"}:
                yield f"{order_id} is off or refunded, and {amount} of store credit are {status} for it: {hold}"

    def _owe(self, order_id):
        kept = {
            hold
            for hold, (of_order, _, status) in self.holds.items()
            if of_order == order_id and status in {"held", "spent"}
        }
        self._due_back |= kept

    def _move(self, event):
        hold, (before, after) = (event.customer_id, event.hold_id), STEPS[type(event)]
        if self.holds[hold] != (event.order_id, event.amount, before):
            self.problems.append(f"{hold} is {self.holds[hold]}, and now {event}")
        if after == "spent":
            self._require_payable(event)
        if after == "returned" and hold not in self._due_back:
            self.problems.append(
                f"{event.order_id} is neither off nor refunded, and what was spent for it is returned: {event}"
            )
        self.holds[hold] = event.order_id, event.amount, after

    def _require_payable(self, event):
        if event.order_id in self._off | self.refunded:
            self.problems.append(f"{event.order_id} is off or refunded, and is paid: {event}")
