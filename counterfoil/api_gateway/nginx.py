"""The configuration of an nginx before both APIs: what its open edition can do of what Envoy does.

It verifies no tokens and takes a process out only after requests that failed: both need its paid edition. A location
finds out what a request is, and hands it to one of few named locations, which differ in what is sent again.
"""

import json
import re
from collections.abc import Iterator
from typing import Final

from counterfoil.api_gateway import layout as gateway
from counterfoil.api_gateway.layout import ApiAddress, Layout, Treatment
from counterfoil.api_gateway.published import Api, PublishedRoute
from runtime.http import headers
from runtime.http.connection_limits import HEAD_BYTES_MAX, HEAD_TIMEOUT_S
from runtime.problem_types import CATALOGUE
from runtime.problems import MEDIA_TYPE

_FIRST_CODE: Final = 560
"""No answer has a status from here to 599, the last one that nginx knows: they lead to named locations."""
_BODY_BYTES_MAX: Final = "8m"
_ANSWERS: Final = {"not-found": "404", "too-many-requests": "429", "outcome-unknown": "502 504"}
"""Answers of nginx itself, by the problem that they are."""


def configuration(layout: Layout) -> str:
    """The whole file."""
    codes = {passing: _FIRST_CODE + n for n, passing in enumerate(sorted(_passings(layout)))}
    lines = [
        "worker_processes auto;",
        "events { worker_connections 4096; }",
        "http {",
        *_indented(_shared(layout)),
        *_indented(line for api in layout.targets for line in _upstream(api, layout.targets[api])),
        "  server {",
        *_indented(_indented(_server(layout, codes))),
        "  }",
        "}",
    ]
    return "\n".join(lines)


def _indented(lines: Iterator[str] | list[str]) -> list[str]:
    return [f"  {line}" for line in lines]


def _shared(layout: Layout) -> Iterator[str]:
    yield "access_log off;"
    yield "server_tokens off;"
    yield f"client_max_body_size {_BODY_BYTES_MAX};"
    yield f"client_header_timeout {HEAD_TIMEOUT_S:g}s;"
    yield f"large_client_header_buffers 4 {HEAD_BYTES_MAX // 1024}k;"
    yield "limit_req_status 429;"
    for route_class, bucket in layout.buckets.items():
        yield f"limit_req_zone $binary_remote_addr zone={route_class}:16m rate={bucket.per_s}r/s;"
    yield 'map $http_correlation_id $correlation { default $http_correlation_id; "" $request_id; }'
    yield 'map $http_prefer $waiting { default ""; "~*wait" "-waiting"; }'
    yield "map $request_method:$http_idempotency_key $method {"
    yield '  default other; "~^(?:GET|HEAD):" read; "~^POST:.+" keyed; "~^(?:POST:$|PUT:)" sent;'
    yield '  "~^OPTIONS:" preflight;'
    yield "}"
    yield 'map $method $kind { default "$method$waiting"; }'


def _upstream(api: Api, targets: tuple[ApiAddress, ...]) -> Iterator[str]:
    yield f"upstream {api} {{"
    for each in targets:
        yield (
            f"  server {each.authority} weight={each.weight} max_fails={gateway.FAILURES_MAX}"
            f" fail_timeout={gateway.OUT_S:g}s;"
        )
    yield "  keepalive 64;"
    yield "}"


def _server(layout: Layout, codes: dict[Treatment, int]) -> Iterator[str]:
    yield f"listen {layout.listens.authority}{'' if layout.certificate is None else ' ssl'};"
    if layout.certificate is not None:
        yield f"ssl_certificate {layout.certificate};"
        yield f"ssl_certificate_key {layout.key};"
        yield "ssl_protocols TLSv1.2 TLSv1.3;"
        name, value = (text.decode() for text in headers.OVER_TLS)
        yield f'add_header {name} "{value}" always;'
    yield "recursive_error_pages on;"  # what comes of a named location is answered by another one
    for passing, code in codes.items():
        yield f"error_page {code} = {_location_name(passing)};"
    for slug, statuses in _ANSWERS.items():
        yield f"error_page {statuses} = @{slug};"
        yield f"location @{slug} {{ {_answer(slug)} }}"
    for passing in codes:
        yield from _passed_on(passing, layout)
    by_path: dict[tuple[str, str | None], list[PublishedRoute]] = {}
    for route in layout.routes:
        by_path.setdefault((route.path, route.pattern), []).append(route)
    for (path, pattern), routes in by_path.items():
        yield from _location(path, pattern, routes, layout, codes)
    yield "location / { return 404; }"


def _location(
    path: str,
    pattern: str | None,
    routes: list[PublishedRoute],
    layout: Layout,
    codes: dict[Treatment, int],
) -> Iterator[str]:
    yield f"location = {path} {{" if pattern is None else f'location ~ "{_named(pattern)}" {{'
    for route in routes:
        for kind, passing in _kinds(route, layout):
            yield f"  if ($kind = {kind}) {{ return {codes[passing]}; }}"
    yield "  return 404;"
    yield "}"


def _kinds(route: PublishedRoute, layout: Layout) -> Iterator[tuple[str, Treatment]]:
    """What requests to a route may be, and how each passes."""
    once = Treatment.once(route)
    for waiting in ("", "-waiting"):
        again = Treatment.repeated(route, waiting=bool(waiting))
        if route.reads:
            yield f"read{waiting}", again
        else:
            yield f"keyed{waiting}", again if route.takes_key else once
            yield f"sent{waiting}", once
        if layout.origins:
            yield f"preflight{waiting}", once


def _passings(layout: Layout) -> set[Treatment]:
    return {passing for route in layout.routes for _, passing in _kinds(route, layout)}


def _passed_on(passing: Treatment, layout: Layout) -> Iterator[str]:
    yield f"location {_location_name(passing)} {{"
    if passing.route_class in layout.buckets:
        most = layout.buckets[passing.route_class].most
        yield f"  limit_req zone={passing.route_class} burst={most} nodelay;"
    if passing.again:
        yield "  proxy_next_upstream error timeout non_idempotent;"
        yield f"  proxy_next_upstream_tries {gateway.TRIES_MAX};"
    else:
        yield "  proxy_next_upstream off;"
    yield "  proxy_connect_timeout 1s;"
    yield f"  proxy_read_timeout {passing.try_s:g}s;"
    yield "  proxy_http_version 1.1;"
    yield '  proxy_set_header Connection "";'
    yield "  proxy_set_header Host $http_host;"
    yield "  proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;"
    yield "  proxy_set_header Correlation-Id $correlation;"
    if layout.upstream_ca is not None:
        yield "  proxy_ssl_verify on;"
        yield f"  proxy_ssl_trusted_certificate {layout.upstream_ca};"
        yield "  proxy_ssl_server_name on;"
        yield f"  proxy_ssl_name {layout.targets[passing.api][0].host};"
        if layout.upstream_certificate is not None:
            yield f"  proxy_ssl_certificate {layout.upstream_certificate};"
            yield f"  proxy_ssl_certificate_key {layout.upstream_certificate};"
    yield f"  proxy_pass http{'' if layout.upstream_ca is None else 's'}://{passing.api};"
    yield "}"


def _answer(slug: str) -> str:
    problem = CATALOGUE[slug]
    body = json.dumps(
        {
            "type": problem.uri,
            "title": problem.title,
            "status": problem.status,
            "code": slug,
            "detail": problem.meaning,
            "correlation_id": "$correlation",
        }
    )
    added = "".join(
        f'add_header {name.decode()} "{value.decode()}" always; '
        for name, value in (*headers.STANDARD, headers.NEVER_STORED)
    )
    retry = 'add_header Retry-After "1" always; ' if problem.status in {429, 503} else ""
    return f"default_type {MEDIA_TYPE}; {added}{retry}return {problem.status} '{_quoted(body)}';"


def _location_name(passing: Treatment) -> str:
    return f"@{passing.api}_{passing.route_class}_{'again' if passing.again else 'once'}_{passing.try_s:g}"


def _quoted(text: str) -> str:
    return text.replace("\\", "\\\\").replace("'", "\\'")


def _named(pattern: str) -> str:
    """The expression without names: nginx would make variables of them."""
    return re.sub(r"\?P<\w+>", "?:", pattern)
