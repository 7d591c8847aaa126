"""What a gateway before both APIs lets pass, from their route tables.

Each route says which API has it, and what may be done with its requests.
"""

from collections.abc import Iterator
from typing import Final, Literal

from fastapi import FastAPI
from fastapi.routing import APIRoute
from msgspec import Struct
from pydantic import SecretStr

from counterfoil import applications
from counterfoil.context import Contexts
from runtime.http.limiting import RouteClass, class_of
from runtime.http.principal import Browsable, Public, Requirement
from runtime.settings import Settings, SettingsError

Api = Literal["command_api", "query_api"]

KEY: Final = "#/components/parameters/Idempotency-Key"
"""How a route declares that it takes an idempotency key."""

_OF_BOTH: Final = ("/problems", "/problems/{slug}")
"""Addresses that are the same in both APIs. Others that both have, as /readyz, are about the process that is asked."""

_NOWHERE: Final = SecretStr("postgresql://nobody@127.0.0.1:1/none")


class PublishedRoute(Struct, frozen=True):
    """Methods of one address that are treated alike.

    `pattern` is a regular expression for the whole path where it has parameters. `is_open`: no caller has to be known.
    `takes_key`: a request with an Idempotency-Key has one effect however often it is sent.
    """

    api: Api
    path: str
    methods: tuple[str, ...]
    route_class: RouteClass
    is_open: bool
    takes_key: bool
    pattern: str | None = None

    @property
    def reads(self) -> bool:
        """Whether it has no effect."""
        return self.route_class == "read"


def published(settings: Settings, *, contexts: Contexts | None = None) -> tuple[PublishedRoute, ...]:
    """The routes of both APIs that callers reach, addresses without parameters first, in the order they are tried.

    Raises:
        SettingsError: a context cannot be had, or both APIs have a route of their own at one address.
    """
    if settings.database_url is None:
        settings = settings.model_copy(update={"database_url": _NOWHERE})  # nothing is connected to
    commands = _declared(applications.command_app(settings, contexts=contexts), api="command_api")
    queries = _declared(applications.query_app(settings, contexts=contexts), api="query_api")
    shared = {_key(route) for route, _ in commands} & {_key(route) for route, _ in queries}
    ambiguous = sorted(_key(route) for route, documented in commands if documented and _key(route) in shared)
    if ambiguous:
        raise SettingsError(f"a gateway cannot tell the APIs apart: both have {ambiguous[0]}")
    found = [
        *(route for route, _ in commands if _key(route) not in shared or route.path in _OF_BOTH),
        *(route for route, _ in queries if _key(route) not in shared),
    ]
    return tuple(sorted(found, key=lambda route: route.pattern is not None))


def _declared(app: FastAPI, *, api: Api) -> list[tuple[PublishedRoute, bool]]:
    """The routes of an API, and whether its document has them."""
    return [
        (route, declared.include_in_schema)
        for declared in app.routes
        if isinstance(declared, APIRoute)
        for route in _methods_alike(declared, api)
    ]


def _methods_alike(declared: APIRoute, api: Api) -> Iterator[PublishedRoute]:
    requires: Requirement = declared.endpoint.requires  # type: ignore[attr-defined]  # an application starts with all of them
    classes: dict[RouteClass, list[str]] = {}
    for method in sorted(declared.methods or ()):
        classes.setdefault(class_of(method, requires), []).append(method)
    parameters = (declared.openapi_extra or {}).get("parameters", ())
    for route_class, methods in classes.items():
        also_head = ("HEAD",) if route_class == "read" and "HEAD" not in methods else ()
        yield PublishedRoute(
            api=api,
            path=declared.path,
            methods=(*methods, *also_head),
            route_class=route_class,
            is_open=isinstance(requires, Public | Browsable),
            takes_key=any(parameter.get("$ref") == KEY for parameter in parameters),
            pattern=declared.path_regex.pattern if declared.param_convertors else None,
        )


def _key(route: PublishedRoute) -> str:
    return f"{route.methods[0]} {route.path}"
