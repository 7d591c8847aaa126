"""The world around an installation that a dump is made of: a carrier, a payment provider, a mail server, a login."""

import contextlib
import re
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

from devservers import child
from tests.acceptance.running import command, environment
from tests.identity import provider
from tests.mails import mailing
from tests.mails.mailing import MailServer

SHOP_MAIL: Final = "no-reply@shop.example"
WAREHOUSE_MAIL: Final = "warehouse@shop.example"
POSTAGE: Final = "POST"
"""The SKU of a way of shipping."""
WEBHOOK_SECRET: Final = "a-secret-of-webhooks"
REFUSING_LABELS: Final = ("--faults", "refuse=0.3", "--seed", "7")
COMES_WITHIN_S: Final = 60.0

_token: Final = re.compile(r"#token=(\S+)").findall


class Simulated:
    """A simulator of the product in a process of its own, at one port; `forget` has it begin again with empty books."""

    def __init__(self, name: str, folder: Path, *options: str) -> None:
        self._name, self._folder, self._options = name, folder, options
        self._books = 0
        self._port = child.free_port()
        self._start()

    @property
    def url(self) -> str:
        """Where it answers."""
        return f"http://127.0.0.1:{self._port}"

    def forget(self) -> None:
        """Begin again: what it did before is not known to it any more."""
        self.stop()
        self._start()

    def stop(self) -> None:
        """End it."""
        self._process.terminate()
        self._process.wait()

    def _start(self) -> None:
        self._books += 1
        book = self._folder / f"{self._name}-{self._books}.ledger"
        arguments = ("simulate", self._name, "--ledger", str(book), "--port", str(self._port), *self._options)
        self._process = subprocess.Popen(
            command(*arguments), stdout=subprocess.PIPE, env=environment(self._folder / "home")
        )
        assert self._process.stdout is not None
        self._process.stdout.readline()


class Parties:
    """All of them, and the settings by which an installation finds them."""

    def __init__(
        self, *, carrier: Simulated, payments: Simulated, mails: MailServer, logins: Any, command_port: int
    ) -> None:
        self.payments, self.mails = payments, mails
        self._carrier, self._logins, self._command_port = carrier, logins, command_port

    @property
    def settings(self) -> dict[str, str]:
        """Settings of an installation that uses them all."""
        given = {
            "command_api_port": str(self._command_port),
            "carrier_url": self._carrier.url,
            "payment_url": self.payments.url,
            "payment_webhook_secrets": WEBHOOK_SECRET,
            "mail_host": "127.0.0.1",
            "mail_port": str(self.mails.ports["plain"]),
            "mail_tls": "none",
            "mail_from": SHOP_MAIL,
            "mail_links": "https://shop.example/account",
            "mail_warehouse": WAREHOUSE_MAIL,
            "shipping_options": POSTAGE,
            "login_url": provider.LOGIN_URL,
            "oidc_issuer": self._logins.issuer,
            "oidc_client_id": provider.CLIENT_ID,
            "oidc_client_secret": provider.CLIENT_SECRET,
        }
        return {f"COUNTERFOIL_{name.upper()}": value for name, value in given.items()}

    def link_to(self, address: str, *, before: int = 0) -> str:
        """The token of the newest link that was mailed to an address, of which `before` were known."""
        links: list[str] = []

        def came() -> bool:
            links[:] = [
                token
                for entry in self.mails.taken
                if address in entry["to"]
                for token in _token(mailing.parsed(entry).get_content())
            ]
            return len(links) > before

        wait_until(came, f"a link to {address}")
        return links[-1]


def wait_until(holds: Callable[[], bool], what: str, *, within_s: float = COMES_WITHIN_S) -> None:
    """Wait until something holds; fails after a time."""
    give_up_s = time.monotonic() + within_s
    while not holds():
        assert time.monotonic() < give_up_s, f"not within {within_s} s: {what}"
        time.sleep(0.05)


@contextlib.contextmanager
def running(folder: Path) -> Iterator[Parties]:
    """All of them while the block runs, with their books in a folder."""
    (folder / "mails").mkdir()
    port = child.free_port()
    webhooks = f"http://127.0.0.1:{port}/v1/payment-webhooks"
    with (
        mailing.mail_server(folder / "mails") as mails,
        provider.running(f"{provider.LOGIN_URL}/oidc/callback") as logins,
    ):
        carrier = Simulated("carrier", folder, *REFUSING_LABELS)
        payments = Simulated(
            "payments", folder, "--webhooks", webhooks, "--webhook-secret", WEBHOOK_SECRET, "--seed", "7"
        )
        try:
            yield Parties(carrier=carrier, payments=payments, mails=mails, logins=logins, command_port=port)
        finally:
            carrier.stop()
            payments.stop()
