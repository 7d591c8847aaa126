"""What a cart costs by the pages of pricing, carts and ordering: worked out in fractions, from what the shop was asked.

Nothing of the product is used here. Prices are those of the lists of a channel, promotions look at the cart before
promotions, and every amount is rounded once.
"""

import math
from dataclasses import dataclass, field
from datetime import datetime
from fractions import Fraction

MINOR = {"GBP": 100, "JPY": 1, "KWD": 1_000}
"""Minor units of a unit of each currency."""
WHOLE_BP = 10_000


@dataclass
class Line:
    """A line before promotions; `off` is what they take off it, and shipping is one, too."""

    sku: str
    quantity: int
    unit_price: str
    amount: int
    off: int = 0
    tax: int = 0
    added: int = 0

    @property
    def net(self):
        """What is taxed."""
        return self.amount - self.off

    @property
    def total(self):
        """What it costs."""
        return self.net + self.added


@dataclass
class Bill:
    """What a cart costs, line by line, the shipping last."""

    lines: list[Line]
    has_shipping: bool
    rounding: tuple[str, str] = ("half_even", "line")
    promotions: dict[str, int] = field(default_factory=dict)
    refused: dict[str, str] = field(default_factory=dict)
    is_taxed: bool = False
    tax_included: int = 0
    tax_at_once: int = 0

    @property
    def items(self):
        """All lines, before promotions."""
        return self.lines[:-1] if self.has_shipping else self.lines

    @property
    def shipping(self):
        """The shipping, if there is any."""
        return self.lines[-1] if self.has_shipping else None

    @property
    def mode(self):
        """Where exactly half a minor unit goes."""
        return self.rounding[0]

    def taxed(self, line):
        """The amounts of a line whose tax is rounded, and how many there are of each: pieces differ by one at most."""
        if self.rounding[1] == "line":
            return [(line.net, 1)]
        each, dearer = divmod(line.net, line.quantity)
        return [(each + 1, dearer), (each, line.quantity - dearer)]

    @property
    def totals(self):
        """The sums, by the names that documents give them."""
        tax = sum(line.tax for line in self.lines)
        return {
            "items": sum(line.amount for line in self.items),
            "shipping": self.shipping.amount if self.has_shipping else 0,
            "discount": sum(line.off for line in self.lines),
            "tax": tax,
            "tax_included": self.tax_included,
            "grand": sum(line.total for line in self.lines),
        }

    @property
    def tax_remainder(self):
        """By how much the tax of all lines is more than that of all together, rounded once."""
        return sum(line.tax for line in self.lines) - self.tax_at_once


class Tariff:
    """All that the shop was asked to charge, and what it comes to at a moment."""

    def __init__(self):
        self.catalogue = {}
        """The price and the currency of each SKU."""
        self.prices = []
        """Prices of lists, as they were set; `retired_at` where they were."""
        self.lists = []
        """The lists of the channel: names, and groups that they are for."""
        self.groups = {}
        self.promotions = {}
        self.coupons = {}
        """The promotion of each code."""
        self.spent = {}
        """What the coupons of a promotion took off, of redemptions that count."""
        self.rates = []
        """Rates of tax tables: jurisdiction, category, from when on, basis points, and whether prices hold it."""
        self.categories = {}

    def price(self, sku, quantity, *, currency, buyer, at):
        """What a piece costs, and the id of the price that says so; None: it is not sold in that currency."""
        for list_id, group in self.lists:
            if group is not None and group != self.groups.get(buyer):
                continue
            tiers = [
                each
                for each in self.prices
                if (each["list_id"], each["sku"], each["currency"]) == (list_id, sku, currency)
                and each["min_quantity"] <= quantity
                and _holds(each, at)
                and not (each["retired_at"] is not None and each["retired_at"] <= at)
            ]
            if tiers:
                found = max(tiers, key=lambda each: each["min_quantity"])
                return found["unit_price"], found["price_id"]
        price, of = self.catalogue[sku]
        return (price, None) if of == currency else None

    def bill(self, pieces, *, shipping, currency, country, code, at, rounding=("half_even", "line")):
        """What these pieces cost, each with its price; `shipping` is what sending costs, None: it is not said.

        What is rounded is the amount of a line, or of each of its pieces (`unit`), for its price and for its tax.
        """
        mode, level = rounding
        sold = [*pieces, *(() if shipping is None else [(shipping[0], 1, shipping[1])])]
        lines = []
        for sku, number, price in sold:
            of_piece = Fraction(price) * MINOR[currency]
            amount = number * _whole(of_piece, mode) if level == "unit" else _whole(number * of_piece, mode)
            lines.append(Line(sku, number, price, amount))
        bill = Bill(lines, shipping is not None, rounding)
        self._discount(bill, currency=currency, code=code, at=at)
        self._tax(bill, country=country, at=at)
        return bill

    # Promotions.

    def _discount(self, bill, *, currency, code, at):
        wanted = {}
        for name, terms in self.promotions.items():
            if terms["needs_coupon"] and name != self.coupons.get(code):
                continue
            reason = self._reason(bill, name, terms, currency=currency, at=at)
            if reason is None:
                wanted[name] = terms
            else:
                bill.refused[name] = reason
        in_order = sorted(wanted, key=lambda name: (-wanted[name]["priority"], name))
        for name in in_order:
            group = wanted[name]["group"]
            rivals = [each for each in in_order if group is not None and wanted[each]["group"] == group]
            if rivals and name != max(rivals, key=lambda each: sum(_takes(bill, wanted[each]))):
                bill.refused[name] = "beaten"
            else:
                _take_off(bill, name, wanted)

    def _reason(self, bill, name, terms, *, currency, at):
        if terms["is_ended"]:
            return "inactive"
        if not _holds(terms, at):
            return "outside_validity"
        matching = [line for line in bill.items if _is_for(terms, line)]
        rule = terms["rule"]
        if (
            terms["currency"] != currency
            or not matching
            or sum(line.amount for line in matching) < rule.get("min_amount", 0)
            or sum(line.quantity for line in matching) < rule.get("min_quantity", 1)
        ):
            return "cart_mismatch"
        budget = terms["budget"]
        if budget is not None and sum(_takes(bill, terms)) > budget - self.spent.get(name, 0):
            return "cap_reached"
        return None

    # Tax.

    def _tax(self, bill, *, country, at):
        begun = [each for each in self.rates if each[0] == country and each[2] <= at]
        if not begun:
            return
        bill.is_taxed = True
        exact = Fraction()
        for line in bill.lines:
            category = self.categories.get(line.sku, "standard")
            *_, rate_bp, included = max(
                (each for each in begun if each[1] == category), key=lambda each: each[2]
            )
            part = Fraction(rate_bp, WHOLE_BP + rate_bp if included else WHOLE_BP)
            exact += line.net * part
            line.tax = sum(_whole(amount * part, bill.mode) * number for amount, number in bill.taxed(line))
            line.added = 0 if included else line.tax
            bill.tax_included += line.tax if included else 0
        bill.tax_at_once = _whole(exact, bill.mode)


def _take_off(bill, name, wanted):
    """One that stands alone comes before all others, or not at all; none takes off more than is left."""
    alone = any(wanted[each]["stacking"] == "exclusive" for each in bill.promotions)
    if alone or (bill.promotions and wanted[name]["stacking"] == "exclusive"):
        bill.refused[name] = "stopped"
        return
    takes = [min(off, line.net) for line, off in zip(bill.lines, _takes(bill, wanted[name]), strict=True)]
    if not any(takes):
        bill.refused[name] = "cart_mismatch"
        return
    for line, off in zip(bill.lines, takes, strict=True):
        line.off += off
    bill.promotions[name] = sum(takes)


def _takes(bill, terms):
    """What a promotion takes off each line of the cart before promotions, the shipping last."""
    action, lines = terms["action"], bill.items
    mine = [line if _is_for(terms, line) else None for line in lines]
    after = [0] if bill.has_shipping else []
    match action["kind"]:
        case "percent_bp":
            share = Fraction(action["percent_bp"], WHOLE_BP)
            return [_whole(line.amount * share, bill.mode) if line else 0 for line in mine] + after
        case "fixed":
            return _spread(action["amount"], mine) + after
        case "bxgy":
            return _cheapest(action, mine, bill.mode) + after
    return [0] * len(lines) + ([bill.shipping.amount] if bill.has_shipping else [])


def _spread(amount, mine):
    """By what the lines cost; the minor units that are left go to those whose parts are rounded down the most."""
    whole = sum(line.amount for line in mine if line)
    amount = min(amount, whole)
    exact = [Fraction(amount * line.amount, whole) if line and whole else Fraction() for line in mine]
    found = [int(part) for part in exact]
    order = sorted(
        (n for n, line in enumerate(mine) if line), key=lambda n: (-(exact[n] - found[n]), *_own(mine[n]))
    )
    for n in order[: amount - sum(found)]:
        found[n] += 1
    return found


def _cheapest(action, mine, mode):
    """Of each so many pieces the cheapest are free, whichever line they are in."""
    pieces = sum(line.quantity for line in mine if line)
    free = pieces // (action["buy"] + action["get"]) * action["get"]
    found = [0] * len(mine)
    for n in sorted((n for n, line in enumerate(mine) if line), key=lambda n: _own(mine[n])):
        of_line = min(free, mine[n].quantity)
        found[n] = _whole(Fraction(mine[n].amount * of_line, mine[n].quantity), mode)
        free -= of_line
    return found


def _own(line):
    return Fraction(line.unit_price), line.sku


def _is_for(terms, line):
    return not terms["rule"].get("skus") or line.sku in terms["rule"]["skus"]


def _holds(terms, at: datetime):
    return terms["valid_from"] <= at and (terms["valid_until"] is None or at < terms["valid_until"])


def _whole(exact, mode):
    """The nearest whole number; of two the even one, the higher or the lower."""
    if mode == "half_even":
        return round(exact)
    below = math.floor(exact)
    rest = exact - below
    return below + (rest > Fraction(1, 2) or (rest == Fraction(1, 2) and mode == "half_up"))
