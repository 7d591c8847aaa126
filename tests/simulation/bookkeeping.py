"""What becomes of the money of orders, in books that are kept by what was asked for."""

from collections import Counter, defaultdict
from datetime import UTC, timedelta, timezone
from fractions import Fraction

from commands import ordering, payments, shipping
from tests.simulation.accountant import AMOUNT_MAX, BUYERS, CATEGORIES, SERVICES
from tests.simulation.comparing import Comparing
from tests.simulation.returning import refundable
from tests.simulation.shop_provider import HELD_FOR
from tests.simulation.tariff import MINOR

GIVEN = ("0", "0.005", "0.015", "0.335", "1.115", "2.5", "1234567.8915")
"""Prices that orders and credit notes name themselves."""
WAITED_S_MAX = HELD_FOR.total_seconds() / 2


class Bookkeeper(Comparing):
    """Orders are paid, sent, lost, called off, refunded and credited; after each act all books are compared."""

    def __init__(self, seed):
        super().__init__(seed)
        self.waited_s = 0
        self.customers = defaultdict(Counter)
        self.skus = defaultdict(Counter)
        self.days = defaultdict(Counter)
        self.quarters = defaultdict(Counter)

    def act(self):
        """One thing of all that happens in a shop."""
        does = self.chance.choices(
            [
                self.sell,
                self.given,
                self.pay,
                self.ship,
                self.cancel,
                self.refund,
                self.credit,
                self.lose,
                self.goodwill,
                self.capture,
                self.void,
                self.dispute,
                self.end_dispute,
                self.take_back,
                self.settle_hold,
                self.wait,
                self.set_price,
                self.promote,
                self.end_promotion,
                self.tax,
            ],
            [8, 2, 7, 5, 2, 8, 3, 1, 2, 2, 2, 2, 1, 1, 3, 2, 3, 1, 0.5, 0.5],
        )
        does[0]()
        self.rest()
        for order in self.orders.values():
            if order.get("method") and order["payments"][order["id"]]["void"]:
                order["lifted"] = order["lifted"] or self._covers(order, order["payments"][order["id"]])
        self.check()

    def rest(self):
        """Process managers and the provider do all that there is to do."""
        while not self.shop.has_ended() or self.shop.intents or self.shop.provider.webhooks:
            self.shop.go_on()
            self.note()

    def sell(self):
        order = self.buy()
        if order is not None:
            self._begin(order)

    def given(self):
        """An order of prices that were given, of a time long ago perhaps."""
        currency, at = (
            self.currency(),
            self.shop.clock.now - timedelta(minutes=self.chance.randint(0, 500_000)),
        )
        lines = [
            {
                "sku": sku,
                "quantity": self.chance.choice((1, 3, 7, 10_000)),
                "unit_price": self.chance.choice(GIVEN),
            }
            for sku in self.chance.choices(list(CATEGORIES), k=self.chance.randint(1, 40))
        ]
        buyer = self.chance.choice((None, *BUYERS))
        order_id = f"o{self.shop.number()}"
        priced = [(each["sku"], each["quantity"], _amount(each, currency)) for each in lines]
        total = sum(amount for *_, amount in priced)
        said = {"order_id": order_id, "customer_id": buyer, "country": "Italy", "currency": currency}
        abroad = at.astimezone(timezone(timedelta(minutes=self.chance.choice((0, -300, 345, 840)))))
        placed = self.shop.ask(ordering.place_order, **said, lines=lines, placed_at=abroad)
        assert (placed is None) is (total > AMOUNT_MAX), (total, self.shop.refusal)
        if placed is None:
            return
        order = {
            "id": order_id,
            "buyer": buyer,
            "country": "Italy",
            "currency": currency,
            "total": total,
            "lines": priced,
            "method": None,
            "placed_at": at,
            "coupon": None,
        }
        self.orders[order_id] = order
        self._begin(order)

    def _begin(self, order):
        order.update(
            status="confirmed",
            payments={},
            holds={},
            returned=0,
            credited=Counter(),
            parts=[],
            lost=None,
            is_off=False,
            lifted=False,
        )
        self._act_at(order["placed_at"], order, "placed")
        asked_at = self.shop.clock.now
        self.rest()
        # Another quarter of an hour may have begun meanwhile.
        confirmed_at = self.row("order_details", order["id"]).confirmed_at
        assert asked_at <= confirmed_at <= self.shop.clock.now, order
        self._act_at(confirmed_at, order, "confirmed")
        self._count(order, 1)
        if order["method"]:
            order["payments"][order["id"]] = _payment(order["total"], held=order["total"])

    def _act_at(self, at, order, what):
        at = at.astimezone(UTC)
        at = at.replace(minute=at.minute // 15 * 15, second=0, microsecond=0)
        self.quarters[at, order["currency"]][what] += 1
        self.quarters[at, order["currency"]][f"{what}_total"] += order["total"]

    def _count(self, order, sign):
        units = sum(number for _, number, _ in order["lines"])
        said = {
            "orders": sign,
            "lines": sign * len(order["lines"]),
            "units": sign * units,
            "revenue": sign * order["total"],
        }
        day = order["placed_at"].astimezone(UTC).date(), order["country"], order["currency"]
        self.days[day].update(said)
        if order["buyer"]:
            self.customers[order["buyer"], order["currency"]].update(said)
        for sku in {sku for sku, *_ in order["lines"]}:
            mine = [line for line in order["lines"] if line[0] == sku]
            self.skus[sku, order["currency"]].update(
                {
                    "orders": sign,
                    "units": sign * sum(n for _, n, _ in mine),
                    "revenue": sign * sum(t for *_, t in mine),
                }
            )

    # Payments.

    def _due(self, order):
        covered = sum(
            each["captured"] if each["void"] else each["amount"] for each in order["payments"].values()
        )
        covered += sum(
            each["amount"] for each in order["holds"].values() if each["status"] in {"held", "spent"}
        )
        return order["total"] - covered

    def pay(self):
        order = self.some(lambda each: self._due(each) > 0 or self.chance.random() < 0.05)
        if order is None:
            return
        due, payable = self._due(order), not order["is_off"]
        amount = self.chance.choice((None, None, 1, max(1, due // 3), max(1, due), due + 1))
        amount = None if amount is None else min(amount, AMOUNT_MAX)
        wanted = due if amount is None else amount
        fits = payable and 0 < wanted <= due
        kind = self.chance.choice(("hand", "provider", "credit", "credit"))
        if kind == "credit":
            self.pay_by_credit(order, amount, due)
            return
        payment_id = f"y{self.shop.number()}"
        said = {"payment_id": payment_id, "order_id": order["id"], "amount": amount}
        if kind == "hand":
            paid = self.shop.ask(payments.record_manual_payment, **said, method="cash")
        else:
            paid = self.shop.ask(payments.create_payment, **said, method_ref="pm_visa", capture="auto")
        assert (paid is not None) is fits, (order, due, amount, self.shop.refusal)
        if not fits:
            return
        made = _payment(wanted, captured=wanted, kind=kind)
        order["payments"][payment_id] = made
        if kind == "provider":
            self.must(payments.authorise_payment, payment_id)
        self.move("buyer", "till" if kind == "hand" else "provider", wanted, order["currency"])
        self.seen[f"paid {kind}"] += 1

    def ship(self):
        order = self.some(lambda each: each["status"] == "confirmed")
        if order is None:
            return
        shipped = self.shop.ask(ordering.ship_order, order["id"])
        assert (shipped is not None) is self._is_paid(order), (order, self.shop.refusal)
        self.seen["shipped" if shipped else "held"] += 1
        if shipped is None:
            return
        order["status"] = "shipped"
        own = order["payments"].get(order["id"])
        if own and own["held"]:
            self.move("buyer", "provider", own["held"], order["currency"])
            own["captured"], own["held"] = own["captured"] + own["held"], 0

    def _is_paid(self, order):
        """Whether an order that was placed with a method may leave: its own payment is there, or others are no less."""
        own = order["payments"].get(order["id"]) if order["method"] else None
        if own is None or not own["void"] or own["captured"] >= own["amount"]:
            return True
        # What went back after that holds no order; what is not kept any more does.
        return order["lifted"] or self._covers(order, own)

    @staticmethod
    def _covers(order, own):
        others = [each for each in order["payments"].values() if each is not own]
        kept = sum(each["amount"] for each in order["holds"].values() if each["status"] in {"held", "spent"})
        return kept + sum(map(refundable, others)) >= own["amount"] - own["captured"]

    def _own(self, holds):
        order = self.some(lambda each: each["method"] and holds(each, each["payments"][each["id"]]))
        return (None, None) if order is None else (order, order["payments"][order["id"]])

    def capture(self):
        """Staff have a part taken before the order leaves."""
        order, own = self._own(lambda _, own: own["held"])
        if order is None:
            return
        amount = self.chance.choice(
            (1, max(1, own["held"] // 3), own["held"], min(own["held"] + 1, AMOUNT_MAX))
        )
        captured = self.shop.ask(
            payments.capture_payment, order["id"], capture_id=f"x{self.shop.number()}", amount=amount
        )
        assert (captured is not None) is (amount <= own["held"]), (order, amount, self.shop.refusal)
        if captured:
            own["captured"] += amount
            own["held"] -= amount
            self.move("buyer", "provider", amount, order["currency"])

    def void(self):
        """Finance has the rest released: others have to pay it."""
        order, own = self._own(lambda _, own: own["held"])
        if order is not None:
            self.must(payments.void_payment, order["id"])
            own["held"], own["void"] = 0, True

    def cancel(self):
        order = self.some(lambda each: each["status"] == "confirmed")
        if order is None:
            return
        self.must(ordering.cancel_order, order["id"], reason="customer")
        order["status"], order["is_off"] = "cancelled", True
        self._act_at(self.shop.clock.now, order, "cancelled")
        self._count(order, -1)
        self._let_go(order)
        if order["coupon"]:
            code, amount = order["coupon"]
            self.uses[code] -= 1
            self.uses[code, order["buyer"]] -= 1
            self.coupon_sums[code] -= amount
            self.tariff.spent[self.tariff.coupons[code]] -= amount

    def _let_go(self, order):
        self.give_credit_back(order)
        for payment in order["payments"].values() if order["method"] else ():
            if payment["held"]:
                payment["held"], payment["void"] = 0, True
            self.refund_rest(order, payment)

    def lose(self):
        order = self.some(lambda each: each["status"] == "shipped" and each["lost"] is None)
        if order is None or all(sku in SERVICES for sku, *_ in order["lines"]):
            return
        self.must(shipping.record_manual_label, order["id"], tracking=f"t{self.shop.number()}")
        self.must(shipping.record_parcel_loss, order["id"], reason="carrier")
        remedy = self.chance.choice(("refund", "replacement"))
        self.must(shipping.settle_parcel_loss, order["id"], remedy=remedy)
        order["lost"] = remedy
        if remedy == "refund":
            order["is_off"] = True
            self._let_go(order)
        self.seen[f"lost {remedy}"] += 1

    def credit(self):
        """A credit note for pieces that were shipped, at a price of its own."""
        order = self.some(lambda each: each["status"] == "shipped")
        if order is None:
            return
        shipped = Counter()
        for sku, number, _ in order["lines"]:
            shipped[sku] += number
        lines = [
            {
                "sku": sku,
                "quantity": self.chance.choice((1, 3, shipped[sku])),
                "unit_price": self.chance.choice(GIVEN),
            }
            for sku in self.chance.choices(list(shipped), k=self.chance.randint(1, 3))
        ]
        wanted = Counter()
        for line in lines:
            wanted[line["sku"]] += line["quantity"]
        amounts = [_amount(line, order["currency"]) for line in lines]
        fits = (
            all(n <= shipped[sku] - order["credited"][sku] for sku, n in wanted.items())
            and sum(amounts) <= AMOUNT_MAX
        )
        at = self.shop.clock.now - timedelta(minutes=self.chance.randint(0, 3_000))
        said = {
            "order_id": order["id"],
            "country": order["country"],
            "currency": order["currency"],
            "lines": lines,
        }
        issued = self.shop.ask(ordering.issue_credit_note, **said, issued_at=at)
        assert (issued is not None) is fits, (order, lines, self.shop.refusal)
        if not fits:
            return
        self.seen["credit notes"] += 1
        order["credited"] += wanted
        day = at.astimezone(UTC).date(), order["country"], order["currency"]
        self.days[day].update({"credit_notes": 1, "credit_lines": len(lines), "credited": sum(amounts)})
        if order["buyer"]:
            self.customers[order["buyer"], order["currency"]].update(
                {"credit_notes": 1, "credited": sum(amounts)}
            )
        for line, amount in zip(lines, amounts, strict=True):
            self.skus[line["sku"], order["currency"]].update(
                {"credited_units": line["quantity"], "credited": amount}
            )

    def wait(self):
        """Time passes, but no amount is held for so long that it is not held any more; timers fire that are due."""
        seconds = self.chance.choice((60, 900, 7_200, 50_000, 200_000))
        if self.waited_s + seconds > WAITED_S_MAX:
            return
        self.waited_s += seconds
        self.shop.pass_time(seconds)
        self.rest()
        while due := [each for each in self.shop.timers if self._is_due_timer(each)]:
            self.shop.fire(*min(due, key=self.shop.timers.get))
            self.rest()
        for buyer, currency in list(self.credits):
            self._live(buyer, currency)

    def _is_due_timer(self, timer):
        return timer[0].after is None and self.shop.timers[timer] <= self.shop.clock.now


def _payment(amount, *, captured=0, held=0, kind="provider"):
    """What is known of a payment. Parts of `refunds` are None where the shop had it go back by itself."""
    return {
        "amount": amount,
        "captured": captured,
        "held": held,
        "kind": kind,
        "void": False,
        "refunded": 0,
        "disputed": 0,
        "lost": 0,
        "is_sent_back": False,
        "refunds": [],
    }


def _amount(line, currency):
    return round(line["quantity"] * Fraction(line["unit_price"]) * MINOR[currency])
