"""Which web pages of other origins may call the API: those of an allow-list, as browsers ask (the Fetch standard).

Browsers ask before they send what a form could not (a preflight), and read an answer for a page only if it names the
page's origin. Nothing else is protected by it: who may do what is decided by authentication and permissions. Cookies
are not used, so they are never allowed.
"""

from collections.abc import Iterable
from typing import Final

from starlette.responses import Response

from runtime.http.exchange import Exchange, Headers
from runtime.http.headers import Header
from runtime.http.principal import Public
from runtime.http.routes import NOWHERE, Route, RouteTable
from runtime.problems import ProblemError

PREFLIGHT_KEPT_S: Final = 600
"""How long a browser need not ask again; a shorter list of origins takes that long to reach everybody."""

SENT: Final = (
    "Authorization",
    "Content-Type",
    "Correlation-Id",
    "Customer-Email",
    "Idempotency-Key",
    "If-Match",
    "If-None-Match",
    "If-Range",
    "Min-Position",
    "Prefer",
    "Range",
    "traceparent",
)
"""Headers that a page may send."""

READ: Final = (
    "Accept-Ranges",
    "Allow",
    "Applied-Position",
    "Cache-Control",
    "Content-Range",
    "Correlation-Id",
    "Deprecation",
    "ETag",
    "Idempotent-Replayed",
    "Link",
    "Location",
    "Next-After",
    "Parked-Keys",
    "Parked-Position",
    "Pinned-Position",
    "Position",
    "Preference-Applied",
    "RateLimit",
    "RateLimit-Policy",
    "Retry-After",
    "Settled",
    "Sunset",
    "Surrogate-Key",
    "WWW-Authenticate",
)
"""Headers of answers that a page may read, besides those that any may."""

PREFLIGHT: Final = Public("a browser sends a preflight without credentials")

_ORIGIN: Final = b"origin"
_METHOD: Final = b"access-control-request-method"
VARIES: Final[Header] = (b"vary", b"origin")
"""Is said in every answer, since another origin may get another one."""
EXPOSED: Final[Header] = (b"access-control-expose-headers", ", ".join(READ).encode())


class Cors:
    """The origins that are allowed, and what is said to them."""

    def __init__(self, origins: Iterable[str]) -> None:
        self._granted: dict[bytes, tuple[Header, ...]] = {
            origin.encode("ascii"): (
                VARIES,
                (b"access-control-allow-origin", origin.encode("ascii")),
                EXPOSED,
            )
            for origin in origins
        }

    def headers_for(self, asked: Headers) -> tuple[Header, ...]:
        """What every answer to a request with these headers says."""
        for name, value in asked:
            if name == _ORIGIN:
                return self._granted.get(value, (VARIES,))
        return (VARIES,)

    def is_preflight(self, exchange: Exchange) -> bool:
        """Whether a browser asks what it may send."""
        if exchange.scope["method"] != "OPTIONS":
            return False
        return {_ORIGIN, _METHOD} <= {name for name, _ in exchange.headers}

    def route(self, exchange: Exchange, table: RouteTable) -> Route:
        """The route of a preflight: it passes the same steps as all others."""
        path = exchange.scope["path"]
        methods = table.methods(path)
        if not methods:
            return NOWHERE

        async def answer(exchange: Exchange) -> Response:
            return self._answer(exchange, ", ".join(methods))

        return Route(table.match(methods[0], path)[0].path, PREFLIGHT, answer, whole=False)

    def _answer(self, exchange: Exchange, methods: str) -> Response:
        origin = next(value for name, value in exchange.headers if name == _ORIGIN)
        if origin not in self._granted:
            detail = (
                f"Pages of {origin.decode('latin-1')} may not call this API: its setting does not list them."
            )
            raise ProblemError("forbidden", detail)
        return Response(
            status_code=204,
            headers={
                "access-control-allow-methods": methods,
                "access-control-allow-headers": ", ".join(SENT),
                "access-control-max-age": str(PREFLIGHT_KEPT_S),
            },
        )
