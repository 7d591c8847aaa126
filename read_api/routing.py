"""Routes whose endpoint takes the request as it came, while FastAPI still documents them."""

from collections.abc import Iterable
from typing import Any

import msgspec
from fastapi import FastAPI, Request, Response
from fastapi.routing import APIRoute
from starlette.routing import BaseRoute
from starlette.types import Receive, Scope, Send

from read_api import documentation
from read_api.audit import Past
from read_api.keyed import KeyedEndpoint
from read_api.reading.resource import Resource
from read_api.reads import Reads
from runtime.front import Find


class RawRoute(APIRoute):
    """Calls its endpoint with the request alone: solving dependencies would cost more than the read."""

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer GET; what the application installed for problems and errors stands around this."""
        if scope["method"] != "GET":
            await super().handle(scope, receive, send)
            return
        response: Response = await self.endpoint(Request(scope))
        await response(scope, receive, send)


def by_id(routes: Iterable[BaseRoute]) -> Find:
    """Finds the resource of a GET whose path is a resource's and an id, unless that path has a route of its own."""
    served = [route for route in routes if isinstance(route, APIRoute)]
    taken = {route.path for route in served if not route.param_convertors}
    direct = {}
    for route in served:
        prefix, _, parameter = route.path.rpartition("/")
        if isinstance(route, RawRoute) and [parameter] == [f"{{{name}}}" for name in route.param_convertors]:
            direct[prefix] = route, parameter[1:-1]

    def find(scope: Scope) -> tuple[APIRoute, dict[str, str]] | None:
        prefix, _, key = scope["path"].rpartition("/")
        if scope["method"] != "GET" or prefix not in direct or not key or scope["path"] in taken:
            return None
        route, parameter = direct[prefix]
        return route, {parameter: key}

    return find


class Documented(msgspec.Struct, frozen=True):
    """What the OpenAPI document says of a resource."""

    summary: str
    schema: dict[str, Any]
    example: dict[str, Any]
    example_id: str


def serve_by_id(
    app: FastAPI, path: str, resource: Resource, *, reads: Reads, past: Past | None, documented: Documented
) -> None:
    """Serve a resource at `path`, whose one parameter is the id; with `past`, also as of earlier positions."""
    parameter = path.partition("{")[2].partition("}")[0]
    endpoint = KeyedEndpoint(reads.keyed(resource), watch=reads.watch, parameter=parameter, past=past)
    app.router.add_api_route(
        path,
        endpoint,
        methods=["GET"],
        route_class_override=RawRoute,
        name=resource.view.name,
        operation_id=resource.view.name,
        summary=documented.summary,
        description=resource.view.row.__doc__,
        response_class=Response,
        responses=documentation.responses(
            documented.schema,
            example=documented.example,
            headers=documentation.KEYED_HEADERS,
            problems=("not-found", *documentation.ALWAYS),
        ),
        openapi_extra={
            "parameters": documentation.keyed_parameters(
                parameter, example=documented.example_id, as_of=past is not None
            )
        },
    )
