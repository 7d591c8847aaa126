"""What orders cost by prices, promotions, coupons and tax, added up from the events alone."""

from collections import Counter
from decimal import ROUND_HALF_EVEN, Decimal

from domain.cart import events as cart
from domain.catalogue import events as catalogue
from domain.pricing import events as pricing

SHIPPING = "POST"
"""No promotion here takes anything off it."""


class Prices:
    """Prices, tax, promotions and redemptions; `of_order` and `of_coupon` say what contradicts them."""

    def __init__(self):
        self.promotions = {}
        """Those that are not ended, by id."""
        self.coupons = {}
        self.redemptions = {}
        """What each order redeemed, by order; `used` are those that were not released."""
        self.used = set()
        self._rate = None
        self._of_carts = {}
        self._promised = {}
        self._offers = Offers()

    def enter(self, event):
        """Enter an event, if it is about any of this."""
        match event:
            case pricing.PromotionDefined():
                self.promotions[event.promotion_id] = event
            case pricing.PromotionEnded():
                del self.promotions[event.promotion_id]
            case pricing.CouponCreated():
                self.coupons[event.code] = event
            case pricing.CouponRedeemed():
                self.redemptions[event.order_id] = event
                self.used.add(event.order_id)
            case pricing.RedemptionReleased():
                self.used.remove(event.redemption_id)
            case pricing.TaxRateSet():
                self._rate = event
            case _:
                self._offers.enter(event)
                self._enter_cart(event)

    def _enter_cart(self, event):
        match event:
            case cart.CouponApplied():
                self._of_carts[event.cart_id] = event.code
            case cart.CouponRemoved():
                del self._of_carts[event.cart_id]
            case cart.CheckoutStarted():
                code = self._of_carts.get(event.cart_id)
                self._promised[event.order_id] = (
                    [*self.promotions.values()],
                    code,
                    self._rate,
                    self._offers.of_cart(event.cart_id, event.currency),
                )

    def of_order(self, placed):
        """What is wrong with the prices of an order that was placed."""
        off = {each.line_id: each.amount for each in placed.discounts}
        promotions, code, rate, offers = self._promised[placed.order_id]
        taxes = []
        for line in placed.lines:
            net = _costs(line) - off.get(line.line_id, 0)
            tax, added = _tax(rate, net)
            taxes.append(tax)
            if line.total != net + added:
                yield f"line {line.line_id} of {placed.order_id} costs {line.total}: {line}, {off} off, {tax} of tax"
        if sum(line.total for line in placed.lines) != placed.total:
            yield f"the lines of {placed.order_id} do not add up to {placed.total}"
        if sum(taxes) != (0 if placed.tax is None else placed.tax.amount):
            yield f"{placed.order_id} is taxed {taxes}, and says {placed.tax}"
        of_lists = {each.line_id: each.price_id for each in placed.prices}
        for line in placed.lines:
            if (found := (line.unit_price, of_lists.get(line.line_id))) != offers.get(line.sku):
                yield f"line {line.line_id} of {placed.order_id} has {found}, and {offers} were offered"
        wanted = self._wanted(placed, promotions, code)
        if wanted != {each.promotion_id: each.amount for each in placed.promotions}:
            yield f"{placed.promotions} are taken off {placed.order_id}, not {wanted}"
        if sum(off.values()) != sum(wanted.values()):
            yield f"{off} are taken off the lines of {placed.order_id}, and {wanted} off all of it"
        redeemed = self.redemptions.get(placed.order_id)
        of_coupon = None if code is None else (code, wanted[self.coupons[code].promotion_id])
        if of_coupon != (None if redeemed is None else (redeemed.code, redeemed.amount)):
            yield f"{placed.order_id} redeemed {redeemed}, not {of_coupon}"

    def of_coupon(self, code):
        """What is wrong with the redemptions of a coupon."""
        coupon, used = self.coupons[code], [self.redemptions[each] for each in self.used]
        of_it = [each for each in used if each.code == code]
        if coupon.limit is not None and len(of_it) > coupon.limit:
            yield f"{code} is redeemed {len(of_it)} times, not {coupon.limit}"
        by_customer = Counter(each.customer_id for each in of_it)
        if coupon.per_customer is not None and any(n > coupon.per_customer for n in by_customer.values()):
            yield f"{code} is redeemed by {by_customer}, not {coupon.per_customer} times by each"
        budget = self.promotions[coupon.promotion_id].budget
        if (spent := sum(each.amount for each in used if each.promotion_id == coupon.promotion_id)) > budget:
            yield f"{spent} of {budget} are spent of {coupon.promotion_id}"

    def _wanted(self, placed, promotions, code):
        """What each promotion is to take off, by the terms at the beginning of the checkout."""
        wanted = {}
        for each in promotions:
            if each.needs_coupon and (code is None or self.coupons[code].promotion_id != each.promotion_id):
                continue
            if each.action.amount is not None:
                wanted[each.promotion_id] = each.action.amount
            elif each.currency == placed.currency:
                part = Decimal(each.action.percent_bp) / 10_000
                wanted[each.promotion_id] = sum(
                    _whole(_costs(line) * part) for line in placed.lines if line.sku != SHIPPING
                )
        return {promotion_id: amount for promotion_id, amount in wanted.items() if amount}


class Offers:
    """Prices of the catalogue and of lists, those who are in a group, and whose carts are."""

    def __init__(self):
        self._catalogue = {}
        self._listed = {}
        """Prices that are not retired, by list and SKU: there is one of each at a time."""
        self._lists = ()
        self._groups = {}
        self._buyers = {}

    def enter(self, event):
        """Enter an event, if it is about any of this."""
        match event:
            case catalogue.ProductCreated() | catalogue.PriceChanged():
                self._catalogue[event.sku] = event
            case pricing.PriceSet():
                self._listed[event.list_id, event.sku] = event
            case pricing.PriceRetired():
                del self._listed[event.list_id, event.sku]
            case pricing.PriceListsChosen():
                self._lists = event.lists
            case pricing.CustomerGrouped():
                self._groups[event.customer_id] = event.group
            case cart.CartOpened() | cart.CartAssigned():
                self._buyers[event.cart_id] = event.customer_id

    def of_cart(self, cart_id, currency):
        """By SKU, the price that its buyer is offered now, and the id of that price if it is of a list."""
        group = self._groups.get(self._buyers[cart_id])
        offers = {
            sku: (each.unit_price, None) for sku, each in self._catalogue.items() if each.currency == currency
        }
        for chosen in reversed(self._lists):
            if chosen.group in {None, group}:
                offers |= {
                    sku: (each.unit_price, each.price_id)
                    for (list_id, sku), each in self._listed.items()
                    if list_id == chosen.list_id and each.currency == currency
                }
        return offers


def _tax(rate, net):
    """The tax of an amount, and what is added of it."""
    if rate is None:
        return 0, 0
    tax = _whole(Decimal(net * rate.rate_bp) / (10_000 + rate.included * rate.rate_bp))
    return tax, 0 if rate.included else tax


def _costs(line):
    return _whole(line.quantity * Decimal(line.unit_price) * 100)


def _whole(exact):
    return int(exact.quantize(Decimal(1), rounding=ROUND_HALF_EVEN))
