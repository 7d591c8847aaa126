"""The catalogue of problems: everything an HTTP answer can complain about, with what to do about it.

A slug is for ever: clients branch on it. Each type has a page of its own at `/problems/<slug>`.
"""

from collections.abc import Mapping
from types import MappingProxyType

from msgspec import Struct


class ProblemType(Struct, frozen=True):
    """One kind of problem: stable slug, HTTP status, title, what it means and what the caller can do."""

    slug: str
    status: int
    title: str
    meaning: str
    remedy: str

    @property
    def uri(self) -> str:
        """The reference that the member `type` of an answer carries."""
        return f"/problems/{self.slug}"


_REQUESTS = (
    ProblemType(
        "malformed-json",
        400,
        "The body is not JSON",
        "The body cannot be read as one JSON text in UTF-8: it is cut off, nested too deeply,"
        " names one member twice, or holds a number or a character that JSON does not have.",
        "Send one JSON object in UTF-8. The detail names the place.",
    ),
    ProblemType(
        "validation-failed",
        422,
        "The request has members that cannot be accepted",
        "Members are missing, unknown, of another type or out of range. Nothing was done.",
        "Correct each entry of `errors`: `pointer` is a JSON Pointer into the body, `parameter` names a"
        " part of the address, `header` a header.",
    ),
    ProblemType(
        "idempotency-key-missing",
        400,
        "The header Idempotency-Key is missing",
        "Every command carries a key of the caller's own, so that repeating it does not do it twice.",
        "Choose a new key (a UUID, say) per intended effect and send it again with every repetition.",
    ),
    ProblemType(
        "idempotency-key-malformed",
        400,
        "The header Idempotency-Key cannot be a key",
        "A key has 1 to 255 visible ASCII characters.",
        "Send a key without spaces, control characters or letters outside ASCII.",
    ),
    ProblemType(
        "idempotency-key-reused",
        422,
        "The key belongs to another request",
        "A request with this key was accepted before, and it asked for something else.",
        "Use a new key for a new request. To repeat the earlier one, send exactly what was sent then.",
    ),
    ProblemType(
        "if-match-malformed",
        400,
        "The header If-Match is not one entity tag",
        'If-Match carries one strong entity tag, such as "3", as an earlier answer gave it in ETag.',
        "Send the ETag as it came, with its quotes, or leave the header out.",
    ),
    ProblemType(
        "precondition-failed",
        412,
        "The stream has moved on",
        "If-Match names a version that is not the current one. Nothing was done.",
        "Read the current state (`facts.actual` is its version), decide again, and send the new version with a"
        " new key.",
    ),
    ProblemType(
        "unsupported-media-type",
        415,
        "The body is not declared as plain JSON",
        "Commands are JSON, and say so; a compressed body is not taken.",
        "Send the header Content-Type: application/json, and no Content-Encoding.",
    ),
    ProblemType(
        "body-too-large",
        413,
        "The body is too large",
        "The body passes the limit named in `facts.limit_bytes`. It was not read to its end.",
        "Split the request: a batch can be sent as several.",
    ),
    ProblemType(
        "body-too-slow",
        408,
        "The body did not arrive in time",
        "The body was not complete within `facts.limit_seconds`.",
        "Send it again. The key is unused.",
    ),
    ProblemType(
        "not-found",
        404,
        "There is nothing here",
        "The address names nothing that exists.",
        "Check the address. What was just written may not be visible yet: send its Position as Min-Position.",
    ),
    ProblemType(
        "method-not-allowed",
        405,
        "The address does not know this method",
        "The address exists, but not with this method.",
        "The header Allow names the methods that it knows.",
    ),
    ProblemType(
        "unknown-command",
        422,
        "There is no such command",
        "An entry of a batch names a command that does not exist.",
        "`facts.known` lists the commands.",
    ),
)

_REFUSALS = (
    ProblemType(
        "product-unknown",
        404,
        "No product has this code",
        "The command addresses a product that was never created.",
        "Create the product first, or check the code: case matters.",
    ),
    ProblemType(
        "unknown-sku",
        422,
        "A line names a code that no product has",
        "Every line of an order or a credit note names a product. Nothing was done.",
        "Create the products first, or correct the lines that `errors` points at: case matters.",
    ),
    ProblemType(
        "no-list-price",
        422,
        "A line has no price",
        "The line names no unit price, and the product has no list price in the currency of the order.",
        "Give the line a unit price, or the product a list price in this currency.",
    ),
    ProblemType(
        "sku-taken",
        409,
        "The code belongs to a product already",
        "A product is created once.",
        "Choose another code, or change the price of the product that has it.",
    ),
    ProblemType(
        "price-without-currency",
        422,
        "List price and currency belong together",
        "A list price was given without its currency, or the other way round.",
        "Give both or neither.",
    ),
    ProblemType(
        "not-stocked",
        409,
        "The product is not kept in stock",
        "A service has no pieces to receive or to correct.",
        "Address a product that was created as stocked.",
    ),
    ProblemType(
        "insufficient-stock",
        409,
        "Not enough pieces are available",
        "The command would take pieces that are promised to orders or not there at all.",
        "Take at most `facts.available` pieces, receive more, or cancel an order that holds some.",
    ),
    ProblemType(
        "not-reserved",
        409,
        "More pieces than are reserved",
        "The command would release or ship pieces that are not promised.",
        "Release or ship at most `facts.reserved` pieces.",
    ),
    ProblemType(
        "order-unknown",
        404,
        "There is no such order",
        "The command addresses an order that was never placed.",
        "Check the id: case matters.",
    ),
    ProblemType(
        "order-id-taken",
        409,
        "The id belongs to an order already",
        "An order is placed once.",
        "Choose another id. To repeat a request whose answer was lost, send it with its first key.",
    ),
    ProblemType(
        "already-confirmed",
        409,
        "The order is confirmed already",
        "Its stock is reserved, so it cannot be rejected any more.",
        "Cancel the order instead.",
    ),
    ProblemType(
        "already-rejected",
        409,
        "The order was rejected",
        "Stock did not suffice when the order was looked at; nothing is left to call off or to ship.",
        "Place a new order.",
    ),
    ProblemType(
        "already-shipped",
        409,
        "The order has been shipped",
        "The parcel has left, so the order cannot be called off any more.",
        "Issue a credit note for what comes back.",
    ),
    ProblemType(
        "already-cancelled",
        409,
        "The order is cancelled",
        "The order was called off before.",
        "Place a new order.",
    ),
    ProblemType(
        "not-confirmed",
        409,
        "The order is not confirmed",
        "Only an order whose stock is reserved is shipped. `facts.status` says where it stands.",
        "Wait until a placed order is confirmed; rejected and cancelled ones are never shipped.",
    ),
    ProblemType(
        "credit-note-id-taken",
        409,
        "The id belongs to a credit note already",
        "A credit note is issued once.",
        "Choose another id. To repeat a request whose answer was lost, send it with its first key.",
    ),
    ProblemType(
        "line-count-out-of-range",
        422,
        "Too few or too many lines",
        "A document has at least one line and at most `facts.limit`.",
        "Split the document.",
    ),
    ProblemType(
        "quantity-out-of-range",
        422,
        "The quantity is out of range",
        "A quantity is at least one piece and at most `facts.limit`.",
        "Correct the quantity, or split the movement.",
    ),
    ProblemType(
        "malformed-unit-price",
        422,
        "The unit price is not a price",
        "A unit price is decimal text without sign or exponent, with at most eight decimals.",
        'Send text such as "2.55".',
    ),
    ProblemType(
        "unknown-currency",
        422,
        "There is no such currency",
        "A currency is an ISO 4217 code in circulation.",
        'Send a code such as "GBP".',
    ),
    ProblemType(
        "amount-too-large",
        422,
        "The total is too large",
        "The total passes what one document may carry: `facts.limit` minor units.",
        "Split the document.",
    ),
    ProblemType(
        "malformed-id",
        422,
        "The id cannot be an id",
        "An id has 1 to 64 ASCII letters, digits, `_`, `.`, `-` or spaces; the first and the last are letters or"
        " digits.",
        "Choose another id.",
    ),
)

_OPERATION = (
    ProblemType(
        "contended",
        409,
        "Other writers were faster each time",
        "The stream changed under every attempt to decide. Nothing was done, and the key is unused.",
        "Send the request again with the same key after a moment.",
    ),
    ProblemType(
        "too-many-tagged",
        409,
        "Too many events would have to be read to decide",
        "The command is decided on all earlier events that carry the tags in `facts.tags`, and there are more of them"
        " than one command may read. Nothing was done, and repeating it changes nothing.",
        "Tell who runs the shop: what has so long a history needs an aggregate of its own, whose state sums it up.",
    ),
    ProblemType(
        "too-busy",
        503,
        "Too much is waiting",
        "The queue of commands is full. The request was refused before any work was done for it.",
        "Wait as long as Retry-After says, then send the request again with the same key.",
    ),
    ProblemType(
        "outcome-unknown",
        503,
        "It is not known whether the request was done",
        "The connection to the log was lost between asking and answering.",
        "Send the request again with the same key: it is done once, and the answer is the one that was lost.",
    ),
    ProblemType(
        "shutting-down",
        503,
        "This process is ending",
        "The request came while the process finished what it had begun. It was refused before any work.",
        "Send the request again with the same key: another process takes it.",
    ),
    ProblemType(
        "store-unavailable",
        503,
        "The log cannot be reached",
        "The database does not answer at the moment. Nothing was done.",
        "Wait as long as Retry-After says, then send the request again with the same key.",
    ),
    ProblemType(
        "internal-error",
        500,
        "Something is broken on this side",
        "The request met a fault of ours. It was logged with the correlation id of the answer.",
        "Send the request again with the same key; if it fails again, report the correlation id.",
    ),
)

_READS = (
    ProblemType(
        "invalid-parameter",
        400,
        "A parameter of the address cannot be accepted",
        "A parameter is unknown, given twice, of another type or out of range. An unknown one is never passed over:"
        " a misspelt filter would filter nothing.",
        "Correct each entry of `errors`; `parameter` names it, and the detail says what is accepted.",
    ),
    ProblemType(
        "stale-read",
        503,
        "The view has not come that far yet",
        "The view had not reached the position asked for with Min-Position in the time that Prefer allowed; or, where"
        " `parked_at` is given, this key stands still at an event that an operator has to look at.",
        "Ask again after Retry-After, allow more time with Prefer: wait=…, or accept an older answer with"
        " Prefer: handling=lenient.",
    ),
    ProblemType(
        "malformed-token",
        400,
        "The position token was not issued here",
        "Min-Position carries something that no Position header ever said.",
        "Send a Position header's text unchanged.",
    ),
    ProblemType(
        "position-beyond-head",
        400,
        "The position lies in the future",
        "The log has not reached the position asked for.",
        "Ask for a position that the log has.",
    ),
    ProblemType(
        "position-lost",
        410,
        "The position was lost in a restore",
        "The log was restored or failed over, and what stood at this position is gone.",
        "Look at the current state and repeat what is missing from it.",
    ),
    ProblemType(
        "malformed-cursor",
        400,
        "The cursor was not issued here",
        "The cursor does not belong to this list.",
        "Follow the link to the next page as it was given, or begin again without a cursor.",
    ),
    ProblemType(
        "view-unavailable",
        503,
        "The view cannot be read",
        "The view has no live build, or the database does not answer at the moment.",
        "Ask again after Retry-After.",
    ),
)

CATALOGUE: Mapping[str, ProblemType] = MappingProxyType(
    {problem.slug: problem for problem in (*_REQUESTS, *_REFUSALS, *_OPERATION, *_READS)}
)
"""Every problem by its slug."""
