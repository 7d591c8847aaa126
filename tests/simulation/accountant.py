"""An accountant does business with a shop at random, and keeps books of what was asked of it, never of its events."""

import itertools
import random
from collections import Counter
from datetime import timedelta

import msgspec

from commands import catalogue, inventory
from commands.cart import checking_out, filling
from commands.decision import DecisionView
from commands.pricing import prices, promotions, quotes
from counterfoil.testing.spec import fold_into
from domain.cart.cart import CART
from domain.rejection import Rejection
from projections.cart.folds import cart_details
from projections.ordering.folds import order_details
from projections.ordering.history import order_history
from projections.ordering.sales import VIEWS as SUMS
from projections.payments.folds import VIEWS as PAYMENTS
from projections.pricing.folds import coupon_details
from runtime.problems import ProblemError
from tests.simulation.shop import Shop, done
from tests.simulation.tariff import MINOR, Tariff

VIEWS = (cart_details, order_details, order_history, coupon_details, *SUMS, *PAYMENTS)
AMOUNT_MAX = 1_000_000_000_000
"""Minor units that one document costs at most, as the page of ordering says."""
CURRENCIES = tuple(MINOR)
COUNTRIES = ("Italy", "Texas", "Mixed", "Nowhere")
CATEGORIES = {"A": "standard", "B": "reduced", "C": "zero", "D": "standard", "GIFT": "reduced"}
"""What is sold, and how its listing says that it is taxed; of D there is no listing."""
POST = "POST"
SERVICES = ("GIFT", POST)
BUYERS = ("c1", "c2", "g1")
PRICES = (
    *(
        "0",
        "0.00000001",
        "0.004",
        "0.005",
        "0.01",
        "0.0275",
        "0.335",
        "0.5",
        "1",
        "1.005",
        "1.5",
        "2.5",
        "2.55",
    ),
    *("3.333", "19.99", "1234.5678", "999999.99"),
)
DEAREST = "999999999.99999999"
ROUNDINGS = tuple(itertools.product(("half_even", "half_up", "half_down"), ("line", "unit")))


class Kept(Shop):
    """A shop that says why it refuses something, and answers quotes."""

    refusal = None
    """Of what was asked last."""

    def ask(self, command, *named, by=None, **said):
        """See `Shop`; why it was refused is its `refusal`."""
        Kept.refusal = None
        return super().ask(command, *named, by=by, **said)

    async def answered(self, answer):
        """See `Asking`."""
        return answer(DecisionView(self.held, self._answered))

    def quote(self, **said):
        """A quote, or the type of what it is refused by."""

        class Asking:
            now = self.clock.now
            ask = self.answered

        try:
            return done(
                quotes.quote_cart(quotes.QuoteCart.model_validate_json(msgspec.json.encode(said)), Asking())
            )
        except Rejection as refused:
            return type(refused).__name__

    @staticmethod
    def _recorded(command):
        try:
            return done(command)
        except (Rejection, ProblemError) as refused:
            Kept.refusal = refused.code if isinstance(refused, ProblemError) else type(refused).__name__
            return None


class Accountant:
    """Everything that is bought is compared with a tariff of its own; see `Bookkeeping` for what becomes of it."""

    def __init__(self, seed):
        self.chance = random.Random(seed)
        self.shop = Kept(seed)
        self.shop.calm = True
        self.shop.pass_time(self.chance.randint(0, 400 * 86_400))
        self._usual = self.chance.choice(CURRENCIES)
        self.tariff = Tariff()
        self.rows = {view.name: {} for view in VIEWS}
        self.orders = {}
        self.limits = {}
        """How often coupons may be redeemed, by code."""
        self.uses = Counter()
        """Redemptions that count, by code, and by code and buyer; and what they take off, by code."""
        self.coupon_sums = Counter()
        self.balances = Counter()
        """What each account has in each currency."""
        self.seen = Counter()
        """What happened how often: a run in which little did shows nothing."""
        self._open()

    def must(self, command, *named, **said):
        answer = self.shop.ask(command, *named, **said)
        assert answer is not None, (command.__name__, named, said, self.shop.refusal)
        return answer

    def note(self):
        """Have the views take in what was recorded."""
        for event in self.shop.note():
            for view in VIEWS:
                fold_into(self.rows[view.name], view=view, events=(event,))

    def some(self, holds):
        """One of the orders of which something holds, if there is any."""
        found = [each for each in self.orders.values() if "status" in each and holds(each)]
        return self.chance.choice(found) if found else None

    def move(self, of, to, amount, currency):
        """One account gives what another one gets."""
        self.balances[of, currency] -= amount
        self.balances[to, currency] += amount

    def currency(self):
        """Most is sold in one of them."""
        return self._usual if self.chance.random() < 0.8 else self.chance.choice(CURRENCIES)

    def row(self, view, *key):
        return self.rows[view].get(key)

    # The shop.

    def _open(self):
        for sku in (*CATEGORIES, POST):
            price, currency = self.chance.choice(PRICES), self.currency()
            stocked = sku not in SERVICES
            self.must(
                catalogue.create_product,
                sku=sku,
                title=sku,
                stocked=stocked,
                unit_price=price,
                currency=currency,
            )
            self.tariff.catalogue[sku] = price, currency
            if stocked:
                self.must(inventory.receive_stock, sku, quantity=9_000_000)
        for sku, category in CATEGORIES.items():
            if sku == "D":
                continue
            self.must(
                catalogue.create_listing,
                listing_id=f"l-{sku}",
                slug=f"l-{sku.lower()}",
                titles={"en": sku},
                tax_category=category,
            )
            self.must(catalogue.add_variant, f"l-{sku}", sku=sku)
            self.tariff.categories[sku] = category
        self.tariff.lists = [("trade", "resellers"), ("retail", None)]
        lists = [{"list_id": name, "group": group} for name, group in self.tariff.lists]
        self.must(prices.choose_price_lists, "web", lists=lists)
        self.must(prices.set_customer_group, "c1", group="resellers")
        self.tariff.groups["c1"] = "resellers"
        self._rates()
        for _ in range(self.chance.randint(6, 30)):
            self.set_price()
        for _ in range(self.chance.randint(0, 6)):
            self.promote()

    def _rates(self):
        for country, held in (("Italy", True), ("Texas", False), ("Mixed", None)):
            for category in ("standard", "reduced", "zero"):
                included = self.chance.random() < 0.5 if held is None else held
                self.tax(country, category, included)

    def tax(self, country=None, category=None, included=None):
        """A rate holds from now on."""
        country = country or self.chance.choice(COUNTRIES[:-1])
        category = category or self.chance.choice(("standard", "reduced", "zero"))
        if included is None:
            included = self.chance.random() < 0.5
        rate_bp = (
            0
            if category == "zero"
            else self.chance.choice((0, 1, 550, 825, 1_000, 1_900, 2_200, 10_000, 3_333))
        )
        self.must(prices.set_tax_rate, country, tax_category=category, rate_bp=rate_bp, included=included)
        rate = country, category, self.shop.clock.now
        # The same moment again corrects.
        self.tariff.rates = [each for each in self.tariff.rates if each[:3] != rate]
        self.tariff.rates.append((*rate, rate_bp, included))

    def set_price(self):
        """A list has a price; what overlaps is retired first."""
        sku, list_id = self.chance.choice((*CATEGORIES, POST)), self.chance.choice(("trade", "retail"))
        tier, currency = self.chance.choice((1, 1, 3, 10)), self.currency()
        now = self.shop.clock.now
        for each in self.tariff.prices:
            same = (each["sku"], each["list_id"], each["min_quantity"]) == (sku, list_id, tier)
            if same and each["retired_at"] is None:
                self.must(prices.retire_price, sku, price_id=each["price_id"])
                each["retired_at"] = now
        price = self.chance.choice(PRICES) if self.chance.random() < 0.97 else DEAREST
        until = None if self.chance.random() < 0.7 else now + timedelta(hours=self.chance.randint(1, 50))
        found = {
            "price_id": f"p{self.shop.number()}",
            "list_id": list_id,
            "unit_price": price,
            "currency": currency,
            "min_quantity": tier,
        }
        self.must(prices.set_price, sku, **found, valid_until=until)
        self.tariff.prices.append(
            {**found, "sku": sku, "valid_from": now, "valid_until": until, "retired_at": None}
        )

    def promote(self):
        """A promotion is defined, with a coupon or without."""
        chance, now = self.chance, self.shop.clock.now
        action = chance.choice(
            (
                {"kind": "percent_bp", "percent_bp": chance.choice((1, 333, 1_000, 3_333, 5_000, 10_000))},
                {"kind": "fixed", "amount": chance.choice((1, 2, 7, 100, 500, 9_999_999))},
                {"kind": "free_shipping"},
                {"kind": "bxgy", "buy": chance.randint(1, 3), "get": chance.randint(1, 2)},
            )
        )
        rule = {
            "skus": chance.choice(([], [], ["A"], ["A", "B"], ["GIFT"])),
            "min_amount": chance.choice((0, 0, 100, 5_000)),
            "min_quantity": chance.choice((1, 1, 2, 5)),
        }
        stacking = chance.choice(("combine", "combine", "exclusive", "best_in_group", "best_in_group"))
        needs_coupon = chance.random() < 0.4
        terms = {
            "currency": self.currency(),
            "rule": rule,
            "action": action,
            "stacking": stacking,
            "group": "g" if stacking == "best_in_group" else None,
            "priority": chance.randint(-1, 1),
            "needs_coupon": needs_coupon,
            "budget": chance.choice((None, 0, 50, 100_000)) if needs_coupon else None,
            "valid_from": now - timedelta(hours=chance.choice((0, 0, 0, 0, 1, -2))),
            "valid_until": chance.choice((None, None, None, now + timedelta(hours=9))),
        }
        name = f"promo{self.shop.number()}"
        self.must(promotions.define_promotion, promotion_id=name, **terms)
        self.tariff.promotions[name] = {**terms, "is_ended": False}
        if needs_coupon:
            limits = {"limit": chance.choice((None, 1, 2)), "per_customer": chance.choice((None, 1))}
            self.must(promotions.create_coupon, code=f"CODE{name}", promotion_id=name, **limits)
            self.tariff.coupons[f"CODE{name}".upper()] = name
            self.limits[f"CODE{name}".upper()] = limits

    def end_promotion(self):
        """One takes nothing off any more."""
        live = [name for name, terms in self.tariff.promotions.items() if not terms["is_ended"]]
        if live:
            name = self.chance.choice(live)
            self.must(promotions.end_promotion, name)
            self.tariff.promotions[name]["is_ended"] = True

    # Sales.

    def buy(self):
        """A cart is filled, quoted, checked out, and is an order; its id, if it is one."""
        chance, at = self.chance, self.shop.clock.now
        buyer, currency, country = chance.choice(BUYERS), self.currency(), chance.choice(COUNTRIES)
        cart_id = self.must(filling.open_cart, currency=currency, by=buyer).identifier
        pieces = {}
        for sku in chance.sample(list(CATEGORIES), chance.randint(1, 5)):
            number = chance.choice((1, 1, 2, 3, 3, 7, 10, 100, 10_000))
            offer = self.tariff.price(sku, number, currency=currency, buyer=buyer, at=at)
            added = self.shop.ask(filling.add_item, cart_id, sku=sku, quantity=number, by=buyer)
            assert (added is not None) is (offer is not None), (sku, number, offer, self.shop.refusal)
            if offer is not None:
                pieces[sku] = number
        if not pieces:
            return None
        post = self._ship_by(cart_id, buyer, currency) if chance.random() < 0.7 else None
        if chance.random() < 0.3:
            self._change(cart_id, pieces, buyer, currency)
        code = chance.choice([None, *self.tariff.coupons])
        priced = [(sku, number, self._price(sku, number, currency, buyer)) for sku, number in pieces.items()]
        said = {"shipping": post, "currency": currency, "country": country, "at": self.shop.clock.now}
        bill = self.tariff.bill(priced, **said, code=code)
        code = self._apply(cart_id, bill, code, buyer)
        if code is None:
            bill = self.tariff.bill(priced, **said, code=None)
        self._compare_cart(cart_id, bill, code, {**said, "country": "Nowhere", "code": None})
        self._compare_quote(bill, code, currency, country, buyer)
        other = self.tariff.bill(priced, **said, code=code, rounding=self.chance.choice(ROUNDINGS))
        if code is None or self.tariff.coupons[code] in other.promotions:
            self._compare_quote(other, code, currency, country, buyer)
        return self._check_out(cart_id, bill, code, buyer, country)

    def _ship_by(self, cart_id, buyer, currency):
        offer = self.tariff.price(POST, 1, currency=currency, buyer=buyer, at=self.shop.clock.now)
        chosen = self.shop.ask(checking_out.choose_shipping, cart_id, option_id=POST, by=buyer)
        assert (chosen is not None) is (offer is not None), (offer, self.shop.refusal)
        return None if offer is None else (POST, offer[0])

    def _change(self, cart_id, pieces, buyer, currency):
        """Fewer or more of the first line; its buyer agrees to what that costs."""
        sku, number = next(iter(pieces)), self.chance.choice((1, 3, 9, 12))
        offer = self.tariff.price(sku, number, currency=currency, buyer=buyer, at=self.shop.clock.now)
        if offer is None:
            return
        self.must(filling.change_quantity, cart_id, line_id=1, quantity=number, by=buyer)
        agreed = [{"sku": sku, "unit_price": offer[0]}]
        self.must(filling.reprice_cart, cart_id, agreed=agreed, by=buyer)
        pieces[sku] = number

    def _price(self, sku, number, currency, buyer):
        """What a piece costs, of so many."""
        offer = self.tariff.price(sku, number, currency=currency, buyer=buyer, at=self.shop.clock.now)
        return None if offer is None else offer[0]

    def _apply(self, cart_id, bill, code, buyer):
        """Whether the coupon is taken is what the tariff says."""
        if code is None:
            return None
        name, limits = self.tariff.coupons[code], self.limits[code]
        reason = bill.refused.get(name)
        used_up = (limits["limit"] is not None and self.uses[code] >= limits["limit"]) or (
            limits["per_customer"] is not None and self.uses[code, buyer] >= limits["per_customer"]
        )
        applied = self.shop.ask(checking_out.apply_coupon, cart_id, code=code.lower(), by=buyer)
        assert (applied is None) is (reason is not None or used_up), (
            code,
            reason,
            used_up,
            self.shop.refusal,
        )
        self.seen["coupon" if applied else f"coupon {reason or 'used up'}"] += 1
        return code if applied else None

    def _compare_cart(self, cart_id, bill, code, said):
        """A cart shows what its coupon takes off by its terms alone, and no tax."""
        self.note()
        row = self.row("cart_details", cart_id)
        assert [(line.sku, line.quantity, line.total) for line in row.lines] == [
            (line.sku, line.quantity, line.amount) for line in bill.items
        ]
        alone = 0
        if code is not None:
            only, name = Tariff(), self.tariff.coupons[code]
            free = {"budget": None, "needs_coupon": False, "stacking": "combine", "group": None}
            only.promotions[name] = {**self.tariff.promotions[name], **free}
            given = [(line.sku, line.quantity, line.unit_price) for line in bill.items]
            alone = only.bill(given, **said).totals["discount"]
        whole = bill.totals["items"] + bill.totals["shipping"]
        assert (row.items, row.discount, row.total) == (bill.totals["items"], alone, whole - alone), row

    def _compare_quote(self, bill, code, currency, country, buyer):
        """A quote of the same, which may be rounded in another way."""
        mode, level = bill.rounding
        said = {
            "currency": currency,
            "channel": "web",
            "customer_id": buyer,
            "lines": [{"sku": line.sku, "quantity": line.quantity} for line in bill.items],
            "rounding": {"mode": mode, "level": level},
            "coupon": code,
        }
        if bill.is_taxed:
            said["jurisdiction"] = country
        if bill.has_shipping:
            category = self.tariff.categories.get(POST, "standard")
            said["shipping"] = {"amount": bill.totals["shipping"], "tax_category": category}
        quoted = self.shop.quote(**said)
        if self._is_too_large(bill):
            assert quoted == "AmountTooLarge", quoted
            return
        totals = {name: getattr(quoted.totals, name) for name in bill.totals}
        assert totals == bill.totals, (quoted, bill)
        assert quoted.totals.tax_remainder == bill.tax_remainder, (quoted, bill)
        assert {each.promotion_id: each.amount for each in quoted.promotions} == bill.promotions
        parts = [*quoted.lines, *(() if quoted.shipping is None else (quoted.shipping,))]
        assert [(each.discount, each.tax.amount, each.total) for each in parts] == [
            (line.off, line.tax, line.total) for line in bill.lines
        ]

    @staticmethod
    def _is_too_large(bill):
        return max(bill.totals["grand"], bill.totals["items"] + bill.totals["shipping"]) > AMOUNT_MAX

    def _check_out(self, cart_id, bill, code, buyer, country):
        chance = self.chance
        started = self.shop.ask(checking_out.start_checkout, cart_id, country=country, by=buyer)
        if self._is_too_large(bill):
            assert (started, self.shop.refusal) == (None, "AmountTooLarge"), (self.shop.refusal, bill)
            self.seen["too large"] += 1
            return None
        assert started is not None, (self.shop.refusal, bill)
        self.note()
        row = self.row("cart_details", cart_id)
        totals = {name: getattr(row.checkout.totals, name) for name in bill.totals}
        assert (totals, row.discount, row.total) == (
            bill.totals,
            bill.totals["discount"],
            bill.totals["grand"],
        )
        method = chance.choice((None, "pm_visa"))
        checkout = self.shop.now(CART, cart_id).checkout
        said = {"checkout_id": checkout.checkout_id, "method_ref": method}
        if chance.random() < 0.3:
            self.shop.pass_time(chance.randint(1, 800))
            if chance.random() < 0.3:
                self.tax()
        self.must(checking_out.check_out, cart_id, **said, by=buyer)
        if code is not None:
            name = self.tariff.coupons[code]
            self.uses[code] += 1
            self.uses[code, buyer] += 1
            self.coupon_sums[code] += bill.promotions[name]
            self.tariff.spent[name] = self.tariff.spent.get(name, 0) + bill.promotions[name]
        self.seen["orders"] += 1
        self.seen["free orders"] += not bill.totals["grand"]
        order = {
            "id": checkout.order_id,
            "buyer": buyer,
            "country": country,
            "currency": row.currency,
            "total": bill.totals["grand"],
            "lines": [(line.sku, line.quantity, line.total) for line in bill.lines],
            "method": method if bill.totals["grand"] else None,
            "placed_at": self.shop.clock.now,
            "coupon": None if code is None else (code, bill.promotions[self.tariff.coupons[code]]),
        }
        self.orders[order["id"]] = order
        self.note()
        self._compare_order(order, bill)
        return order

    def _compare_order(self, order, bill):
        row, history = self.row("order_details", order["id"]), self.row("order_history", order["id"])
        assert (row.total, row.units) == (order["total"], sum(line.quantity for line in bill.lines))
        assert [(line.sku, line.quantity, line.total) for line in row.lines] == order["lines"]
        off = {each.line_id: each.amount for each in history.discounts}
        assert off == {number: line.off for number, line in enumerate(bill.lines, start=1) if line.off}
        assert {each.promotion_id: each.amount for each in history.promotions} == bill.promotions
        if not bill.is_taxed:
            assert history.tax is None
            return
        taxes = [each.amount for each in history.tax.lines]
        assert taxes == [line.tax for line in bill.lines]
        assert (history.tax.amount, history.tax.included, history.tax.remainder) == (
            bill.totals["tax"],
            bill.totals["tax_included"],
            bill.tax_remainder,
        )
