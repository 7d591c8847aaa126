"""The bootstrap of an Envoy before both APIs, as JSON, which is YAML too.

Everything is static: a list of processes that changes is a new file and a restart, or a name that resolves to all of
them. Field names are those of Envoy's API version 3.
"""

import ipaddress
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from commands import limits
from counterfoil.api_gateway import layout as gateway
from counterfoil.api_gateway.envoy_answers import Node, header, local_answers, secure
from counterfoil.api_gateway.layout import ApiAddress, Layout
from counterfoil.api_gateway.published import Api, PublishedRoute
from runtime.http.connection_limits import HEAD_BYTES_MAX, HEAD_TIMEOUT_S, HEADERS_MAX
from runtime.http.limiting import RouteClass
from runtime.identity import keys, lifetimes, tokens

_TYPES: Final = "type.googleapis.com/envoy.extensions"
_HTTP_FILTERS: Final = f"{_TYPES}.filters.http"
_TLS: Final = f"{_TYPES}.transport_sockets.tls.v3"

KEYS_FETCHED_EVERY_S: Final = 5
"""Keys may be replaced at once (`identity rotate-key --distrust`): so long new tokens are refused here."""
TOKEN_PROVIDER: Final = "accounts"  # noqa: S105 - a name, no token
RETRIED_ON: Final = "connect-failure,refused-stream,reset"
"""What says nothing of an answer: no connection, one that ended, and the end of the time of a try, which is a reset."""
IDLE_S: Final = 60
"""Connections to the APIs are closed by whom asks before the APIs would close them."""

_NO_TOKENS: Final = {"@type": f"{_HTTP_FILTERS}.jwt_authn.v3.PerRouteConfig", "disabled": True}


def bootstrap(layout: Layout) -> Node:
    """The whole configuration."""
    return {
        "static_resources": {
            "listeners": [_listener(layout)],
            "clusters": [_cluster(api, layout) for api in layout.targets],
        },
    }


def _listener(layout: Layout) -> Node:
    chain: Node = {
        "filters": [{"name": "http", "typed_config": _connection_manager(layout)}],
    }
    if layout.certificate is not None:
        chain["transport_socket"] = {
            "name": "tls",
            "typed_config": {
                "@type": f"{_TLS}.DownstreamTlsContext",
                "common_tls_context": {
                    "tls_params": {"tls_minimum_protocol_version": "TLSv1_2"},
                    "alpn_protocols": ["h2", "http/1.1"],
                    "tls_certificates": [_certificate(layout.certificate, layout.key or layout.certificate)],
                },
            },
        }
        chain["transport_socket_connect_timeout"] = _seconds(HEAD_TIMEOUT_S)
    return {
        "name": "callers",
        "address": _address(layout.listens),
        "per_connection_buffer_limit_bytes": 64 * 1024,
        "filter_chains": [chain],
    }


def _connection_manager(layout: Layout) -> Node:
    return {
        "@type": f"{_TYPES}.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "callers",
        "codec_type": "AUTO",
        "server_header_transformation": "PASS_THROUGH",
        "use_remote_address": True,  # it is appended to X-Forwarded-For
        # An internal caller may steer retries by headers; without a list everybody on loopback would be one.
        "internal_address_config": {"cidr_ranges": [{"address_prefix": "0.0.0.0", "prefix_len": 32}]},  # noqa: S104
        "request_headers_timeout": _seconds(HEAD_TIMEOUT_S),
        "max_request_headers_kb": HEAD_BYTES_MAX // 1024,
        "common_http_protocol_options": {
            "idle_timeout": _seconds(65),
            "max_headers_count": HEADERS_MAX,
            "headers_with_underscores_action": "REJECT_REQUEST",
        },
        "http2_protocol_options": {"max_concurrent_streams": 100},
        "stream_idle_timeout": _seconds(60),
        "local_reply_config": local_answers(layout),
        "http_filters": list(_filters(layout)),
        "route_config": {
            "name": "published",
            "virtual_hosts": [_virtual_host(layout)],
        },
    }


def _virtual_host(layout: Layout) -> Node:
    host: Node = {
        "name": "both-apis",
        "domains": ["*"],
        "routes": list(_routes(layout)),
        "request_body_buffer_limit": limits.BODY_BYTES_MAX,
        # Every try of a request, and the gateway's own log, have the same id.
        "request_headers_to_add": [
            header("correlation-id", "%REQ(x-request-id)%", action="ADD_IF_ABSENT"),
        ],
    }
    if layout.certificate is not None:
        host["response_headers_to_add"] = [secure()]
    return host


def _routes(layout: Layout) -> Iterator[Node]:
    for route in layout.routes:
        match: Node = (
            {"path": route.path} if route.pattern is None else {"safe_regex": {"regex": route.pattern}}
        )
        if layout.origins:
            yield _sent_once(route, match, methods=["OPTIONS"])
        if route.reads or route.takes_key:
            yield _sent_again(route, match, waiting=True)
            yield _sent_again(route, match, waiting=False)
        if not route.reads:
            yield _sent_once(route, match, methods=list(route.methods))
    yield {
        "match": {"prefix": "/"},
        "direct_response": {"status": 404},
        "typed_per_filter_config": {"tokens": _NO_TOKENS},
    }


def _sent_again(route: PublishedRoute, match: Node, *, waiting: bool) -> Node:
    """A read, or a request with a key: another process is asked where one does not answer."""
    wanted = [_one_of(route.methods)]
    if not route.reads:
        wanted.append({"name": "idempotency-key", "present_match": True})
    if waiting:
        wanted.append({"name": "prefer", "string_match": {"contains": "wait", "ignore_case": True}})
    try_s = gateway.WAITING_TRY_S if waiting else gateway.TRY_S
    action = {
        "cluster": route.api,
        "timeout": "0s" if route.reads else _seconds(try_s * gateway.TRIES_MAX),  # an export takes its time
        "retry_policy": {
            "retry_on": RETRIED_ON,
            "num_retries": gateway.TRIES_MAX - 1,
            "per_try_timeout": _seconds(try_s),
            "retry_back_off": {"base_interval": "0.025s", "max_interval": "0.25s"},
            "retry_host_predicate": [
                {
                    "name": "previous_hosts",
                    "typed_config": {
                        "@type": f"{_TYPES}.retry.host.previous_hosts.v3.PreviousHostsPredicate"
                    },
                }
            ],
            "host_selection_retry_max_attempts": 8,
        },
    }
    return _route(route, {**match, "headers": wanted}, action)


def _sent_once(route: PublishedRoute, match: Node, *, methods: list[str]) -> Node:
    """A request that may have had its effect although nobody answered: it is not sent again, whatever happens."""
    return _route(
        route,
        {**match, "headers": [_one_of(methods)]},
        {"cluster": route.api, "timeout": _seconds(gateway.ONCE_S)},
    )


def _route(route: PublishedRoute, match: Node, action: Node) -> Node:
    found: Node = {"match": match, "route": action}
    if route.is_open:
        found["typed_per_filter_config"] = {"tokens": _NO_TOKENS}
    return found


def _filters(layout: Layout) -> Iterator[Node]:
    yield _filter(
        "ready",
        "health_check",
        {
            "pass_through_mode": False,
            "cluster_min_healthy_percentages": {api: {"value": 1} for api in layout.targets},
            "headers": [{"name": ":path", "string_match": {"exact": "/readyz"}}],
        },
        message="HealthCheck",
    )
    if layout.buckets:
        yield _filter("buckets", "local_ratelimit", _buckets(layout), message="LocalRateLimit")
    if layout.verifies_tokens:
        yield _filter("tokens", "jwt_authn", _tokens(layout), message="JwtAuthentication")
    yield _filter("router", "router", {"suppress_envoy_headers": True}, message="Router")


def _filter(name: str, kind: str, config: Node, *, message: str) -> Node:
    return {"name": name, "typed_config": {"@type": f"{_HTTP_FILTERS}.{kind}.v3.{message}", **config}}


def _buckets(layout: Layout) -> Node:
    """A first barrier, by address: it refuses what is beyond every limit, and never what is within one."""
    always: Node = {"default_value": {"numerator": 100, "denominator": "HUNDRED"}}
    return {
        "stat_prefix": "buckets",
        "filter_enabled": always,
        "filter_enforced": always,
        "max_dynamic_descriptors": gateway.ADDRESSES_MAX,
        "always_consume_default_token_bucket": False,
        "token_bucket": _bucket(2**31, 2**31),  # of what is not counted; there has to be one
        "rate_limits": [
            {
                "actions": [
                    {"header_value_match": {"descriptor_value": route_class, "headers": matched}},
                    {"masked_remote_address": {"v4_prefix_mask_len": 32, "v6_prefix_mask_len": 64}},
                ]
            }
            for route_class, matched in _matched(layout)
        ],
        "descriptors": [
            {
                "entries": [
                    {"key": "header_match", "value": route_class},
                    {"key": "masked_remote_address"},
                ],
                "token_bucket": _bucket(bucket.most, bucket.per_s),
            }
            for route_class, bucket in layout.buckets.items()
        ],
    }


def _matched(layout: Layout) -> Iterator[tuple[RouteClass, list[Node]]]:
    """By which headers requests of each class that has a bucket are recognised; one alternative each."""
    reads = {"name": ":method", "string_match": {"safe_regex": {"regex": "GET|HEAD|OPTIONS"}}}
    no_read = {**reads, "invert_match": True}
    logins = [_has_path(route) for route in layout.routes if route.route_class == "login"]
    if "read" in layout.buckets:
        yield "read", [reads]
    if "login" in layout.buckets:
        for login in logins:
            yield "login", [no_read, login]
    if "write" in layout.buckets:
        yield "write", [no_read, *({**login, "invert_match": True} for login in logins)]


def _has_path(route: PublishedRoute) -> Node:
    """Whether a request goes to a route; one expression for many would be larger than Envoy allows."""
    path = re.escape(route.path) if route.pattern is None else route.pattern.strip("^$")
    return {"name": ":path", "string_match": {"safe_regex": {"regex": rf"{path}(?:\?.*)?"}}}


def _bucket(most: int, per_s: int) -> Node:
    return {"max_tokens": most, "tokens_per_fill": per_s, "fill_interval": "1s"}


def _tokens(layout: Layout) -> Node:
    provider = {
        "audiences": [tokens.AUDIENCE],
        "require_expiration": True,
        "clock_skew_seconds": lifetimes.LEEWAY_S,
        "forward": True,  # the APIs verify again, and know what was revoked
        "from_headers": [
            {"name": "authorization", "value_prefix": f"{word} "} for word in ("Bearer", "bearer")
        ],
        "remote_jwks": {
            "http_uri": {
                "uri": "http://command-api/.well-known/jwks.json",
                "cluster": "command_api",
                "timeout": _seconds(gateway.TRY_S),
            },
            "cache_duration": _seconds(KEYS_FETCHED_EVERY_S),
            "async_fetch": {"failed_refetch_duration": "1s"},
            "retry_policy": {"num_retries": 1},
        },
    }
    is_key = {
        "name": "authorization",
        "string_match": {"safe_regex": {"regex": f"(?i:bearer) +{keys.PREFIX}.*"}},
    }
    return {
        "providers": {TOKEN_PROVIDER: provider},
        "bypass_cors_preflight": bool(layout.origins),
        "rules": [
            {"match": {"prefix": "/", "headers": [is_key]}},  # no JWS: the APIs compare its digest
            {"match": {"prefix": "/"}, "requires": {"provider_name": TOKEN_PROVIDER}},
        ],
    }


def _cluster(api: Api, layout: Layout) -> Node:
    targets = layout.targets[api]
    cluster: Node = {
        "name": api,
        "type": "STATIC" if all(_is_address(each.host) for each in targets) else "STRICT_DNS",
        "connect_timeout": "1s",
        "lb_policy": "ROUND_ROBIN",
        "load_assignment": {
            "cluster_name": api,
            "endpoints": [{"lb_endpoints": [_endpoint(each) for each in targets]}],
        },
        "circuit_breakers": {
            "thresholds": [
                {
                    "max_connections": 4096,
                    "max_pending_requests": 4096,
                    "max_requests": 4096,
                    "retry_budget": {
                        "budget_percent": {"value": gateway.RETRIED_PERCENT_MAX},
                        "min_retry_concurrency": gateway.RETRIED_MIN,
                    },
                }
            ]
        },
        "health_checks": [_probe()],
        "outlier_detection": _outliers(),
        "typed_extension_protocol_options": {
            "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
                "@type": f"{_TYPES}.upstreams.http.v3.HttpProtocolOptions",
                "common_http_protocol_options": {"idle_timeout": _seconds(IDLE_S)},
                "explicit_http_config": {"http_protocol_options": {}},
            }
        },
    }
    if layout.upstream_ca is not None:
        cluster["transport_socket"] = _to_an_api(layout, layout.upstream_ca)
    return cluster


def _probe() -> Node:
    return {
        "timeout": _seconds(gateway.PROBE_EVERY_S),
        "interval": _seconds(gateway.PROBE_EVERY_S),
        "no_traffic_interval": _seconds(gateway.PROBE_EVERY_S),
        "unhealthy_threshold": gateway.PROBES_FAILED,
        "healthy_threshold": 1,
        "http_health_check": {"path": "/readyz"},
    }


def _outliers() -> Node:
    """Take out who does not answer. An answer with a status of 500 or more is the API's: only what is lost counts.

    A connection that comes about ends a succession of failures, so who takes connections and answers nothing is found
    by their share: a lost request counts as one success, its connection, and one failure.
    """
    return {
        "split_external_local_origin_errors": True,
        "consecutive_local_origin_failure": gateway.FAILURES_MAX,
        "enforcing_failure_percentage_local_origin": 100,
        "failure_percentage_threshold": 40,  # two requests of three
        "failure_percentage_request_volume": 2 * gateway.FAILURES_MAX,
        "failure_percentage_minimum_hosts": 1,
        "enforcing_consecutive_5xx": 0,
        "enforcing_consecutive_gateway_failure": 0,
        "enforcing_success_rate": 0,
        "enforcing_local_origin_success_rate": 0,
        "interval": "0.5s",
        "base_ejection_time": _seconds(gateway.OUT_S),
        "max_ejection_percent": 50,
    }


def _to_an_api(layout: Layout, authority: Path) -> Node:
    common: Node = {
        "tls_params": {"tls_minimum_protocol_version": "TLSv1_2"},
        "validation_context": {"trusted_ca": {"filename": str(authority)}},
    }
    if layout.upstream_certificate is not None:
        common["tls_certificates"] = [_certificate(layout.upstream_certificate, layout.upstream_certificate)]
    return {
        "name": "tls",
        "typed_config": {
            "@type": f"{_TLS}.UpstreamTlsContext",
            "auto_host_sni": True,
            "auto_sni_san_validation": True,  # the name of the process, not that which the caller asked for
            "common_tls_context": common,
        },
    }


def _one_of(methods: tuple[str, ...] | list[str]) -> Node:
    """One of these methods; they are words, so they need no quoting."""
    return {"name": ":method", "string_match": {"safe_regex": {"regex": "|".join(methods)}}}


def _endpoint(target: ApiAddress) -> Node:
    return {
        "endpoint": {"address": _address(target), "hostname": target.host},
        "load_balancing_weight": target.weight,
    }


def _address(target: ApiAddress) -> Node:
    return {"socket_address": {"address": target.host, "port_value": target.port}}


def _certificate(certificate: Path, key: Path) -> Node:
    return {"certificate_chain": {"filename": str(certificate)}, "private_key": {"filename": str(key)}}


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _seconds(seconds: float) -> str:
    return f"{seconds:g}s"
