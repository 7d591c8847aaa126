"""Problem types of HTTP answers, with meaning and remedy; here those of transport and log.

Refusals of the business are declared in the domain. A slug is for ever: clients branch on
it. Each type has a page of its own at `/problems/<slug>`.
"""

from collections.abc import Mapping
from types import MappingProxyType

from msgspec import Struct


class ProblemType(Struct, frozen=True):
    """One kind of problem: stable slug, HTTP status, title, meaning, and remedy for the caller."""

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
        "Every command carries a key that its caller chooses, so that a repeated command has one effect.",
        "Choose a new key, such as a UUID, for each intended effect, and send it again with every repetition.",
    ),
    ProblemType(
        "idempotency-key-malformed",
        400,
        "The header Idempotency-Key is malformed",
        "A key has 1 to 255 visible ASCII characters.",
        "Send a key without spaces, control characters or letters outside ASCII.",
    ),
    ProblemType(
        "idempotency-key-reused",
        422,
        "The key belongs to another request",
        "Another request was accepted with this key before.",
        "Use a new key for a new request. To repeat the earlier request, send exactly the same one.",
    ),
    ProblemType(
        "if-match-malformed",
        400,
        "The header If-Match is not one entity tag",
        'If-Match carries one strong entity tag, such as "3", as an earlier answer gave it in ETag.',
        "Send the ETag unchanged, with its quotes, or leave the header out.",
    ),
    ProblemType(
        "precondition-failed",
        412,
        "The stream has changed",
        "If-Match names a version that is not the current one. Nothing was done.",
        "Read the current state (`facts.actual` is its version), decide again, and send the new version with a"
        " new key.",
    ),
    ProblemType(
        "unsupported-media-type",
        415,
        "The body is not declared as what it has to be",
        "A command is JSON with the media type of JSON, a stored file has the type that its name ends in; compressed"
        " bodies are not accepted.",
        "Send the header Content-Type: application/json, or that of the file, and no Content-Encoding.",
    ),
    ProblemType(
        "correlation-id-malformed",
        400,
        "The header Correlation-Id is malformed",
        "A correlation id has 1 to 128 ASCII letters, digits and characters of `._:/+=@-`, and is sent once.",
        "Send an id of this form, or leave the header out. The answer has the generated id that replaced it.",
    ),
    ProblemType(
        "unauthenticated",
        401,
        "The caller is not known",
        "The request needs an access token in the header Authorization. The token is missing, expired,"
        " revoked, or of another installation.",
        "Log in, or refresh the session, and send `Authorization: Bearer <access token>`.",
    ),
    ProblemType(
        "bad-credentials",
        401,
        "Address or password is wrong",
        "No account has this address, or the password is wrong; the answer does not say which.",
        "Correct address and password, or reset the password.",
    ),
    ProblemType(
        "login-refused",
        400,
        "The login at a provider is refused",
        "The answer of a provider is not accepted: the login did not begin here, the answer belongs to another login,"
        " came twice or too late, is of another provider, or creates no account. `detail` says which.",
        "Begin again. If an account exists here, log in to it and link the provider.",
    ),
    ProblemType(
        "link-refused",
        400,
        "The link is not accepted",
        "The token of the link is unknown, used or expired. A link is valid once and for a limited time, until another"
        " one is sent to the address or the password is changed.",
        "Request another link.",
    ),
    ProblemType(
        "provider-unreachable",
        503,
        "The provider does not answer",
        "The provider of the login does not answer, or its answer is malformed. Nothing was done.",
        "Try again later, or log in with a password.",
    ),
    ProblemType(
        "too-many-attempts",
        429,
        "Too many attempts",
        "This account, or this network address, has had too many logins or requests for links in the last minutes."
        " The password was not checked.",
        "Wait as long as Retry-After says.",
    ),
    ProblemType(
        "token-refused",
        400,
        "The token request is refused",
        "POST /oauth/token refuses the grant; `error` is the code of RFC 6749. With `invalid_grant` the refresh token"
        " is expired, was used before, or belongs to another client.",
        "Log in again.",
    ),
    ProblemType(
        "too-many-requests",
        429,
        "Too many requests",
        "The caller, or its network address, has sent as many requests of this class as RateLimit-Policy allows.",
        "Wait as long as Retry-After says.",
    ),
    ProblemType(
        "limits-unavailable",
        503,
        "Requests cannot be counted now",
        "The request needs a limit over all processes, and the store of that limit does not answer. Nothing was done.",
        "Send the request again after the time in Retry-After.",
    ),
    ProblemType(
        "forbidden",
        403,
        "The caller may not do this",
        "The caller lacks the permission that the route requires. Nothing was done.",
        "Get the permission that the detail names, or send the request as a caller who has it.",
    ),
    ProblemType(
        "request-unreadable",
        400,
        "The request cannot be read",
        "The bytes are not a request of HTTP/1.1. The connection is closed.",
        "Check the client, and proxies between it and the API.",
    ),
    ProblemType(
        "head-too-large",
        431,
        "The head of the request is too large",
        "Address and headers exceed `facts.limit_bytes` or `facts.limit_headers`. The connection is closed.",
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
        "The body exceeds the limit named in `facts.limit_bytes`. It was not read to its end.",
        "Split the request: a batch can be sent as several batches.",
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
        "The resource does not exist",
        "No resource has this address.",
        "Check the address. A read directly after a write may be too early: send its Position as Min-Position.",
    ),
    ProblemType(
        "method-not-allowed",
        405,
        "The method is not allowed",
        "The resource exists, and does not support this method.",
        "Use a method that the header Allow names.",
    ),
    ProblemType(
        "unknown-command",
        422,
        "The command does not exist",
        "An entry of a batch names a command that does not exist.",
        "`facts.known` lists the commands.",
    ),
)

_OPERATION = (
    ProblemType(
        "contended",
        409,
        "Other writers changed the stream each time",
        "The stream changed during every attempt to decide. Nothing was done, and the key is unused.",
        "Send the request again with the same key after a moment.",
    ),
    ProblemType(
        "too-many-tagged",
        409,
        "The decision needs too many events",
        "The decision reads all earlier events with the tags in `facts.tags`, and they are more than one command may"
        " read. Nothing was done; a repetition is refused again.",
        "Inform the operator: so long a history needs an aggregate of its own, whose state sums it up.",
    ),
    ProblemType(
        "too-busy",
        503,
        "The queue of commands is full",
        "The queue of commands is full. The request was refused before any work.",
        "Wait as long as Retry-After says, then send the request again with the same key.",
    ),
    ProblemType(
        "outcome-unknown",
        503,
        "The outcome of the request is unknown",
        "The connection to the log was lost before the log answered. The request may have been done.",
        "Send the request again with the same key: it has one effect, and the answer is the one that was lost.",
    ),
    ProblemType(
        "identity-unavailable",
        503,
        "Callers cannot be identified",
        "The database with the revoked tokens does not answer. Until then requests that need certainty are refused.",
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
        "The process is shutting down",
        "The process finishes its requests in flight and accepts no others. This one was refused before any work.",
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
        "Internal error",
        "The request met a defect of the server. It was logged with the correlation id of the answer.",
        "Send the request again with the same key; if it fails again, report the correlation id.",
    ),
)

_READS = (
    ProblemType(
        "invalid-parameter",
        400,
        "A parameter of the address cannot be accepted",
        "A parameter is unknown, given twice, of another type or out of range. An unknown one is never ignored:"
        " a misspelt filter would filter nothing.",
        "Correct each entry of `errors`; `parameter` names it, and the detail says what is accepted.",
    ),
    ProblemType(
        "stale-read",
        503,
        "The view has not reached the position yet",
        "The view did not reach the position of Min-Position in the time that Prefer allowed. With `parked_at`, the key"
        " is parked at that event and waits for an operator.",
        "Repeat the request after Retry-After, allow more time with Prefer: wait=…, or accept an older answer with"
        " Prefer: handling=lenient.",
    ),
    ProblemType(
        "malformed-token",
        400,
        "The position token was not issued here",
        "The text in Min-Position is not the text of a Position header.",
        "Send the text of a Position header unchanged.",
    ),
    ProblemType(
        "position-beyond-head",
        400,
        "The position lies in the future",
        "The log has not reached the requested position.",
        "Ask for a position that the log has.",
    ),
    ProblemType(
        "position-lost",
        410,
        "The position was lost in a restore",
        "The log was restored or failed over, and lost the events up to this position.",
        "Read the current state, and repeat the commands whose effects are missing.",
    ),
    ProblemType(
        "malformed-cursor",
        400,
        "The cursor was not issued here",
        "The cursor does not belong to this list.",
        "Follow the link to the next page unchanged, or begin again without a cursor.",
    ),
    ProblemType(
        "pin-expired",
        410,
        "The list was pinned too long ago",
        "All pages of a pinned list show one position of the log. Changes since then cannot be folded back any more:"
        " there are too many, or the list has sums.",
        "Begin again without a cursor. To get the whole list at one position, export it as NDJSON or CSV.",
    ),
    ProblemType(
        "not-acceptable",
        406,
        "No media type of this answer is accepted",
        "The header Accept names no media type of this resource.",
        "Accept one of the types that the detail names, or leave the header out.",
    ),
    ProblemType(
        "range-not-satisfiable",
        416,
        "The content ends before the range",
        "The header Range asks for bytes behind the end of the content.",
        "Ask for a range within the size that Content-Range names, or for the whole.",
    ),
    ProblemType(
        "not-sealed",
        404,
        "The log is not sealed",
        "No sealer runs for this log, or this process cannot read its tiles.",
        "Ask the operators whether the log is sealed, and where its tiles are.",
    ),
    ProblemType(
        "not-sealed-yet",
        503,
        "The event is not sealed yet",
        "The event is recorded; the next checkpoint, within about a second, covers it.",
        "Repeat the request after Retry-After.",
    ),
    ProblemType(
        "proof-unavailable",
        503,
        "The proof cannot be made",
        "The tiles of the tree cannot be read, or do not lead to the signed root.",
        "Inform the operator: the sealer builds missing tiles again, `counterfoil audit verify` examines the rest.",
    ),
    ProblemType(
        "view-unavailable",
        503,
        "The view cannot be read",
        "The view has no live build, or the database does not answer at the moment.",
        "Repeat the request after Retry-After.",
    ),
)

CATALOGUE: Mapping[str, ProblemType] = MappingProxyType(
    {problem.slug: problem for problem in (*_REQUESTS, *_OPERATION, *_READS)}
)
"""Every problem of transport and log, by its slug."""
