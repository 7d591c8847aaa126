"""Problems: what an HTTP answer can complain about, with what to do about it; here those of transport and log.

What the business refuses describes itself where it is declared, in the domain. A slug is for ever: clients branch on
it. Each type has a page of its own at `/problems/<slug>`.
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
        "correlation-id-malformed",
        400,
        "The header Correlation-Id cannot be one",
        "A correlation id has 1 to 128 ASCII letters, digits and characters of `._:/+=@-`, and is sent once.",
        "Send one of that form, or leave the header out. The answer names the id that was made up instead.",
    ),
    ProblemType(
        "unauthenticated",
        401,
        "The caller is not known",
        "The request needs an access token in the header Authorization, and carries none, or one that is not accepted:"
        " expired, revoked, or not of this installation.",
        "Log in, or refresh the session, and send `Authorization: Bearer <access token>`.",
    ),
    ProblemType(
        "bad-credentials",
        401,
        "Address and password do not belong together",
        "There is no account with this address, or its password is another one: the answer does not say which.",
        "Correct what was typed, or have the password reset.",
    ),
    ProblemType(
        "login-refused",
        400,
        "The login at a provider is refused",
        "What a browser brought back from a provider is no login: it was not sent there by this shop, the answer is to"
        " another login, came twice or too late, is not of this provider, or makes no account: `detail` says which.",
        "Begin again. Who has an account here logs in to it and links the provider.",
    ),
    ProblemType(
        "link-refused",
        400,
        "The link is not accepted",
        "The token is none that was sent, or is over: it is good once and for a while, until another one is sent to the"
        " address or the password is changed.",
        "Ask for another link.",
    ),
    ProblemType(
        "provider-unreachable",
        503,
        "The provider does not answer",
        "The provider by which the account logs in does not answer as it should. Nothing was done.",
        "Try again later, or log in with a password.",
    ),
    ProblemType(
        "too-many-attempts",
        429,
        "Too many attempts",
        "Logins or links for this account, or from this address of the network, were tried so often in the last minutes"
        " that no more are. The password may be right.",
        "Wait as long as Retry-After says.",
    ),
    ProblemType(
        "token-refused",
        400,
        "The token request is refused",
        "POST /oauth/token was asked for something that it does not give: `error` says which, in the words of RFC"
        " 6749. An `invalid_grant` is a refresh token that is over, was used before, or belongs to another client.",
        "Log in again.",
    ),
    ProblemType(
        "too-many-requests",
        429,
        "Too many requests",
        "The caller, or the address of the network that it calls from, has sent as many requests of this kind as it may"
        " in the time that RateLimit-Policy names.",
        "Wait as long as Retry-After says.",
    ),
    ProblemType(
        "limits-unavailable",
        503,
        "Requests cannot be counted now",
        "What the request does is only done when it can be counted by all processes together, and that count does not"
        " answer. Nothing was done.",
        "Send it again after the time in Retry-After.",
    ),
    ProblemType(
        "forbidden",
        403,
        "The caller may not do this",
        "Who sent the request lacks the permission that the route requires. Nothing was done.",
        "Ask for the permission that the detail names, or send the request as somebody who has it.",
    ),
    ProblemType(
        "request-unreadable",
        400,
        "The request cannot be read",
        "What came is no request of HTTP/1.1. The connection is closed.",
        "Look at what sent it, or at what stands in between.",
    ),
    ProblemType(
        "head-too-large",
        431,
        "The head of the request is too large",
        "Address and headers pass the limits named in `facts.limit_bytes` and `facts.limit_headers`. The connection is"
        " closed.",
        "Send fewer or shorter headers, or a shorter address.",
    ),
    ProblemType(
        "head-too-slow",
        408,
        "The head of the request did not arrive in time",
        "Address and headers were not complete within `facts.limit_seconds`. The connection is closed.",
        "Send it again.",
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
        "identity-unavailable",
        503,
        "Callers cannot be identified",
        "The database that says which tokens were revoked does not answer. What must be certain is refused meanwhile.",
        "Wait as long as Retry-After says, then send the request again.",
    ),
    ProblemType(
        "no-key-database",
        409,
        "This installation takes no personal data",
        "Personal data is sealed before it is recorded, and no setting says where the keys are kept. Nothing was done.",
        "Have the operators set COUNTERFOIL_KEYS_DATABASE_URL, and run `counterfoil migrate`.",
    ),
    ProblemType(
        "keys-unavailable",
        503,
        "Personal data cannot be sealed now",
        "The database of data keys does not answer, or its master key is missing. Nothing was done.",
        "Wait as long as Retry-After says, then send the request again with the same key.",
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
        " `parked_at` is given, this key stands still at an event that an operator has to deal with.",
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
        "Read the current state and repeat what is missing from it.",
    ),
    ProblemType(
        "malformed-cursor",
        400,
        "The cursor was not issued here",
        "The cursor does not belong to this list.",
        "Follow the link to the next page as it was given, or begin again without a cursor.",
    ),
    ProblemType(
        "pin-expired",
        410,
        "The list was pinned too long ago",
        "The pages of a pinned list are all of one position of the log, and what has changed since cannot be taken back"
        " any more: too much has happened, or the list is one of sums.",
        "Begin again without a cursor. What has to be of one position as a whole is best exported: ask for NDJSON or"
        " CSV.",
    ),
    ProblemType(
        "not-acceptable",
        406,
        "No media type of this answer is accepted",
        "The header Accept names none of the media types in which this can be answered.",
        "Accept one of those that the detail names, or leave the header out.",
    ),
    ProblemType(
        "not-sealed",
        404,
        "The log is not sealed",
        "No sealer runs for this log, or this process does not reach its tiles.",
        "Ask the operators whether it is sealed, and where the tiles are.",
    ),
    ProblemType(
        "not-sealed-yet",
        503,
        "The event is not sealed yet",
        "The event is recorded; the next checkpoint, about a second away, will cover it.",
        "Ask again after Retry-After.",
    ),
    ProblemType(
        "proof-unavailable",
        503,
        "The proof cannot be made",
        "The tiles of the tree cannot be read, or do not lead to the root that was signed.",
        "Tell who runs the shop: the sealer builds missing tiles again, `counterfoil audit verify` examines the rest.",
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
    {problem.slug: problem for problem in (*_REQUESTS, *_OPERATION, *_READS)}
)
"""Every problem that is none of the business, by its slug."""
