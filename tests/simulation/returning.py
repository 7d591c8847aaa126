"""Money that goes back: refunds by line, of shipping and by hand, what banks dispute, and what they send back."""

from commands import payments
from tests.simulation.accountant import AMOUNT_MAX, SERVICES
from tests.simulation.credit_books import CreditBooks


class Returning(CreditBooks):
    """Each is refused where more would go back than there is, of the payment or of the line that it is for."""

    def refund(self):
        """Some of it goes back, for whichever reason and by whichever way; or more than may."""
        order = self.some(lambda each: any(p["captured"] for p in each["payments"].values()))
        if order is None:
            return
        payment_id = self.chance.choice([n for n, p in order["payments"].items() if p["captured"]])
        payment = order["payments"][payment_id]
        kind = self.chance.choice(("whole", "part", "lines", "lines", "lines", "shipping", "hand"))
        amount, lines, shipped = self._wanted(order, kind, refundable(payment))
        if not 0 < amount <= AMOUNT_MAX:
            return
        to = "hand" if kind == "hand" else self.chance.choice(("original", "store_credit"))
        said = {"refund_id": f"r{self.shop.number()}", "amount": amount, "reason": "return"}
        if to == "hand":
            done = self.shop.ask(payments.record_manual_refund, payment_id, **said, method="cash")
        else:
            named = [{"line_id": n, "quantity": q, "amount": a} for n, q, a in lines]
            parts = {"lines": named, "shipping": shipped, "to": to}
            done = self.shop.ask(payments.refund_payment, payment_id, **said, **parts)
        fits = (
            amount <= refundable(payment)
            and self._may_go_back(order, lines, shipped)
            and not (payment["kind"] == "hand" and to == "original")
            and not (to == "store_credit" and order["buyer"] is None)
        )
        assert (done is not None) is fits, (kind, to, amount, lines, shipped, order, self.shop.refusal)
        self.seen[f"refund {kind} {'done' if fits else 'refused'}"] += 1
        if fits:
            parts = [] if to == "hand" else [*lines, (0, 0, shipped)]
            order["parts"].extend(parts)
            self._enter(order, payment, amount, to, parts)
            if to != "hand":
                self.refund_rest(order, payment)

    def _enter(self, order, payment, amount, to, parts):
        """What went back by hand, or to store credit, lies at the provider still; but it is the buyer's."""
        payment["refunded"] += amount
        payment["refunds"].append({"amount": amount, "parts": parts})
        account = {"hand": "till", "original": "provider", "store_credit": "store_credit"}[to]
        self.move(account, "buyer", amount, order["currency"])
        if to == "store_credit":
            self._expire(order["buyer"])
            self._owe(order["buyer"], order["currency"], amount)

    def _wanted(self, order, kind, left):
        """How much is to go back, of which lines, and how much of it as shipping."""
        match kind:
            case "lines":
                lines = self._lines(order)
                return sum(amount for *_, amount in lines), lines, 0
            case "shipping":
                costs = [total for sku, _, total in order["lines"] if sku in SERVICES and total]
                amount = self.chance.choice((1, *costs))
                return amount, [], amount
            case "part":
                return max(1, left // 3), [], 0
            case "hand":
                return left + self.chance.choice((0, 0, 1)), [], 0
        return max(1, left), [], 0

    def _lines(self, order):
        """Some pieces of some lines; their part of what the line cost, rounded down, or what is left of it."""
        lines = []
        numbers = self.chance.sample(
            range(1, len(order["lines"]) + 1), self.chance.randint(1, min(3, len(order["lines"])))
        )
        for n in numbers:
            _, pieces, total = order["lines"][n - 1]
            quantity = self.chance.choice((1, pieces, max(1, pieces // 3)))
            amount = total * quantity // pieces
            if self.chance.random() < 0.4:
                amount = total - sum(a for m, _, a in order["parts"] if m == n)
            if self.chance.random() < 0.05:
                amount += 1
            lines.append((n, quantity, max(0, amount)))
        return lines

    def _may_go_back(self, order, lines, shipped):
        """No more of a line than there is of it; shipping as such, or as its lines, and not twice."""
        parts = [*order["parts"], *lines]
        for n, _, _ in lines:
            _, pieces, total = order["lines"][n - 1]
            if (
                sum(q for m, q, _ in parts if m == n) > pieces
                or sum(a for m, _, a in parts if m == n) > total
            ):
                return False
        services = {n: t for n, (sku, _, t) in enumerate(order["lines"], start=1) if sku in SERVICES}
        if not shipped and not services.keys() & {n for n, *_ in lines}:
            return True
        back = shipped + sum(a for n, _, a in parts if n in services or n == 0)
        return back <= sum(services.values())

    def refund_rest(self, order, payment):
        """Once an order is off, all that is left goes back to its method, unless that was sent back."""
        back = refundable(payment)
        is_off = order["is_off"] and order["method"] and payment["kind"] == "provider"
        if back and is_off and not payment["is_sent_back"]:
            self._enter(order, payment, back, "original", None)

    def dispute(self):
        """A bank takes a part back, until it has decided."""
        there = self.shop.provider.authorisations
        found = [reference for reference, each in there.items() if each.left]
        if not found:
            return
        reference = self.chance.choice(found)
        amount = self.chance.choice((1, there[reference].left))
        self.shop.provider.dispute(reference, amount)
        order, payment = self._of(there[reference].payment)
        payment["disputed"] += amount
        self.move("provider", "disputes", amount, order["currency"])
        self.seen["disputed"] += 1

    def end_dispute(self):
        """It decides; what the shop has again goes back if the order is off."""
        disputes = self.shop.provider.disputes
        if not disputes:
            return
        name, won = self.chance.choice(list(disputes)), self.chance.random() < 0.5
        reference, amount = disputes[name]
        order, payment = self._of(self.shop.provider.authorisations[reference].payment)
        self.shop.provider.end_dispute(name, won=won)
        payment["disputed"] -= amount
        payment["lost"] += 0 if won else amount
        self.move("disputes", "provider" if won else "losses", amount, order["currency"])
        if won:
            self.refund_rest(order, payment)

    def take_back(self):
        """The bank of the buyer sends a refund back: nothing of it went back."""
        found = list(self.shop.provider.reversible)
        if not found:
            return
        key = self.chance.choice(found)
        operation = self.shop.provider.operations[key]
        order, payment = self._of(operation.payment)
        refund = payment["refunds"][int(key.rpartition(":")[2]) - 1]
        assert refund["amount"] == operation.amount
        self.shop.provider.reverse(key)
        payment["refunded"] -= operation.amount
        payment["is_sent_back"] |= refund["parts"] is None
        for part in refund["parts"] or ():
            order["parts"].remove(part)
        self.move("buyer", "provider", operation.amount, order["currency"])
        self.seen["reversed"] += 1

    def _of(self, payment_id):
        return next(
            (each, each["payments"][payment_id])
            for each in self.orders.values()
            if payment_id in each.get("payments", {})
        )


def refundable(payment):
    left = payment["captured"] - payment["refunded"] - payment["disputed"] - payment["lost"]
    return max(0, left)
