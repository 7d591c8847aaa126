"""What buyers and the people of a shop do about the orders of a campaign: a plan for each, with what it comes to.

A step is a request, or something that the query API has to show. A request without an answer is sent again under the
same key. After a restore a plan begins again with its first step, and sends everything once more.
"""

import http.client
import json
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN, Decimal
from typing import Any

from tests.chaos.clients import NOTHING_WAS_DONE, Connection
from tests.effects.payment_checker import Wanted

PRICE = 435
"""The list price of the catalogue, which orders without a cart have; they are not taxed."""
RETAIL = 399
"""The price of the list that carts have theirs from."""
RATE_BP = 1_750
"""The tax that is added to it."""
COUNTRY = "United Kingdom"
SKU = "A"
UNITS = 5
CREDIT = 150
PART = 100
SENT_TWICE = 0.2
CREATED = 201
UNKNOWN_STATUS = 500

Step = Callable[["Shop"], bool]
"""Done: it is not tried again."""


class Refused(AssertionError):
    """The shop refuses what the plan is."""


class Shop:
    """Both APIs, as a client meets them while they are killed."""

    def __init__(self, command_port: int, query_port: int, chance: random.Random) -> None:
        self._commands, self._queries = Connection(command_port), Connection(query_port)
        self._chance = chance

    def close(self) -> None:
        self._commands.close()
        self._queries.close()

    def post(self, key: str, path: str, body: dict[str, Any]) -> bool:
        """Whether a command was answered; it is sent twice now and then.

        Raises:
            Refused: for good.
        """
        answered = self._posted(key, path, body)
        if answered and self._chance.random() < SENT_TWICE:
            self._posted(key, path, body)
        return answered

    def get(self, path: str) -> dict[str, Any] | None:
        """A document, or None if it is not there now."""
        try:
            status, _, text = self._queries.ask("GET", path)
        except (OSError, http.client.HTTPException):
            return None
        return json.loads(text) if status == 200 else None

    def quote(self, body: dict[str, Any]) -> dict[str, Any] | None:
        """What a cart costs, or None if nobody says so now."""
        try:
            status, _, text = self._commands.ask(
                "POST", "/v1/quotes", body=json.dumps(body), headers={"Content-Type": "application/json"}
            )
        except (OSError, http.client.HTTPException):
            return None
        return json.loads(text) if status == 200 else None

    def _posted(self, key: str, path: str, body: dict[str, Any]) -> bool:
        headers = {"Idempotency-Key": key, "Content-Type": "application/json"}
        try:
            status, _, text = self._commands.ask("POST", path, body=json.dumps(body), headers=headers)
        except (OSError, http.client.HTTPException):
            return False
        if status == CREATED:
            return True
        if status >= UNKNOWN_STATUS or json.loads(text).get("code") in NOTHING_WAS_DONE:
            return False
        raise Refused(f"{key}: {path} was answered {status} {text.decode()}")


def taxed(amount: int) -> int:
    """With the tax of one line, of which half a penny goes to the even one."""
    exact = Decimal(amount * RATE_BP) / 10_000
    return amount + int(exact.quantize(Decimal(1), rounding=ROUND_HALF_EVEN))


@dataclass
class Sale:
    """An order and its plan; `order_id` is known once its checkout is."""

    number: int
    order_id: str | None = None
    checkout_id: str | None = None

    def __post_init__(self):
        self.name = f"s-{self.number}"
        self.customer = f"c-{self.number}"
        self.quantity = 1 + self.number % UNITS
        self.kind = KINDS[self.number % len(KINDS)]
        is_cart = self.kind.place is not Sale.places_an_order
        self.total = taxed(self.quantity * RETAIL) if is_cart else self.quantity * PRICE
        self.begin()

    @property
    def wanted(self) -> Wanted:
        """What its plan comes to."""
        return Wanted(total=self.total, **self.kind.wanted(self))

    def begin(self, *, placed_only: bool = False) -> None:
        """From the first step on."""
        self._asked, self._placed_only = 0, placed_only
        self._steps = self.kind.place(self) if placed_only else self._all()
        self._step = next(self._steps, None)

    @property
    def is_done(self) -> bool:
        return self._step is None

    def advance(self, shop: Shop) -> int:
        """Go as far as it goes now; how many steps were done."""
        done = 0
        while self._step is not None and self._step(shop):
            self._step = next(self._steps, None)
            done += 1
        return done

    def length(self) -> int:
        """How many steps it has from the first one on."""
        another = Sale(self.number)
        another.begin(placed_only=self._placed_only)
        return sum(1 for _ in another._steps) + 1

    def _all(self) -> Iterator[Step]:
        yield from self.kind.place(self)
        yield from self.kind.go_on(self)

    # Steps.

    def _asks(self, path: str, body: dict[str, Any]) -> Step:
        self._asked += 1
        key = f"{self.name}-{self._asked}"
        return lambda shop: shop.post(key, path, body)

    def _sees(self, path: str, holds: Callable[[dict[str, Any]], bool]) -> Step:
        def seen(shop: Shop) -> bool:
            found = shop.get(path)
            return found is not None and holds(found)

        return seen

    def _sees_order(self, *statuses: str) -> Step:
        def holds(order: dict[str, Any]) -> bool:
            self._require_total("its order", order["total"])
            return order["status"] in statuses

        return self._sees(f"/v1/orders/{self.order_id}", holds)

    def _is_quoted(self) -> Step:
        """What the cart will cost, before anybody is charged."""

        def quoted(shop: Shop) -> bool:
            line = {"sku": SKU, "quantity": self.quantity}
            quote = shop.quote(
                {"currency": "GBP", "jurisdiction": COUNTRY, "channel": "web", "lines": [line]}
            )
            if quote is not None:
                self._require_total("a quote", quote["totals"]["grand"])
            return quote is not None

        return quoted

    def _require_total(self, what: str, says: int) -> None:
        if says != self.total:
            raise Refused(f"{self.name} costs {self.total}, and {what} says {says}")

    def _sees_confirmed(self) -> Step:
        return self._sees_order("confirmed", "shipped", "cancelled")

    def _sees_sums(self, **sums: int) -> Step:
        """Amounts that the order's payments come to in the end."""
        return self._sees(
            f"/v1/orders/{self.order_id}/payments",
            lambda paid: all(paid[name] == amount for name, amount in sums.items()),
        )

    def _sees_payment(self, payment_id: str | None, holds: Callable[[dict[str, Any]], bool]) -> Step:
        return self._sees(f"/v1/payments/{payment_id}", holds)

    def _sees_voided(self, payment_id: str | None) -> Step:
        return self._sees_payment(payment_id, lambda payment: payment["status"] == "voided")

    def _ships(self) -> Step:
        return self._asks(f"/v1/orders/{self.order_id}/shipment", {})

    def _cancels(self) -> Step:
        return self._asks(f"/v1/orders/{self.order_id}/cancellation", {"reason": "customer"})

    def _of_payment(self, payment_id: str | None, what: str, body: dict[str, Any]) -> Step:
        return self._asks(f"/v1/payments/{payment_id}/{what}", body)

    def _refunds_twice(self, payment_id: str | None, refund_id: str, amount: int, to: str) -> Iterator[Step]:
        """Under two keys: by somebody who thinks that the first time nothing came of it."""
        refund = {"refund_id": refund_id, "amount": amount, "reason": "return", "to": to}
        for _ in range(2):
            yield self._of_payment(payment_id, "refunds", refund)

    def _of_credit(self, what: str, body: dict[str, Any]) -> Step:
        return self._asks(f"/v1/store-credits/{self.customer}/{what}", body)

    def _sees_checkout(self) -> Step:
        """The cart loses it with the order, so it is remembered."""

        def seen(shop: Shop) -> bool:
            if self.order_id is None:
                cart = shop.get(f"/v1/carts/{self.name}")
                if cart is None or cart["checkout"] is None:
                    return False
                self._require_total("its checkout", cart["checkout"]["totals"]["grand"])
                self.order_id, self.checkout_id = (
                    cart["checkout"]["order_id"],
                    cart["checkout"]["checkout_id"],
                )
            return True

        return seen

    def places_a_cart(self, method: str) -> Iterator[Step]:
        """A cart that is checked out with a method."""
        cart = f"/v1/carts/{self.name}"
        yield self._asks("/v1/carts", {"cart_id": self.name, "customer_id": self.customer, "currency": "GBP"})
        yield self._asks(f"{cart}/items", {"sku": SKU, "quantity": self.quantity})
        yield self._is_quoted()
        yield self._asks(f"{cart}/checkout", {"country": COUNTRY})
        yield self._sees_checkout()
        yield self._asks(f"{cart}/order", {"checkout_id": self.checkout_id, "method_ref": method})

    def places_an_order(self) -> Iterator[Step]:
        """An order of somebody whom the shop knows, which is paid later."""
        self.order_id = self.name
        yield self._asks(
            "/v1/orders",
            {
                "order_id": self.name,
                "customer_id": self.customer,
                "country": COUNTRY,
                "currency": "GBP",
                "lines": [{"sku": SKU, "quantity": self.quantity}],
            },
        )

    # Plans, from the placed order on.

    def is_shipped(self) -> Iterator[Step]:
        yield self._sees_confirmed()
        yield self._ships()
        yield self._sees_sums(captured=self.total)

    def is_paid_by_another_method(self) -> Iterator[Step]:
        yield self._sees_payment(
            self.order_id, lambda payment: payment["status"] == "declined" or payment["attempt"] > 1
        )
        yield self._of_payment(self.order_id, "authorisation", {"method_ref": "pm_visa"})
        yield from self.is_shipped()

    def is_declined(self) -> Iterator[Step]:
        yield self._sees_order("cancelled")
        yield self._sees_voided(self.order_id)

    def is_called_off(self) -> Iterator[Step]:
        yield self._sees_confirmed()
        yield self._cancels()
        yield self._sees_voided(self.order_id)

    def is_called_off_early(self) -> Iterator[Step]:
        """While nobody knows whether its amount is held."""
        yield self._sees_payment(self.order_id, lambda _payment: True)
        yield self._cancels()
        yield self._sees_voided(self.order_id)

    def is_given_back(self) -> Iterator[Step]:
        yield self._sees_confirmed()
        yield self._of_payment(self.order_id, "captures", {"capture_id": "by-hand"})
        yield self._sees_sums(captured=self.total)
        yield self._cancels()
        yield self._sees_sums(refunded=self.total)

    def is_captured_in_parts(self) -> Iterator[Step]:
        """Shipped while the first part is being taken."""
        yield self._sees_confirmed()
        yield self._of_payment(self.order_id, "captures", {"capture_id": "first", "amount": PART})
        yield self._ships()
        yield self._sees_sums(captured=self.total)

    def is_returned(self) -> Iterator[Step]:
        yield from self.is_shipped()
        yield from self._refunds_twice(self.order_id, "credit", CREDIT, "store_credit")
        yield from self._refunds_twice(self.order_id, "money", PART, "original")
        yield self._sees_sums(refunded=CREDIT + PART)

    def is_paid_with_credit(self) -> Iterator[Step]:
        payment_id = f"pay-{self.name}"
        yield self._of_credit("credits", {"credit_id": "sorry", "currency": "GBP", "amount": 2 * CREDIT})
        yield self._sees_confirmed()
        yield from self._holds_credit_and_pays(payment_id, capture="auto")
        yield self._sees_sums(captured=self.total - CREDIT)
        yield self._of_credit("settlements", {"hold_id": self.name, "outcome": "spent"})
        yield self._ships()
        yield self._sees_order("shipped")

    def is_called_off_with_credit(self) -> Iterator[Step]:
        payment_id = f"pay-{self.name}"
        yield self._of_credit("credits", {"credit_id": "sorry", "currency": "GBP", "amount": 2 * CREDIT})
        yield self._sees_confirmed()
        yield from self._holds_credit_and_pays(payment_id, capture="manual")
        yield self._sees_payment(
            payment_id, lambda payment: payment["status"] in {"authorised", "voiding", "voided"}
        )
        yield self._cancels()
        yield self._of_payment(payment_id, "void", {})
        yield self._of_credit("settlements", {"hold_id": self.name, "outcome": "released"})
        yield self._sees_voided(payment_id)

    def _holds_credit_and_pays(self, payment_id: str, *, capture: str) -> Iterator[Step]:
        yield self._of_credit("holds", {"hold_id": self.name, "order_id": self.order_id, "amount": CREDIT})
        of_order = {"payment_id": payment_id, "order_id": self.order_id}
        yield self._asks("/v1/payments", {**of_order, "method_ref": "pm_visa", "capture": capture})
        yield self._of_payment(payment_id, "authorisation", {})

    def is_paid_by_hand(self) -> Iterator[Step]:
        payment_id = f"till-{self.name}"
        yield self._sees_confirmed()
        of_order = {"payment_id": payment_id, "order_id": self.order_id}
        yield self._asks("/v1/manual-payments", {**of_order, "method": "cash"})
        yield self._ships()
        yield from self._refunds_twice(payment_id, "credit", self.total, "store_credit")
        yield self._sees_sums(refunded=self.total)


@dataclass(frozen=True)
class Kind:
    """How orders of a kind are placed, how they go on, and what that comes to."""

    place: Callable[[Sale], Iterator[Step]]
    go_on: Callable[[Sale], Iterator[Step]]
    wanted: Callable[[Sale], dict[str, int]]
    is_shipped: bool = False


def _by(method: str) -> Callable[[Sale], Iterator[Step]]:
    return lambda sale: sale.places_a_cart(method)


def _nothing(_sale: Sale) -> dict[str, int]:
    return {}


def _all_of_it(sale: Sale) -> dict[str, int]:
    return {"captured": sale.total}


KINDS = (
    Kind(_by("pm_visa"), Sale.is_shipped, _all_of_it, is_shipped=True),
    Kind(_by("pm_soft"), Sale.is_paid_by_another_method, _all_of_it, is_shipped=True),
    Kind(_by("pm_visa"), Sale.is_called_off, _nothing),
    Kind(_by("pm_visa"), Sale.is_given_back, lambda sale: {"captured": sale.total, "refunded": sale.total}),
    Kind(
        _by("pm_visa"),
        Sale.is_returned,
        lambda sale: {"captured": sale.total, "refunded": PART, "credited": CREDIT},
        is_shipped=True,
    ),
    Kind(
        Sale.places_an_order,
        Sale.is_paid_with_credit,
        lambda sale: {"captured": sale.total - CREDIT, "spent": CREDIT},
        is_shipped=True,
    ),
    Kind(Sale.places_an_order, Sale.is_called_off_with_credit, _nothing),
    Kind(_by("pm_declined"), Sale.is_declined, _nothing),
    Kind(_by("pm_3ds"), Sale.is_shipped, _all_of_it, is_shipped=True),
    Kind(_by("pm_pending"), Sale.is_called_off_early, _nothing),
    Kind(_by("pm_visa"), Sale.is_captured_in_parts, _all_of_it, is_shipped=True),
    Kind(
        Sale.places_an_order,
        Sale.is_paid_by_hand,
        lambda sale: {"by_hand": sale.total, "credited": sale.total},
        is_shipped=True,
    ),
)
"""Every way in which a payment ends."""
