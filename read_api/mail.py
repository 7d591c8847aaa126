"""What can be asked about mails: which were sent, and which were not."""

from typing import Final

from projections.mail.views import MailDetails, mail_details
from read_api.lists.declaring import Listed, ListOf, Sort, by_day, by_value
from read_api.reading.resource import Resource, only_row
from read_api.routing import ById, Documented, Queries

MAIL: Final = Resource(noun="mail", view=mail_details, render=only_row)

_EXAMPLE: Final = {
    "mail_id": "order-5f1d7a84db00d2fce00b31a7fc73224f",
    "template": "order-confirmed",
    "recipient_ref": "17850",
    "order_id": "536365",
    "status": "failed",
    "requested_at": "2026-01-31T08:26:00Z",
    "answered_at": "2026-01-31T08:26:01Z",
    "reason": "550 5.1.1",
}

MAILS: Final = ById(
    "/mails/{mail_id}",
    "mails:read",
    MAIL,
    Documented("get_mail", "Mail", MailDetails, _EXAMPLE, "order-5f1d7a84db00d2fce00b31a7fc73224f"),
)
LISTED: Final = ListOf(
    path="/mails",
    requires="mails:read",
    view=mail_details,
    filters=(
        by_value("status", "status", description="Only mails with this status.", example="failed"),
        by_value("order", "order_id", description="Only mails about this order.", example="536365", few=True),
        by_value(
            "recipient",
            "recipient_ref",
            description="Only mails to this customer or account.",
            example="17850",
        ),
        *by_day("requested_at", said="Requested"),
    ),
    sorts=(
        Sort(
            "requested_at",
            ("requested_at", "mail_id"),
            filters=("status", "order", "from", "to"),
            falling=True,
        ),
        Sort(
            "recipient",
            ("recipient_ref", "requested_at", "mail_id"),
            filters=("recipient", "from", "to"),
            falling=True,
        ),
    ),
    documented=Listed(
        "list_mails",
        "MailsPage",
        "Mails, newest first",
        "`status=failed` are those that the mail server did not take. None has an address in it.",
        _EXAMPLE,
        example_ids=("order-5f1d7a84db00d2fce00b31a7fc73224f", "copy-9b74c9897bac770ffc029102a200c5de"),
    ),
)

QUERIES: Final = Queries(by_id=(MAILS,), lists=(LISTED,))
