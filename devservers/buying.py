"""Who is who in the demo's shop: an owner, an operator, the program that imports, customers who sign up, and guests."""

import itertools
import secrets
import time
from collections.abc import Iterable
from typing import Any, Final, Self

import httpx

from counterfoil import accounts, logging_in
from counterfoil.user_messages import UserError
from devservers.mailbox import Mailbox
from runtime.http import api_version
from runtime.http.access import PERMISSIONS, REVEAL
from runtime.settings import Settings

OWNER: Final = "owner@shop.example"
PASSWORD_FILE: Final = "owner.password"  # noqa: S105 - its name
OPERATOR: Final = "operator@shop.example"
IMPORTER: Final = "importer"

CUSTOMERS: Final = 10
ORDERS_PER_CUSTOMER: Final = 5
GUESTS: Final = 150
ORDERS: Final = CUSTOMERS * ORDERS_PER_CUSTOMER + GUESTS

SKUS: Final = 20
"""Products that they choose from."""

TIMEOUT_S: Final = 30.0
MAIL_WITHIN_S: Final = 60.0
PAID_WITHIN_S: Final = 120.0
"""For all orders that are paid for: each waits for the provider and for what it decides."""
SHOWN_WITHIN_S: Final = 120.0
"""For one page, which may be asked for before the views have what it shows."""
POLL_S: Final = 0.1
METHOD: Final = "pm_visa"
"""What the provider knows a buyer's card by."""


class BuyingFailed(UserError):
    """The shop answered something else than it should have; the text says what."""


class People:
    """Asks both APIs as who somebody is. Close it when done."""

    def __init__(self, command_api: str, query_api: str) -> None:
        self._commands = f"{command_api}{api_version.PREFIX}"
        self._queries = f"{query_api}{api_version.PREFIX}"
        self._http = httpx.Client(timeout=TIMEOUT_S, trust_env=False)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    def importer(self, owner: str) -> str:
        """Register the program that imports, as the owner; its key."""
        body = {
            "client_id": IMPORTER,
            "name": "Importer",
            "scopes": sorted(PERMISSIONS["service"] - {REVEAL}),
        }
        return str(self._post("clients", body, token=owner)["secret"])

    def operator(self, owner: str) -> str:
        """Register an operator, as the owner; a token that is good for ten minutes."""
        password = secrets.token_urlsafe()
        self._post("accounts", {"email": OPERATOR, "password": password, "roles": ["operator"]}, token=owner)
        return self.token(OPERATOR, password)

    def customers(self, mailbox: Mailbox) -> list[str]:
        """Tokens of those who sign up: they ask for an account, follow the link in the mail and log in."""
        addresses = [f"customer-{number}@shop.example" for number in range(1, CUSTOMERS + 1)]
        for address in addresses:
            self._post("registrations", {"email": address}, expected=httpx.codes.ACCEPTED)
        return [self._signed_up(address, mailbox) for address in addresses]

    def guests(self) -> list[str]:
        """Tokens of those who buy without an account."""
        return [str(self._post("guest-tokens", {})["access_token"]) for _ in range(GUESTS)]

    def token(self, email: str, password: str) -> str:
        """Log in."""
        return str(self._post("sessions", {"email": email, "password": password})["access_token"])

    def buy(self, customers: list[str], guests: list[str], skus: list[str]) -> dict[str, str]:
        """Have all of them order, each what comes next in the shop: whose token each order was placed with.

        Customers fill a cart, check out and pay; guests order at once, and pay when the parcel comes.
        """
        carts = zip(customers * ORDERS_PER_CUSTOMER, itertools.cycle(skus))
        paid = {self._bought(buyer, sku): buyer for buyer, sku in carts}
        return paid | {self._ordered(buyer, sku): buyer for buyer, sku in zip(guests, itertools.cycle(skus))}

    def wait_for(self, what: str, member: str, value: str, orders: Iterable[tuple[str, str]]) -> None:
        """Wait until each of these orders (id and token of the buyer) is shown with that value.

        Raises:
            BuyingFailed: one is not within two minutes.
        """
        give_up = time.monotonic() + PAID_WITHIN_S
        for order_id, buyer in orders:
            path = what.format(order_id)
            while (found := self._get(path, token=buyer).json().get(member)) != value:
                if time.monotonic() > give_up:
                    raise BuyingFailed(f"{path} is {found} after {PAID_WITHIN_S:.0f} s, and not {value}")
                time.sleep(POLL_S)

    def on_sale(self, buyer: str) -> list[str]:
        """Things that somebody finds in the catalogue."""
        answer = self._get(f"products?limit={SKUS}", token=buyer)
        return [str(each["sku"]) for each in answer.json()["items"]]

    def may_read(self, order_id: str, *, token: str) -> bool:
        """Whether somebody is shown an order."""
        return self._get(f"orders/{order_id}", token=token).status_code == httpx.codes.OK

    def _signed_up(self, address: str, mailbox: Mailbox) -> str:
        link = mailbox.link_to(address, within_s=MAIL_WITHIN_S)
        if link is None:
            raise BuyingFailed(f"no mail came for {address} within {MAIL_WITHIN_S:.0f} s")
        password = secrets.token_urlsafe()
        self._post("registrations/completion", {"token": link, "password": password})
        return self.token(address, password)

    def _bought(self, buyer: str, sku: str) -> str:
        cart = str(self._post("carts", {"currency": "GBP"}, token=buyer)["id"])
        self._post(f"carts/{cart}/items", {"sku": sku, "quantity": 1}, token=buyer)
        frozen = self._send(f"carts/{cart}/checkout", {"country": "United Kingdom"}, token=buyer)
        shown = self._get(
            f"carts/{cart}", token=buyer, **{"min-position": frozen.headers["position"], "prefer": "wait=10"}
        )
        checkout = str(shown.json()["checkout"]["checkout_id"])
        order = {"checkout_id": checkout, "method_ref": METHOD}
        self._post(f"carts/{cart}/order", order, token=buyer)
        return checkout

    def _ordered(self, buyer: str, sku: str) -> str:
        body = {"country": "United Kingdom", "currency": "GBP", "lines": [{"sku": sku, "quantity": 1}]}
        return str(self._post("orders", body, token=buyer)["id"])

    def _post(
        self,
        path: str,
        body: dict[str, Any],
        *,
        token: str | None = None,
        expected: int = httpx.codes.CREATED,
    ) -> dict[str, Any]:
        found: dict[str, Any] = self._send(path, body, token=token, expected=expected).json()
        return found

    def _get(self, path: str, *, token: str, **headers: str) -> httpx.Response:
        headers |= {"authorization": f"Bearer {token}"}
        url, give_up = f"{self._queries}/{path}", time.monotonic() + SHOWN_WITHIN_S
        answer = self._http.get(url, headers=headers)
        # On a busy machine views are later than anybody may wait for at once.
        while answer.status_code == httpx.codes.SERVICE_UNAVAILABLE and time.monotonic() < give_up:
            time.sleep(POLL_S)
            answer = self._http.get(url, headers=headers)
        if answer.status_code not in {httpx.codes.OK, httpx.codes.NOT_FOUND}:
            raise _unexpected(answer)
        return answer

    def _send(
        self,
        path: str,
        body: dict[str, Any],
        *,
        token: str | None = None,
        expected: int = httpx.codes.CREATED,
    ) -> httpx.Response:
        headers = {"idempotency-key": secrets.token_hex(16)}
        if token is not None:
            headers["authorization"] = f"Bearer {token}"
        answer = self._http.post(f"{self._commands}/{path}", json=body, headers=headers)
        if answer.status_code != expected:
            raise _unexpected(answer)
        return answer


def owner(settings: Settings) -> str:
    """Register the owner, with a password that only a file below home has; a token that is good for ten minutes."""
    password = secrets.token_urlsafe()
    file = settings.home / PASSWORD_FILE
    file.touch(mode=0o600)
    file.write_text(password)
    accounts.create_owner(settings, email=OWNER, password=password, by="demo")
    return logging_in.access_token(settings, email=OWNER, password=password)


def _unexpected(answer: httpx.Response) -> BuyingFailed:
    return BuyingFailed(
        f"{answer.request.method} {answer.request.url} answered {answer.status_code}: {answer.text[:300]}"
    )
