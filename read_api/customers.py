"""What can be asked about customers: by id, by day, country and consent, and by the exact address of their e-mail.

An address never stands in the address of a request, which logs and proxies keep: it comes in a header, and is looked up
by its keyed hash.
"""

from typing import Annotated, Final

import msgspec
from fastapi import Header
from msgspec import Struct
from psycopg import sql
from starlette.responses import Response

from projections.customers.views import (
    CustomerDetails,
    customer_details,
    customer_email,
    customer_summary,
)
from read_api import answers, parameters
from read_api.answers import Wished
from read_api.audit import subject
from read_api.checkpoints import CheckpointSnapshot
from read_api.connections import AsyncConnection
from read_api.documentation import ALWAYS, EMAIL_PATTERN, FRESHNESS, SUM_HEADERS, responses
from read_api.including import member
from read_api.lists.declaring import Listed, ListOf, Sort, by_day, by_value
from read_api.reading.resource import Resource, only_row
from read_api.reads import OpenReads, live
from read_api.routing import ById, Documented, Include, Queries
from runtime.http import contract
from runtime.http.principal import Owned, requires

FOUND_MAX: Final = 100
"""Customers with one address that are answered."""

CUSTOMER: Final = Resource(noun="customer", view=customer_details, render=only_row, owner="customer_id")

_PLAIN: Final = {"shown": "plain", "text": "Ada Lovelace"}
_EMAIL: Final = {"shown": "plain", "text": "ada@example.org"}
_SUMMARY_EXAMPLE: Final = {
    "customer_id": "17850",
    "status": "active",
    "name": _PLAIN,
    "email": _EMAIL,
    "country": "United Kingdom",
    "registered_at": "2026-01-31T08:26:00Z",
    "marketing": True,
    "analytics": False,
}
_EXAMPLE: Final = {
    "customer_id": "17850",
    "status": "active",
    "account_id": None,
    "name": _PLAIN,
    "email": _EMAIL,
    "phone": None,
    "country": "United Kingdom",
    "registered_at": "2026-01-31T08:26:00Z",
    "preferences": {"language": "en-GB"},
    "consents": {"marketing": {"policy_version": "2026-01", "granted_at": "2026-01-31T08:27:00Z"}},
    "addresses": [
        {
            "address_id": "home",
            "recipient": _PLAIN,
            "lines": {"shown": "plain", "text": "12 St James's Square\nLondon SW1Y 4JH"},
            "country": "United Kingdom",
        }
    ],
    "holds": [],
    "merged": [],
    "merged_into": None,
    "erasure_requested_at": None,
    "erased_at": None,
}

CUSTOMERS: Final = ListOf(
    path="/customers",
    requires=Owned("customers:read"),
    owner="customer_id",
    view=customer_summary,
    filters=(
        by_value("country", "country", description="Only of this country.", example="United Kingdom"),
        by_value("marketing", "marketing", description="Whether they agree to marketing.", example=True),
        by_value("analytics", "analytics", description="Whether they agree to analytics.", example=True),
        *by_day("registered_at", said="Registered"),
    ),
    sorts=(
        Sort(
            "registered_at",
            ("registered_at", "customer_id"),
            filters=("country", "marketing", "from", "to"),
            falling=True,
        ),
        Sort("customer_id", ("customer_id",), filters=("analytics",)),
    ),
    documented=Listed(
        "list_customers",
        "CustomersPage",
        "Customers, newest first",
        "Nobody is searched by name. Personal fields are shown by role.",
        _SUMMARY_EXAMPLE,
        example_ids=("17850", "17851"),
    ),
)

_FIND: Final = sql.SQL(
    "select t.customer_id from {table} t where not t.deleted and t.email_digest = %s order by t.customer_id limit %s"
)
_encode = msgspec.json.Encoder().encode

router = parameters.query_router("customers")


class FoundCustomers(Struct, frozen=True):
    """Those with this address, 100 at most."""

    customer_ids: tuple[str, ...]


@router.get(
    "/customer-search",
    operation_id="list_customers_by_email",
    summary="Customers with an e-mail address",
    response_class=Response,
    responses=responses(
        FoundCustomers,
        example={"customer_ids": ["17850"]},
        headers=SUM_HEADERS,
        problems=(*ALWAYS, "no-key-database"),
    ),
    openapi_extra={"parameters": [*contract.refer("parameters", "Customer-Email"), *FRESHNESS["parameters"]]},
)
@requires("customers:read")
async def find_customers(
    *,
    reads: OpenReads,
    wish: Wished,
    email: Annotated[
        str,
        Header(
            alias="Customer-Email",
            min_length=3,
            max_length=254,
            pattern=EMAIL_PATTERN,
            include_in_schema=False,  # a component says the same
        ),
    ],
) -> Response:
    """The address stands in a header, since addresses of requests are kept in logs. Names are not searched."""
    digest = await reads.email_digest(email.encode("latin-1").decode("utf-8", "replace"))
    wish = await reads.admission.admit(wish, views=_SEARCHED)

    async def read(connection: AsyncConnection, snapshot: CheckpointSnapshot) -> FoundCustomers:
        table = sql.Identifier("views", live(snapshot, customer_email.name).id.table)
        rows = await (await connection.execute(_FIND.format(table=table), (digest, FOUND_MAX))).fetchall()
        return FoundCustomers(tuple(str(row[0]) for row in rows))

    snapshot, found = await reads.snapshot(read)
    headers = answers.fresh_headers(snapshot, views=_SEARCHED, wish=wish)
    return Response(_encode(found), media_type="application/json", headers=headers)


subject.add_route(router)

_SEARCHED: Final = (customer_email.name,)

DETAILS: Final = ById(
    "/customers/{customer_id}",
    Owned("customers:read"),
    CUSTOMER,
    Documented("get_customer", "Customer", CustomerDetails, _EXAMPLE, "17850"),
)

QUERIES: Final = Queries(
    by_id=(DETAILS,),
    lists=(CUSTOMERS,),
    router=router,
    includes=(Include(name="customer", into="/orders/{order_id}", shown=DETAILS, ids=member("customer_id")),),
)
