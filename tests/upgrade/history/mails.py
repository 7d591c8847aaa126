"""Mails about orders: taken, refused, sent as a copy, and one of which nobody knows whether it was taken."""

from typing import Final

from tests.upgrade.history import buying
from tests.upgrade.installation import Installation, Sent
from tests.upgrade.parties import wait_until

_REFUSED: Final = {"at": "RCPT", "say": "550 5.1.1 no such user"}
_SILENT: Final = {"at": "END"}


def fill(on: Installation) -> None:
    """Everything that comes of a mail, but for what is suppressed (`identity`)."""
    order_id = buying.buy_reachably(on, "written-to")
    of_order = f"/v1/mails?order={order_id}"
    found = on.wait_for(
        of_order, lambda mails: [each["status"] for each in mails["items"]] == ["accepted", "accepted"]
    )
    refused, silent = sorted(each["mail_id"] for each in found["items"])
    on.parties.mails.script(_REFUSED)
    on.send(Sent("copy-refused", f"/v1/mails/{refused}/copy", {}))
    on.wait_for_event("mail.mail_failed.v1")
    # The sender dies while the server has the mail and has not replied; then the server refuses it.
    on.parties.mails.script(_SILENT, _REFUSED)
    seen = len(on.parties.mails.taken)
    on.send(Sent("copy-silent", f"/v1/mails/{silent}/copy", {}))
    wait_until(lambda: len(on.parties.mails.taken) > seen, "a mail without a reply")
    on.shop.wait_for_another("processes", than=on.shop.kill("processes"))
    on.wait_for_event("mail.mail_unconfirmed.v1")
    on.shows(of_order, "/v1/mails?limit=100", f"/v1/mails/{refused}")
