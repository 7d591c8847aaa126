"""The books of a shop, kept by hand from the events alone, and what they say that the product does not.

Pieces and amounts are added up here in the plainest way; states of decisions, rows of views and the books of the
provider have to come to the same after every step.
"""

from collections import Counter, defaultdict

from commands.processes.credit_expiry import EXPIRY
from commands.processes.purchases import COLLECTED_AGAIN_AFTER
from counterfoil.testing.spec import fold_into
from domain.cart import events as cart
from domain.cart.cart import CART
from domain.ordering import events as ordering
from domain.ordering.order import ORDER, Status
from domain.ordering.purchase import PURCHASE, payment_of
from domain.payments import ending
from domain.payments import events as paying
from domain.payments.payment import OPEN, PAYMENT, MovementStep
from domain.payments.payment import Status as Authorisation
from domain.payments.store_credit import STORE_CREDIT
from domain.pricing import events as pricing
from projections.inventory import folds as inventory
from projections.payments import folds as payments
from projections.payments.ledger import LEDGER
from tests.simulation.shop_credit import HeldCredit
from tests.simulation.shop_prices import Prices
from tests.simulation.shop_stock import Stock

VIEWS = (*inventory.VIEWS, *payments.VIEWS)
MOVED = {
    paying.PaymentCaptured: {"captured": 1},
    paying.ManualPaymentRecorded: {"captured": 1, "by_hand": 1},
    paying.RefundSucceeded: {"refunded": 1},
    paying.ManualRefundRecorded: {"refunded": 1, "elsewhere": 1},
    paying.RefundReversed: {"refunded": -1, "reversed": 1},
    paying.ChargebackOpened: {"disputed": 1},
    paying.ChargebackWon: {"disputed": -1, "won": 1},
    paying.ChargebackLost: {"disputed": -1, "lost": 1},
}
"""What an event about a payment adds to its sums; what was refunded `elsewhere` the provider has still."""
COVERS = {
    paying.PaymentCreated: 1,
    paying.ManualPaymentRecorded: 1,
    paying.AuthorisationVoided: -1,
    paying.CreditHeld: 1,
    paying.CreditReleased: -1,
}
CREDIT = {
    paying.CreditIssued: {"owed": 1},
    paying.CreditSpent: {"owed": -1, "held": -1},
    paying.CreditExpired: {"owed": -1},
    paying.CreditHeld: {"held": 1},
    paying.CreditReleased: {"held": -1},
    paying.CreditReturned: {"owed": 1},
}

_FOLDING = defaultdict(list)
for _view in VIEWS:
    for _event in _view.folds:
        _FOLDING[_event].append(_view)


class Books:
    """Sums by SKU, payment, order and customer; `check` says what contradicts them."""

    def __init__(self, shop):
        self.shop = shop
        self.rows = {view.name: {} for view in VIEWS}
        self.stock = Stock(shop, self.rows)
        self.sums = defaultdict(Counter)
        """Amounts of payments."""
        self.covered = Counter()
        """What payments and store credit cover of orders."""
        self.credit = defaultdict(Counter)
        """Store credit, by customer and currency."""
        self.held_credit = HeldCredit()
        self.orders = {}
        """Orders as they were placed."""
        self.holds = defaultdict(set)
        """Why orders are not to be shipped."""
        self.lost = defaultdict(set)
        """SKUs of which nothing is reserved for an order any more."""
        self.prices = Prices()
        self.carts = defaultdict(set)
        """SKUs that somebody put into a cart and did not take out."""
        self.fixed = {}
        """What buyers were shown at the beginning of a checkout, by order."""
        self._touched = set()
        self._problems = []

    def take(self, events):
        """Enter events."""
        for event in events:
            for view in _FOLDING.get(type(event), ()):
                fold_into(self.rows[view.name], view=view, events=(event,))
            self.prices.enter(event)
            self.held_credit.enter(event)
            self._enter(event)

    def check(self):
        """What is wrong with all that the newest events are about."""
        touched, self._touched = self._touched, set()
        for kind, identifier in sorted(touched):
            yield from getattr(self, f"_{kind}")(identifier)
        if any(kind in {"payment", "customer"} for kind, _ in touched):
            yield from self._ledger()
        yield from self._problems
        yield from self.stock.problems
        yield from self.held_credit.problems
        yield from self.shop.problems
        yield from self.shop.provider.problems

    def at_rest(self):
        """What is wrong once nothing is left to do: stock or money that stays where it does not belong."""
        for order_id in self.orders:
            yield from self._order_at_rest(order_id)
        for payment_id in self.sums:
            yield from self._payment_at_rest(payment_id)
        for customer_id in {customer_id for customer_id, _ in self.credit}:
            over = [*_expiries(self.shop.now(STORE_CREDIT, customer_id))]
            if any(expires_at <= self.shop.clock.now for expires_at in over):
                yield f"{customer_id}: store credit is left whose time is over: {over}"
        yield from self.held_credit.at_rest()
        yield from self.shop.outcomes_amiss()

    # Entries.

    def _enter(self, event):
        match event:
            case cart.CheckoutStarted():
                self.fixed[event.order_id] = event.totals.grand
            case cart.ItemAdded():
                self.carts[event.cart_id].add(event.sku)
            case cart.ItemRemoved():
                self.carts[event.cart_id].discard(event.sku)
            case cart.CartsMerged():
                self.carts[event.cart_id] |= self.carts[event.source_id]
                self._touched.add(("cart", event.cart_id))
            case ordering.OrderPlaced():
                self.orders[event.order_id] = event
                self._touched |= {("placed", event.order_id), ("order", event.order_id)}
            case pricing.CouponRedeemed() | pricing.RedemptionReleased():
                self._touched.add(("coupon", event.code))
            case _:
                self._enter_hold(event)
                self._enter_pieces(event)
                self._enter_amount(event)

    def _enter_hold(self, event):
        match event:
            case ordering.OrderHeld():
                self.holds[event.order_id].add(event.reason)
            case ordering.HoldLifted():
                self.holds[event.order_id].discard(event.reason)
            case ordering.OrderStockLost():
                self.lost[event.order_id].add(event.sku)
            case ordering.OrderStockReplaced():
                self.lost[event.order_id].discard(event.sku)
            case ordering.OrderShipped():
                if self.holds[event.order_id] or self.lost[event.order_id]:
                    self._problems.append(f"{event.order_id} was shipped, and is held")
            case _:
                return
        self._touched.add(("order", event.order_id))

    def _enter_pieces(self, event):
        sku = self.stock.enter(event)
        if sku is None:
            return
        self._touched.add(("stock", sku))
        if getattr(event, "order_id", None) is not None:
            self._touched.add(("order", event.order_id))

    def _enter_amount(self, event):
        for name, sign in MOVED.get(type(event), {}).items():
            self.sums[event.payment_id][name] += sign * event.amount
        if isinstance(event, paying.RefundSucceeded | paying.RefundReversed) and event.to == "store_credit":
            self.sums[event.payment_id]["elsewhere"] += event.amount
        if type(event) in COVERS:
            self.covered[event.order_id] += COVERS[type(event)] * event.amount
            self._touched.add(("order", event.order_id))
        for name, sign in CREDIT.get(type(event), {}).items():
            self.credit[event.customer_id, event.currency][name] += sign * event.amount
            self._touched.add(("customer", event.customer_id))
        if isinstance(event, PAYMENT.events):
            self.sums[event.payment_id]["events"] += 1
            self._touched.add(("payment", event.payment_id))

    # What has to hold after every step.

    def _cart(self, cart_id):
        lines = {line.sku for line in self.shop.now(CART, cart_id).lines}
        if lines != self.carts[cart_id]:
            yield f"cart {cart_id} has {sorted(lines)} after a merge, not {sorted(self.carts[cart_id])}"

    def _placed(self, order_id):
        placed = self.orders[order_id]
        yield from self.prices.of_order(placed)
        if self.fixed.get(order_id, placed.total) != placed.total:
            yield f"{order_id} costs {placed.total}, and its buyer was shown {self.fixed[order_id]}"

    def _coupon(self, code):
        yield from self.prices.of_coupon(code)

    def _order(self, order_id):
        order, total = self.shop.now(ORDER, order_id), self.orders[order_id].total
        if not 0 <= self.covered[order_id] <= total:
            yield f"{self.covered[order_id]} of {total} are covered of {order_id}"
        if (self.holds[order_id], self.lost[order_id]) != (set(order.holds), set(order.lost)):
            yield f"{order_id} is held for {self.holds[order_id]}, {self.lost[order_id]} lost: {order}"
        if self.lost[order_id] and "stock" not in self.holds[order_id]:
            yield f"{order_id} has lost {self.lost[order_id]}, and is held for {self.holds[order_id]}"
        kept, waits = self.stock.kept_for(order_id), self.stock.waited_for_by(order_id)
        if order.status is Status.CONFIRMED and kept != self._wanted(order_id):
            yield f"{order_id} is confirmed, and {kept} are reserved, {waits} of it to come"
        if order.status is Status.CONFIRMED and waits and "stock" not in self.holds[order_id]:
            yield f"{order_id} waits for {waits}, and is held for {self.holds[order_id]}"

    def _wanted(self, order_id):
        """What is to be reserved for a confirmed order."""
        skus = {line.sku for line in self.orders[order_id].lines} - self.lost[order_id]
        return {sku: units for sku in skus if (units := self._demanded(order_id, sku))}

    def _stock(self, sku):
        yield from self.stock.of_sku(sku)
        promised, waiting = self.stock.promised[sku], self.stock.waiting[sku]
        for order_id in {*promised, *waiting}:
            units, waits = promised[order_id], waiting[order_id]
            if min(units, waits) < 0 or units + waits > self._demanded(order_id, sku):
                yield f"{sku}: {units} reserved for {order_id}, which waits for {waits}"

    def _demanded(self, order_id, sku):
        lines = self.orders[order_id].lines
        return sum(line.quantity for line in lines if line.sku == sku and line.stocked)

    def _payment(self, payment_id):
        sums, payment = self.sums[payment_id], self.shop.now(PAYMENT, payment_id)
        row = self.rows[payments.payment_details.name][(payment_id,)]
        names = ("captured", "refunded", "disputed", "lost")
        by_hand = {name: sums[name] for name in names}
        for who, said in (("state", payment), ("view", row)):
            if by_hand != {name: getattr(said, name) for name in names}:
                yield f"{payment_id}: {by_hand}, and its {who} says {said}"
        if payment.authorised != row.authorised:
            yield f"{payment_id}: {payment.authorised} authorised, and its view says {row.authorised}"
        if not 0 <= sums["captured"] + payment.capturing <= payment.authorised <= payment.amount:
            yield f"{payment_id}: {by_hand} of {payment.authorised} authorised of {payment.amount}"
        gone = sums["refunded"] - sums["elsewhere"] + payment.refunding + sums["disputed"] + sums["lost"]
        if not 0 <= gone <= sums["captured"] or sums["refunded"] + payment.refunding > sums["captured"]:
            yield f"{payment_id}: {gone} gone of {by_hand}"
        of_order = self.rows[payments.order_payments.name][(payment.order_id,)]
        if any(getattr(of_order, name) != self._of_order(payment.order_id, name) for name in names):
            yield f"{payment.order_id}: the view of its payments says {of_order}"
        there = self.shop.provider.of_payment(payment_id)
        if there["held"] + there["captured"] > payment.amount:
            yield f"{payment_id}: the provider has {there} of {payment.amount}"
        if sums["captured"] - sums["by_hand"] > there["captured"]:
            yield f"{payment_id}: {by_hand}, and the provider has {there}"

    def _of_order(self, order_id, name):
        of_it = (each for each in self.sums if self.shop.now(PAYMENT, each).order_id == order_id)
        return sum(self.sums[each][name] for each in of_it)

    def _customer(self, customer_id):
        credit = self.shop.now(STORE_CREDIT, customer_id)
        row = self.rows[payments.STORE_CREDIT.name][(customer_id,)]
        shown = {each.currency: (each.balance, each.available) for each in row.balances}
        for (owed_to, currency), sums in self.credit.items():
            if owed_to != customer_id:
                continue
            left = [each.left for each in credit.credits.values() if each.currency == currency]
            if min(left) < 0 or sum(left) + sums["held"] != sums["owed"] or sums["held"] < 0:
                yield f"{customer_id}: {sums} of store credit, and {left} are left of it"
            if shown[currency] != (sums["owed"], sum(left)):
                yield f"{customer_id}: {sums} of store credit, and its view says {shown}"
        holds = {hold_id: (each.order_id, each.amount, each.status) for hold_id, each in credit.holds.items()}
        if holds != self.held_credit.of_customer(customer_id):
            yield f"{customer_id}: {self.held_credit.of_customer(customer_id)}, and its state says {holds}"
        timer = self.shop.timers.get((EXPIRY, STORE_CREDIT.stream(customer_id)))
        first = min(_expiries(credit), default=None)
        if first is not None and (timer is None or timer > first):
            yield f"{customer_id}: store credit expires at {first}, and its timer is set for {timer}"

    def _ledger(self):
        balances = Counter()
        for posting in self.rows[LEDGER.name].values():
            balances[posting.currency, posting.account] += posting.amount
        for currency in {currency for currency, _ in balances}:
            of = {account: amount for (kept_in, account), amount in balances.items() if kept_in == currency}
            if sum(of.values()):
                yield f"the payments ledger in {currency} does not add up: {of}"
            if of.get("provider", 0) != self._at_provider(currency):
                yield f"the provider owes {self._at_provider(currency)} {currency}, and the ledger says {of}"
            owed = sum(each["owed"] for (_, kept_in), each in self.credit.items() if kept_in == currency)
            if of.get("store_credit", 0) != -owed:
                yield f"{owed} {currency} of store credit are owed, and the ledger says {of}"

    def _at_provider(self, currency):
        total = 0
        for payment_id, sums in self.sums.items():
            if self.shop.now(PAYMENT, payment_id).currency == currency:
                taken = sums["captured"] - sums["by_hand"]
                total += taken - (sums["refunded"] - sums["elsewhere"]) - sums["disputed"] - sums["lost"]
        return total

    # What has to hold when nothing is left to do.

    def _order_at_rest(self, order_id):
        order, payment = self.shop.now(ORDER, order_id), self.shop.now(PAYMENT, payment_of(order_id))
        kept, waits = self.stock.kept_for(order_id), self.stock.waited_for_by(order_id)
        if kept != (self._wanted(order_id) if order.status is Status.CONFIRMED else {}):
            yield f"{order_id} is {order.status}, and {kept} are reserved for it"
        if order.status is Status.CONFIRMED and waits != {**order.backordered}:
            yield f"{order_id} waits for {waits}, and says {order.backordered}"
        is_off = order.status in {Status.CANCELLED, Status.REJECTED}
        if order_id in self.prices.redemptions and is_off == (order_id in self.prices.used):
            yield f"{order_id} is {order.status}, and its coupon is {'used' if is_off else 'released'}"
        if order.status is Status.PLACED:
            yield f"nobody decides about {order_id}"
        purchase = self.shop.now(PURCHASE, order_id)
        if purchase is None or payment is None:
            return
        if is_off or order_id in self.held_credit.refunded:
            yield from self._off(order_id, payment)
        elif order.status is Status.SHIPPED:
            for payment_id in (payment.payment_id, *purchase.others):
                yield from self._left(self.shop.now(PAYMENT, payment_id), purchase)

    def _left(self, payment, purchase):
        """What pays for an order that has left is collected, or a receivable."""
        often = 0 if ending.is_declined(payment) else len(COLLECTED_AGAIN_AFTER)
        is_receivable = purchase.uncollected.get(payment.payment_id, 0) > often
        is_collected = payment.captured == payment.amount or payment.status is Authorisation.VOIDED
        if not is_collected and not is_receivable:
            yield f"{payment.order_id} has left, and nobody collects what is owed for it: {payment}"

    def _off(self, order_id, payment):
        """Nothing stays with an order that is off or refunded, unless the provider refused it, time and again."""
        if payment.capturable and payment.voids < ending.TRIES_MAX:
            yield f"{order_id} is off, and {payment.capturable} are held for it"
        refunds = payment.refunds.items()
        failed = sum(
            each.step is MovementStep.FAILED for name, each in refunds if name.startswith("cancelled~")
        )
        came_back = self.sums[payment.payment_id]["reversed"]
        if payment.refundable > came_back and failed < ending.TRIES_MAX:
            yield f"{order_id} is off, and {payment.refundable} of it were kept"

    def _payment_at_rest(self, payment_id):
        sums, payment = self.sums[payment_id], self.shop.now(PAYMENT, payment_id)
        moved = (*payment.captures.values(), *payment.refunds.values())
        if payment.status in OPEN or any(each.step is MovementStep.PENDING for each in moved):
            yield f"nobody knows what became of {payment_id}: {payment}"
        is_held = payment.expires_at is not None and self.shop.clock.now < payment.expires_at
        here = {
            "held": payment.capturable if is_held else 0,
            "captured": sums["captured"] - sums["by_hand"],
            "refunded": sums["refunded"] - sums["elsewhere"],
            "disputed": sums["disputed"],
            "lost": sums["lost"],
        }
        there = self.shop.provider.of_payment(payment_id)
        if payment.status is not Authorisation.MANUAL and here != there:
            yield f"{payment_id}: {here}, and the provider says {there}"


def _expiries(credit):
    """When what is left of store credit expires."""
    return (each.expires_at for each in credit.credits.values() if each.left and each.expires_at is not None)
