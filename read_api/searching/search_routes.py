"""GET /v1/product-search: what a shop's visitors look for."""

from typing import Annotated, Final

from fastapi import Depends, Request
from starlette.responses import Response

from read_api import parameters
from read_api.answers import Wished
from read_api.documentation import ALWAYS, FRESHNESS, LIST_HEADERS, responses
from read_api.parameters import CURSOR
from read_api.searching.answering import FoundProducts
from read_api.searching.product_searches import ProductSearches
from read_api.searching.questions import PATH, SearchParameters, question_of
from runtime.http import api_version
from runtime.http.headers import SHARED
from runtime.http.principal import Browsable, requires
from runtime.http.routes import KNOWN
from runtime.pagination import next_link

SHARED_S: Final = 60
"""How long shared caches may answer callers without a token."""

SEARCHED: Final = Browsable("catalogue:read", "products are found by everybody")

_EXAMPLE: Final = {
    "items": [
        {
            "sku": "85123A",
            "title": "White hanging heart t-light holder",
            "listing_id": "heart",
            "slug": "hanging-heart",
            "titles": {"en-GB": "Hanging heart"},
            "options": {"colour": "white"},
            "unit_price": "2.55",
            "currency": "GBP",
            "in_stock": True,
            "created_at": "2026-01-31T08:26:00Z",
        }
    ],
    "next_cursor": None,
    "matches": 1,
    "facets": [
        {"facet": "category:hearts", "count": 1},
        {"facet": "option:colour=white", "count": 1},
        {"facet": "price:GBP 2-5", "count": 1},
        {"facet": "stock:in", "count": 1},
    ],
    "means": "words",
}

router = parameters.query_router("catalogue")


def _searches(request: Request) -> ProductSearches:
    searches = request.scope["app"].state.searches
    assert isinstance(searches, ProductSearches)
    return searches


Searches = Annotated[ProductSearches, Depends(_searches)]


@router.get(
    PATH,
    operation_id="list_found_products",
    summary="Products by words, facets and price",
    response_class=Response,
    responses=responses(
        FoundProducts,
        example=_EXAMPLE,
        headers=(*LIST_HEADERS, "Cache-Control", "Vary"),
        problems=("malformed-cursor", *ALWAYS),
    ),
    openapi_extra=FRESHNESS,
)
@requires(SEARCHED)
async def search_products(
    *, request: Request, searches: Searches, wish: Wished, given: Annotated[SearchParameters, Depends()]
) -> Response:
    """SKUs that are on offer. One of a listing is found where that is published, and by what that says, too."""
    answered = await searches.answer(question_of(given), wish)
    headers = dict(answered.headers)
    if answered.next_cursor is not None:
        query = request.query_params.multi_items()
        headers["Link"] = next_link(
            api_version.PREFIX + PATH, query, cursor=answered.next_cursor, parameter=CURSOR
        )
    if wish.token is None and not request.scope[KNOWN]:
        headers["Cache-Control"] = (SHARED % SHARED_S).decode("ascii")
        headers["Vary"] = "Authorization, Min-Position"
    return Response(answered.body, media_type="application/json", headers=headers)
