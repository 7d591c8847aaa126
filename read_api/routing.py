"""What a context can be asked; routes by id take the request as it came, while FastAPI still documents them."""

from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import msgspec
from fastapi import APIRouter, FastAPI, Response

from read_api import documentation
from read_api.audit.past import Past
from read_api.by_id import KeyedEndpoint
from read_api.including import Ids, IncludedPart, Including, shape_with
from read_api.lists import documenting
from read_api.lists.declaring import ListOf
from read_api.lists.endpoint import ListEndpoint, ListRoute
from read_api.reading.resource import Resource, only_row
from read_api.reads import Reads
from read_api.reveal import shape_of
from runtime.http import api_version, contract
from runtime.http.deprecation import Deprecation, deprecated
from runtime.http.principal import Owned, Requirement
from runtime.http.routes import ExchangeRoute


class Documented(msgspec.Struct, frozen=True):
    """What the OpenAPI document says of a resource; `shape` is the type of what is shown."""

    operation_id: str
    summary: str
    shape: Any
    example: dict[str, Any]
    example_id: str


class ById(msgspec.Struct, frozen=True):
    """A resource at a path below the API's version, whose one parameter is the id.

    Where one stream tells all of it, it is also shown as it was.
    """

    path: str
    requires: Requirement
    resource: Resource
    documented: Documented
    deprecation: Deprecation | None = None

    @property
    def has_past(self) -> bool:
        """Whether it is also shown as of earlier positions."""
        return self.resource.view.knows_partition


class Include(msgspec.Struct, frozen=True, kw_only=True):
    """What may be included, as `name`, in the answer of another path of a resource by id.

    `into` is that path, of any context; `shown` is what is included, and what it requires is required here, too. One
    document or null; with `many` an object of documents by id, those that there are.
    """

    name: str
    into: str
    shown: ById
    ids: Ids
    many: bool = False


class Queries(msgspec.Struct, frozen=True, kw_only=True):
    """What one context can be asked: resources by id, the most wanted first, lists, and routes of its own.

    `includes` says what of it may be included where, in the answers of any context's resources by id.
    `by_position` says under which path of those, with a `{position}`, a command is shown that appended to a stream of a
    category: where each event is a resource.
    """

    by_id: tuple[ById, ...] = ()
    lists: tuple[ListOf, ...] = ()
    router: APIRouter | None = None
    by_position: Mapping[str, str] = MappingProxyType({})
    includes: tuple[Include, ...] = ()

    def locations(self) -> Iterator[tuple[str, str]]:
        """Stream categories whose aggregates have an address, each with the part of it before the id.

        An address by position has its `{position}`.
        """
        for category, path in self.by_position.items():
            yield category, api_version.PREFIX + path
        for each in self.by_id:
            prefix, _, after = each.path.partition("{")
            if each.resource.view.category is not None and after.endswith("}"):
                yield each.resource.view.category, api_version.PREFIX + prefix

    def install(
        self, app: FastAPI, *, tag: str, reads: Reads, past: Past, includes: Sequence[Include] = ()
    ) -> None:
        """Serve all of it; `tag` groups it in the OpenAPI document. `includes` are those of all contexts."""
        for each in self.by_id:
            _serve_by_id(
                app,
                each,
                tag=tag,
                reads=reads,
                past=past if each.has_past else None,
                includes=[include for include in includes if include.into == each.path],
            )
        for listed in self.lists:
            _serve_list(app, listed, tag=tag, reads=reads, past=past)
        if self.router is not None:
            app.router.routes.extend(self.router.routes)


def _serve_by_id(
    app: FastAPI, served: ById, *, tag: str, reads: Reads, past: Past | None, includes: Sequence[Include]
) -> None:
    resource, documented = served.resource, served.documented
    assert resource.view.folds or past is None, (
        f"{resource.view} was declared without the module of its folds"
    )
    assert isinstance(served.requires, Owned) is (resource.owner is not None), (
        f"{served.path}: whose things are they?"
    )
    assert not resource.view.personal or resource.render is only_row, f"{served.path}: shown as its row is"
    assert not (resource.view.personal and resource.shared_s), f"{served.path}: caches keep nothing personal"
    parameter = served.path.partition("{")[2].partition("}")[0]
    headers = (*documentation.KEYED_HEADERS, *(documentation.SHARED_HEADERS if resource.shared_s else ()))
    reader, reveal = reads.keyed(resource), reads.reveal(resource.view)
    endpoint = KeyedEndpoint(
        reader,
        poller=reads.poller,
        admission=reads.admission,
        parameter=parameter,
        past=past,
        requires=served.requires,
        reveal=reveal,
        including=(
            Including(IncludedPart(served.requires, reader, reveal), includes, reads=reads)
            if includes
            else None
        ),
    )
    if served.deprecation is not None:
        endpoint = deprecated(served.deprecation)(endpoint)
    app.router.add_api_route(
        api_version.PREFIX + served.path,
        endpoint,
        methods=["GET"],
        tags=[tag],
        route_class_override=ExchangeRoute,
        name=resource.view.name,
        operation_id=documented.operation_id,
        summary=documented.summary,
        description=resource.view.row.__doc__,
        response_class=Response,
        responses={
            **documentation.responses(
                shape_with(shape_of(documented.shape), includes),
                example=documented.example,
                headers=headers,
                problems=("not-found", *documentation.ALWAYS),
            ),
            304: {
                "description": "It is what If-None-Match names.",
                "headers": contract.headers(*headers),
            },
        },
        openapi_extra={
            "parameters": documentation.keyed_parameters(
                parameter,
                example=documented.example_id,
                as_of=past is not None,
                includes=[each.name for each in includes],
            )
        },
    )


def _serve_list(app: FastAPI, listed: ListOf, *, tag: str, reads: Reads, past: Past) -> None:
    app.router.add_api_route(
        api_version.PREFIX + listed.path,
        ListEndpoint(listed, reads=reads, past=past),
        methods=["GET"],
        tags=[tag],
        route_class_override=ListRoute,
        name=listed.view.name,
        operation_id=listed.documented.operation_id,
        summary=listed.documented.summary,
        description=listed.documented.description,
        response_class=Response,
        responses=documenting.responses(listed),
        openapi_extra=documenting.asked(listed),
    )
