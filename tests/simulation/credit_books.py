"""Store credit in books of what was asked for: what is left of each credit, until when, and what is held for orders."""

from collections import defaultdict
from datetime import timedelta

from commands import store_credit
from tests.simulation.accountant import BUYERS, Accountant


class CreditBooks(Accountant):
    """Credit is issued, held for orders, spent, released, returned and expires."""

    def __init__(self, seed):
        super().__init__(seed)
        self.credits = defaultdict(list)
        """What is left of each credit and until when, by buyer and currency."""

    def goodwill(self):
        buyer, currency = self.chance.choice(BUYERS), self.currency()
        amount = self.chance.choice((1, 7, 50, 100_000))
        until = self.chance.choice((None, self.shop.clock.now + timedelta(hours=self.chance.randint(1, 30))))
        credit = {"credit_id": f"k{self.shop.number()}", "currency": currency, "amount": amount}
        self.must(store_credit.issue_store_credit, buyer, **credit, expires_at=until)
        self._expire(buyer)
        self._owe(buyer, currency, amount, until)
        self.move("store_credit", "goodwill", amount, currency)

    def _owe(self, buyer, currency, amount, until=None):
        self.credits[buyer, currency].append(
            {"left": amount, "until": until, "n": len(self.credits[buyer, currency])}
        )

    def _live(self, buyer, currency):
        now = self.shop.clock.now
        found = [each for each in self.credits[buyer, currency] if each["left"]]
        for each in found:
            if each["until"] is not None and each["until"] <= now:
                self.move("breakage", "store_credit", each["left"], currency)
                each["left"] = 0
        return [each for each in found if each["left"]]

    def _expire(self, buyer):
        """Any command about the credit of a customer has what is due expire."""
        for customer, currency in list(self.credits):
            if customer == buyer:
                self._live(buyer, currency)

    def pay_by_credit(self, order, amount, due):
        buyer, currency = order["buyer"], order["currency"]
        if buyer is None:
            return
        now = self.shop.clock.now
        live = [
            each
            for each in self.credits[buyer, currency]
            if each["left"] and (each["until"] is None or each["until"] > now)
        ]
        there = sum(each["left"] for each in live)
        wanted = min(due, there) if amount is None else amount
        fits = not order["is_off"] and 0 < wanted <= min(due, there)
        hold_id = f"h{self.shop.number()}"
        said = {"hold_id": hold_id, "order_id": order["id"], "amount": amount}
        held = self.shop.ask(store_credit.hold_store_credit, buyer, **said)
        assert (held is not None) is fits, (order, due, amount, there, self.shop.refusal)
        if not fits:
            return
        self._expire(buyer)
        parts, left = [], wanted
        for each in sorted(live, key=lambda each: (each["until"] is None, each["until"], each["n"])):
            part = min(left, each["left"])
            each["left"] -= part
            left -= part
            if part:
                parts.append((each, part))
        order["holds"][hold_id] = {"amount": wanted, "status": "held", "parts": parts}
        self.seen["paid credit"] += 1

    def settle_hold(self):
        order = self.some(lambda each: any(hold["status"] == "held" for hold in each["holds"].values()))
        if order is None:
            return
        hold_id = self.chance.choice([n for n, each in order["holds"].items() if each["status"] == "held"])
        outcome = self.chance.choice(("spent", "spent", "released"))
        said = {"hold_id": hold_id, "outcome": outcome}
        self.must(store_credit.settle_store_credit, order["buyer"], **said)
        self._expire(order["buyer"])
        hold = order["holds"][hold_id]
        if outcome == "spent":
            hold["status"] = "spent"
            self.move("buyer", "store_credit", hold["amount"], order["currency"])
        else:
            self._release(order, hold)

    def _release(self, order, hold):
        hold["status"], order["lifted"] = "released", False
        for credit, part in hold["parts"]:
            credit["left"] += part
        self._live(order["buyer"], order["currency"])

    def give_credit_back(self, order):
        for hold in order["holds"].values():
            if hold["status"] == "held":
                self._expire(order["buyer"])
                self._release(order, hold)
            elif hold["status"] == "spent":
                self._expire(order["buyer"])
                hold["status"] = "returned"
                self.move("store_credit", "buyer", hold["amount"], order["currency"])
                self._owe(order["buyer"], order["currency"], hold["amount"])
