"""Everybody who has to do with a shop, as rules of a state machine, and what has to hold after each of them."""

import itertools

from hypothesis import strategies as st
from hypothesis.stateful import initialize, invariant, rule

from commands import catalogue, inventory, ordering, shipping
from commands.cart import checking_out, filling
from commands.pricing import prices, promotions
from domain.cart.cart import CART
from domain.cart.cart import Status as CartStatus
from domain.ordering.order import ORDER, Status
from domain.payments.payment import PAYMENT
from tests.simulation.shop import Shop
from tests.simulation.shop_books import Books
from tests.simulation.shop_choices import (
    AMOUNTS,
    BUYERS,
    CODE,
    CODES,
    CREDIT,
    DEPOT,
    FEW,
    HOLDS,
    LISTED,
    LISTS,
    METHODS,
    MOODY,
    PAID_BY,
    PARTS,
    PLACES,
    PRICE,
    RATES,
    REMEDIES,
    SALES,
    SKUS,
    SOME,
    chosen,
)
from tests.simulation.shop_paying import Paying
from tests.simulation.shop_prices import SHIPPING


class Shopping(Paying):
    """Buyers, staff, a bank, a payment provider and process managers, none of whom waits for another."""

    problems = ("it was not opened",)

    @initialize(
        seed=st.integers(0, 2**32),
        rate=st.none() | st.sampled_from(RATES),
        part=st.none() | PARTS,
        depot=st.sampled_from((None, "first", "last", "closed")),
        limit=st.none() | st.integers(1, 4),
        listed=LISTED,
        sold=st.lists(SALES, min_size=1, max_size=4),
    )
    def open_shop(self, seed, rate, part, depot, limit, listed, sold):
        """Some have bought, and some of what they bought is on its way: most rules are about what there is."""
        self.shop = Shop(seed)
        self.books = Books(self.shop)
        self.carts, self.orders, self.payments, self.holds, self.sales = [], [], [], [], []
        self._offer(listed)
        self._provide(depot, limit)
        if rate is not None:
            self.tax(rate)
        if part is not None:
            self.promote(part, ended=False)
        for buyer in BUYERS:
            self.move_credit(0, buyer, 300, "issue", None)
        for *sale, _ in sold:
            self.buy(*sale)
        for buyer, sku in zip(BUYERS[1:3], SKUS, strict=True):
            self.open_cart(buyer, "GBP")
            self.shop.ask(filling.add_item, self.carts[-1][1], sku=sku, quantity=1, by=buyer)
        self._send([*zip(self.orders, (fate for *_, fate in sold), strict=False)])

    def _send(self, fates):
        """Some orders are seen to, some of those leave, and some of what left is lost."""
        if any(fate is not None for _, fate in fates):
            self.go_on(acts=200, mood="obliging")
        for order_id in (each for each, fate in fates if fate == "instead"):
            if self.void(order_id):
                self.go_on(acts=200, mood="obliging")
                self.pay_instead(order_id)
                self.go_on(acts=200, mood="obliging")
        left = [each for each in fates if each[1] in {"leaves", "instead", *REMEDIES}]
        for order_id, _ in left:
            self.shop.ask(ordering.ship_order, order_id)
        if left:
            self.go_on(acts=200, mood="obliging")
        for order_id, fate in left:
            if fate in REMEDIES:
                # What is left is rarely enough to send the same again.
                for line in self.shop.now(ORDER, order_id).skus:
                    self.shop.ask(inventory.receive_stock, line.sku, quantity=line.units)
                self._lose(order_id, fate)

    def _provide(self, depot, limit):
        """There are two locations, or orders may wait for pieces, or not."""
        if depot is not None:
            priority = 0 if depot == "first" else 9
            self.shop.ask(inventory.set_location, DEPOT, priority=priority, is_open=True)
            for sku in SKUS:
                self.shop.ask(inventory.receive_stock, sku, quantity=2, location_id=DEPOT)
            self.shop.ask(inventory.set_location, DEPOT, priority=priority, is_open=depot != "closed")
        for sku in SKUS if limit is not None else ():
            self.shop.ask(inventory.set_backorder_policy, sku, limit=limit)

    def _offer(self, listed):
        """There is stock, at prices of the catalogue and of price lists, and there are coupons."""
        for sku, price, stocked in (("A", "2.55", True), ("B", "1", True), (SHIPPING, "4.95", False)):
            product = {"sku": sku, "title": sku, "stocked": stocked, "unit_price": price, "currency": "GBP"}
            assert self.shop.ask(catalogue.create_product, **product)
        for sku in SKUS:
            assert self.shop.ask(inventory.receive_stock, sku, quantity=5)
        lists = [{"list_id": list_id, "group": group} for list_id, group in LISTS.items()]
        assert self.shop.ask(prices.choose_price_lists, "web", lists=lists)
        self.listed = {}
        self.set_group(BUYERS[0], LISTS["trade"])
        for list_id, sku in itertools.product(LISTS, SKUS):
            if listed[list_id] is not None:
                self._list(list_id, sku, unit_price=listed[list_id], currency="GBP")
        saving = {"rule": {"min_amount": 100}, "action": {"kind": "fixed", "amount": 50}, "budget": 175}
        assert self._define("saving", **saving, needs_coupon=True)
        for code, limits in CODES.items():
            assert self.shop.ask(promotions.create_coupon, code=code, promotion_id="saving", **limits)

    # Staff.

    @rule(sku=st.sampled_from(SKUS), quantity=FEW, removed=st.booleans(), location_id=PLACES)
    def move_stock(self, sku, quantity, removed, location_id):
        if removed:
            corrected = {"delta": -quantity, "reason": "damage", "location_id": location_id}
            self.shop.ask(inventory.adjust_stock, sku, **corrected)
        else:
            self.shop.ask(inventory.receive_stock, sku, quantity=quantity, location_id=location_id)

    @rule(location_id=PLACES, priority=st.integers(0, 9), is_open=st.sampled_from((True, True, False)))
    def set_location(self, location_id, priority, is_open):
        self.shop.ask(inventory.set_location, location_id, priority=priority, is_open=is_open)

    @rule(sku=st.sampled_from(SKUS), limit=st.integers(0, 4))
    def let_wait(self, sku, limit):
        """So many pieces may be sold that are not there."""
        self.shop.ask(inventory.set_backorder_policy, sku, limit=limit)

    @rule(
        sku=st.sampled_from((*SKUS, SHIPPING)),
        price=PRICE,
        abroad=st.integers(0, 5),
        what=st.sampled_from(("catalogue", "catalogue", *LISTS, "tax")),
    )
    def change_price(self, sku, price, abroad, what):
        said = {"unit_price": price, "currency": "GBP" if abroad else "EUR"}
        if what == "catalogue":
            self.shop.ask(catalogue.change_price, sku, **said)
        elif what == "tax":
            self.tax(RATES[abroad % len(RATES)])
        else:
            self._list(what, sku, **said)

    def _list(self, list_id, sku, **said):
        """A list has this price from now on, and no other one."""
        if (list_id, sku) in self.listed:
            self.shop.ask(prices.retire_price, sku, price_id=self.listed[list_id, sku])
        self.listed[list_id, sku] = f"p{self.shop.number()}"
        self.shop.ask(prices.set_price, sku, price_id=self.listed[list_id, sku], list_id=list_id, **said)

    @rule(customer_id=st.sampled_from(BUYERS[:2]), group=st.sampled_from((None, "resellers", "others")))
    def set_group(self, customer_id, group):
        self.shop.ask(prices.set_customer_group, customer_id, group=group)

    def tax(self, rate):
        self.shop.ask(prices.set_tax_rate, "Italy", tax_category="standard", **rate)

    @rule(some=SOME, cancelled=st.integers(0, 3))
    def ship_or_cancel(self, some, cancelled):
        for order_id in chosen(self.orders, some, self._waits):
            if cancelled > 0:
                self.shop.ask(ordering.ship_order, order_id)
            else:
                self.shop.ask(ordering.cancel_order, order_id, reason="customer")

    @rule(part=PARTS, ended=st.booleans())
    def promote(self, part, ended):
        """Everything costs less for a while, but shipping."""
        if self.sales and ended:
            self.shop.ask(promotions.end_promotion, self.sales.pop())
        elif not self.sales:
            self.sales.append(f"sale-{self.shop.number()}")
            assert self._define(self.sales[0], action={"kind": "percent_bp", "percent_bp": part})

    def _define(self, promotion_id, **terms):
        said = {"promotion_id": promotion_id, "currency": "GBP", **terms}
        return self.shop.ask(promotions.define_promotion, **said)

    @rule(some=SOME, reason=st.sampled_from(HOLDS), lifted=st.booleans())
    def hold_or_lift(self, some, reason, lifted):
        if lifted:
            for order_id in chosen(self.orders, some, lambda each: self.shop.now(ORDER, each).holds):
                reasons = self.shop.now(ORDER, order_id).holds
                self.shop.ask(ordering.lift_order_hold, order_id, reason=reasons[some % len(reasons)])
        else:
            for order_id in chosen(self.orders, some, self._waits):
                self.shop.ask(ordering.hold_order, order_id, reason=reason)

    @rule(some=SOME, quantity=FEW, location_id=PLACES)
    def write_off(self, some, quantity, location_id):
        """Pieces are gone that were reserved."""
        for order_id in chosen(self.orders, some, self._can_lose):
            sku = self.shop.now(ORDER, order_id).skus[0].sku
            loss = {"quantity": quantity, "reason": "damage", "order_ids": [order_id]}
            self.shop.ask(inventory.record_stock_loss, sku, **loss, location_id=location_id)

    def _waits(self, order_id):
        return self.shop.now(ORDER, order_id).status in {Status.PLACED, Status.CONFIRMED}

    def _has_left(self, order_id):
        return self.shop.now(ORDER, order_id).status is Status.SHIPPED

    def _can_lose(self, order_id):
        order = self.shop.now(ORDER, order_id)
        return order.status is Status.CONFIRMED and not order.lost

    @rule(some=SOME, remedy=st.sampled_from(REMEDIES))
    def lose_parcel(self, some, remedy):
        for order_id in chosen(self.orders, some, self._has_left):
            self._lose(order_id, remedy)

    def _lose(self, order_id, remedy):
        """A parcel does not arrive; what replaces one may be lost, too."""
        self.shop.ask(shipping.record_manual_label, order_id, tracking=self.shop.number())
        self.shop.ask(shipping.record_parcel_loss, order_id, reason="carrier")
        self.shop.ask(shipping.settle_parcel_loss, order_id, remedy=remedy)

    @rule(some=SOME, quantity=FEW)
    def take_pieces_back(self, some, quantity):
        for order_id in chosen(self.orders, some, self._has_left):
            order = self.shop.now(ORDER, order_id)
            line = {"sku": order.skus[0].sku, "quantity": quantity, "unit_price": "1"}
            credited = {"order_id": order_id, "country": "Italy", "currency": order.currency, "lines": [line]}
            self.shop.ask(ordering.issue_credit_note, **credited)

    # Buyers.

    @rule(buyer=st.sampled_from(BUYERS), currency=st.sampled_from(("GBP", "GBP", "GBP", "EUR")))
    def open_cart(self, buyer, currency):
        opened = self.shop.ask(filling.open_cart, currency=currency, by=buyer)
        self.carts.append((buyer, opened.identifier))

    @rule(
        some=SOME,
        sku=st.sampled_from(SKUS),
        quantity=FEW,
        what=st.sampled_from(("add", "add", "change", "remove", "coupon", "no coupon")),
        code=st.sampled_from((*CODES,)),
    )
    def fill(self, some, sku, quantity, what, code):
        for buyer, cart_id in chosen(self.carts, some, self._is_open):
            match what:
                case "add":
                    self.shop.ask(filling.add_item, cart_id, sku=sku, quantity=quantity, by=buyer)
                case "change":
                    self.shop.ask(filling.change_quantity, cart_id, line_id=1, quantity=quantity, by=buyer)
                case "remove":
                    self.shop.ask(filling.remove_item, cart_id, line_id=quantity, by=buyer)
                case "coupon":
                    self.shop.ask(checking_out.apply_coupon, cart_id, code=code, by=buyer)
                case "no coupon":
                    self.shop.ask(checking_out.remove_coupon, cart_id, code=code, by=buyer)

    @rule(some=SOME, customer_id=st.sampled_from(BUYERS[:2]))
    def assign(self, some, customer_id):
        for guest, cart_id in chosen(self.carts, some):
            said = {"customer_id": customer_id, "guest_token": guest}
            if self.shop.ask(filling.assign_cart, cart_id, **said, by=customer_id):
                self.carts[self.carts.index((guest, cart_id))] = (customer_id, cart_id)

    @rule(some=SOME, other=SOME, strategy=st.sampled_from(("sum", "max", "keep_guest", "keep_customer")))
    def merge(self, some, other, strategy):
        for buyer, cart_id in chosen(self.carts, some, self._is_open):
            for guest, source_id in chosen(self.carts, other, self._is_open):
                said = {"source_id": source_id, "strategy": strategy, "guest_token": guest}
                self.shop.ask(filling.merge_carts, cart_id, **said, by=buyer)

    @rule(some=SOME, price=PRICE, shipping=st.booleans())
    def reprice(self, some, price, shipping):
        for buyer, cart_id in chosen(self.carts, some, self._is_open):
            if shipping:
                self.shop.ask(checking_out.choose_shipping, cart_id, option_id=SHIPPING, by=buyer)
            agreed = [{"sku": sku, "unit_price": price} for sku in SKUS]
            self.shop.ask(filling.reprice_cart, cart_id, agreed=agreed, by=buyer)

    @rule(
        some=SOME,
        method=st.none() | st.sampled_from(METHODS),
        step=st.sampled_from(("start", "abort", "order")),
    )
    def check_out(self, some, method, step):
        for buyer, cart_id in chosen(
            self.carts, some, self._is_open if step == "start" else self._was_frozen
        ):
            if step == "start":
                self.shop.ask(checking_out.start_checkout, cart_id, country="Italy", by=buyer)
            elif step == "abort":
                self.shop.ask(checking_out.abort_checkout, cart_id, by=buyer)
            else:
                self._order(buyer, cart_id, method)

    @rule(
        buyer=st.sampled_from(BUYERS),
        sku=st.sampled_from(SKUS),
        quantity=FEW,
        method=st.sampled_from(PAID_BY),
        code=CODE,
        changed=st.none() | PRICE,
    )
    def buy(self, buyer, sku, quantity, method, code, changed=None):
        """All at once, as most do; meanwhile the catalogue may have changed."""
        cart_id = self.shop.ask(filling.open_cart, currency="GBP", by=buyer).identifier
        self.shop.ask(filling.add_item, cart_id, sku=sku, quantity=quantity, by=buyer)
        if code is not None:
            self.shop.ask(checking_out.apply_coupon, cart_id, code=code, by=buyer)
        if changed is not None:
            self.shop.ask(catalogue.change_price, sku, unit_price=changed, currency="GBP")
        self.shop.ask(checking_out.start_checkout, cart_id, country="Italy", by=buyer)
        self._order(buyer, cart_id, method)

    def _is_open(self, cart):
        return self.shop.now(CART, cart[1]).status is CartStatus.OPEN

    def _was_frozen(self, cart):
        return self.shop.now(CART, cart[1]).checkout is not None

    def _order(self, buyer, cart_id, method):
        cart = self.shop.now(CART, cart_id)
        if cart.checkout is None:
            return
        method_ref = None if method == CREDIT else method
        said = {"checkout_id": cart.checkout.checkout_id, "method_ref": method_ref}
        ordered = self.shop.ask(checking_out.check_out, cart_id, **said, by=buyer)
        if ordered is not None:
            assert self.shop.now(CART, cart_id).status is CartStatus.ORDERED
            if cart.checkout.order_id not in self.orders:
                self.orders.append(cart.checkout.order_id)
            if method == CREDIT:
                self.pay_by_credit(cart.checkout.order_id, "spent")

    # The payment provider, the bank, and those who ask and hear them.

    @rule(some=SOME, mood=MOODY, dies=st.integers(0, 4))
    def send(self, some, mood, dies):
        for position in chosen([*self.shop.intents], some):
            self.shop.send(position, mood, dies=not dies)

    @rule(some=SOME, again=st.booleans())
    def say(self, some, again):
        for webhook in chosen(self.shop.provider.webhooks, some):
            if self.shop.deliver(webhook) and not again:
                self.shop.provider.webhooks.remove(webhook)

    @rule(some=SOME, mood=MOODY)
    def confirm(self, some, mood):
        provider = self.shop.provider
        for key in chosen([key for key in provider.operations if provider.is_open(key)], some):
            provider.decide(key, mood)

    @rule(some=SOME, amount=AMOUNTS, what=st.sampled_from(("dispute", "won", "lost", "reverse")))
    def take_back(self, some, amount, what):
        provider = self.shop.provider
        if what == "dispute":
            there = provider.authorisations
            for reference in chosen([*there], some, lambda each: there[each].left):
                provider.dispute(reference, min(amount, there[reference].left))
        elif what == "reverse":
            for key in chosen([*provider.reversible], some):
                provider.reverse(key)
        else:
            # Disputes last for weeks: one does not end before the webhook of its beginning was taken in.
            beginning = {each.dispute.id for each in provider.webhooks if each.dispute is not None}
            for dispute_id in chosen([*provider.disputes], some, lambda each: each not in beginning):
                provider.end_dispute(dispute_id, won=what == "won")

    # Process managers, and time.

    @rule(worker=st.sampled_from((0, 0, 0, 1)), acts=st.integers(10, 120))
    def work(self, worker, acts):
        self.shop.work(worker, acts)

    @rule(acts=st.integers(50, 300), mood=MOODY)
    def go_on(self, acts, mood):
        """Everybody does what is to be done, and nobody dies."""
        self.shop.work(0, acts)
        self._enter(self.shop.note())
        for position in [*self.shop.intents]:
            self.shop.send(position, mood)
        self.shop.work(0, acts)

    @rule(worker=st.integers(0, 1), fenced=st.integers(0, 9))
    def die(self, worker, fenced):
        if fenced == 0:
            self.shop.fence()
        self.shop.workers[worker].restart()

    @rule(some=SOME, hours=st.integers(1, 100), fires=st.booleans())
    def wait(self, some, hours, fires):
        if not fires:
            self.shop.pass_time(3_600 * hours)
        for timer in chosen([*self.shop.timers], some) if fires else ():
            self.shop.fire(*timer)

    # What holds.

    @invariant()
    def pieces_and_money_are_conserved(self):
        self._enter(self.shop.note())
        self.problems = [*self.books.check()]

        assert not self.problems, self.problems

    def teardown(self):
        """In the end, in peace, nothing stays where it does not belong."""
        if self.problems:
            return
        self._enter(self.shop.settle())

        found = [*self.books.check(), *self.books.at_rest()]

        assert not found, found

    def _enter(self, events):
        for event in events:
            self.books.take((event,))
            if isinstance(event, PAYMENT.events) and event.payment_id not in self.payments:
                self.payments.append(event.payment_id)
