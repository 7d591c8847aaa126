"""The declarative file of a Kong before both APIs (format version 3), as JSON, which is YAML too.

How often a request is sent again belongs to a service, and a service knows no headers. So each API is several
services, which differ in that, in time and in the bucket, and routes with and without the key lead to them. No bundled
plugin verifies tokens by a key set that changes: that is left to the APIs.
"""

import re
from collections.abc import Iterator
from typing import Any, Final

from counterfoil.api_gateway import layout as gateway
from counterfoil.api_gateway.layout import Layout, Treatment
from counterfoil.api_gateway.published import Api, PublishedRoute
from runtime.http import headers

Node = dict[str, Any]

FORMAT_VERSION: Final = "3.0"
_KEYED: Final = {"Idempotency-Key": ["~*.+"]}
_WAITING: Final = {"Prefer": ["~*(?i)wait"]}
"""Values of headers that begin with `~*` are regular expressions."""


def declaration(layout: Layout) -> Node:
    """The whole file."""
    routes: dict[Treatment, list[Node]] = {}
    for route in layout.routes:
        for service, node in _routes(route, layout):
            routes.setdefault(service, []).append(node)
    return {
        "_format_version": FORMAT_VERSION,
        "upstreams": [_upstream(api, layout) for api in layout.targets],
        "services": [_service(service, routes[service], layout) for service in sorted(routes)],
        "plugins": list(_plugins(layout)),
    }


def _upstream(api: Api, layout: Layout) -> Node:
    scheme = "http" if layout.upstream_ca is None else "https"
    active: Node = {
        "type": scheme,
        "http_path": "/readyz",
        "timeout": _whole(gateway.PROBE_EVERY_S),
        "healthy": {"interval": _whole(gateway.PROBE_EVERY_S), "successes": 1, "http_statuses": [200]},
        "unhealthy": {
            "interval": _whole(gateway.PROBE_EVERY_S),
            "http_statuses": [500, 503],
            **dict.fromkeys(("http_failures", "tcp_failures", "timeouts"), gateway.PROBES_FAILED),
        },
    }
    if layout.upstream_ca is not None:
        active["https_verify_certificate"] = True
    # An answer with a status of 500 or more is the API's: only what is lost counts. A probe takes a process in again.
    passive: Node = {
        "type": scheme,
        "healthy": {"successes": 0},
        "unhealthy": {
            "http_failures": 0,
            **dict.fromkeys(("tcp_failures", "timeouts"), gateway.FAILURES_MAX),
        },
    }
    return {
        "name": _upstream_name(api),
        "algorithm": "round-robin",
        "targets": [{"target": each.authority, "weight": each.weight} for each in layout.targets[api]],
        "healthchecks": {"active": active, "passive": passive},
    }


def _service(service: Treatment, routes: list[Node], layout: Layout) -> Node:
    found: Node = {
        "name": _service_name(service),
        "host": _upstream_name(service.api),
        "port": 80 if layout.upstream_ca is None else 443,  # not used: targets have ports
        "protocol": "http" if layout.upstream_ca is None else "https",
        "retries": gateway.TRIES_MAX - 1 if service.again else 0,
        "connect_timeout": 1000,
        "read_timeout": _whole(service.try_s * 1000),
        "write_timeout": _whole(service.try_s * 1000),
        "routes": routes,
    }
    if layout.upstream_ca is not None:
        found["tls_verify"] = True
    if service.route_class in layout.buckets:
        found["plugins"] = [_limited(layout.buckets[service.route_class].most)]
    return found


def _limited(most: int) -> Node:
    """So many in a minute of the clock from one address: no sliding window of a minute lets more pass."""
    config = {
        "minute": most,
        "limit_by": "ip",
        "policy": "local",
        "fault_tolerant": True,
        "hide_client_headers": True,  # those of the APIs count
    }
    return {"name": "rate-limiting", "config": config}


def _routes(route: PublishedRoute, layout: Layout) -> Iterator[tuple[Treatment, Node]]:
    """The routes of Kong for a published one; of those that match, the one with the most headers is taken."""
    once = Treatment.once(route)
    again, waiting = (Treatment.repeated(route, waiting=waiting) for waiting in (False, True))
    if route.reads:
        yield again, _route(route, layout, "read")
        yield waiting, _route(route, layout, "read-waiting", _WAITING)
    else:
        yield once, _route(route, layout, "sent")
    if route.takes_key and not route.reads:
        yield again, _route(route, layout, "keyed", _KEYED)
        yield waiting, _route(route, layout, "keyed-waiting", {**_KEYED, **_WAITING})
    if layout.origins:
        preflight = _route(route, layout, f"{route.route_class}-preflight")
        yield once, {**preflight, "methods": ["OPTIONS"]}


def _route(
    route: PublishedRoute, layout: Layout, kind: str, matched: dict[str, list[str]] | None = None
) -> Node:
    words = re.sub(r"\W+", "-", route.path).strip("-")
    braces = "" if route.pattern is None else ".of"  # /a/{b} and /a/b are two addresses
    found: Node = {
        "name": f"{route.api}.{words}{braces}.{kind}",
        "protocols": ["http" if layout.certificate is None else "https"],
        "methods": list(route.methods),
        "paths": [_path(route)],
        "regex_priority": 1 if route.pattern is None else 0,
        "strip_path": False,
        # By the name that goes to the API its certificate is verified.
        "preserve_host": layout.upstream_ca is None,
        "path_handling": "v0",
    }
    if matched:
        found["headers"] = matched
    return found


def _path(route: PublishedRoute) -> str:
    """An expression for the whole path: without `~` and an end it would be a prefix."""
    if route.pattern is None:
        return f"~{route.path.replace('.', '[.]')}$"
    return "~" + re.sub(r"\?P<\w+>", "?:", route.pattern).removeprefix("^")


def _plugins(layout: Layout) -> Iterator[Node]:
    yield {
        "name": "correlation-id",  # it leaves one that is there
        "config": {"header_name": "Correlation-Id", "generator": "uuid", "echo_downstream": False},
    }
    if layout.certificate is not None:
        name, value = (text.decode() for text in headers.OVER_TLS)
        yield {"name": "response-transformer", "config": {"add": {"headers": [f"{name}:{value}"]}}}


def _upstream_name(api: Api) -> str:
    return api.replace("_", "-")


def _service_name(service: Treatment) -> str:
    often = "again" if service.again else "once"
    return f"{_upstream_name(service.api)}-{service.route_class}-{often}-{service.try_s:g}s"


def _whole(number: float) -> int:
    """Kong takes no fractions; ours are whole."""
    assert number == int(number), number
    return int(number)
