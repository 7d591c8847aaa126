"""The fields of Kong's declarative format that its documentation names, as far as we use them; others are refused."""

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct

Name = Annotated[str, Meta(pattern=r"^[A-Za-z0-9._~-]+$")]
HostName = Annotated[str, Meta(pattern=r"^[A-Za-z0-9.-]+$")]
Count = Annotated[int, Meta(ge=0, le=255)]
Milliseconds = Annotated[int, Meta(ge=1, le=2**31 - 2)]
Seconds = Annotated[int, Meta(ge=0, le=65_535)]
Scheme = Literal["http", "https"]
Status = Annotated[int, Meta(ge=100, le=999)]


class Strict(Struct, forbid_unknown_fields=True, kw_only=True):
    """An object that has no other fields."""


class RateLimiting(Strict):
    minute: Annotated[int, Meta(gt=0)]
    limit_by: Literal["consumer", "credential", "ip", "service", "header", "path"]
    policy: Literal["local", "redis"]
    fault_tolerant: bool
    hide_client_headers: bool


class CorrelationId(Strict):
    header_name: str
    generator: Literal["uuid", "uuid#counter", "tracker"]
    echo_downstream: bool


class Added(Strict):
    headers: list[Annotated[str, Meta(pattern=r"^[^:]+:.*$")]]


class ResponseTransformer(Strict):
    add: Added


class Plugin(Strict):
    name: Literal["rate-limiting", "correlation-id", "response-transformer"]
    config: dict[str, Any]

    def __post_init__(self):
        kinds = {
            "rate-limiting": RateLimiting,
            "correlation-id": CorrelationId,
            "response-transformer": ResponseTransformer,
        }
        msgspec.convert(self.config, kinds[self.name])


class Route(Strict):
    name: Name
    protocols: list[Scheme]
    methods: list[Annotated[str, Meta(pattern="^[A-Z]+$")]]
    paths: list[Annotated[str, Meta(pattern="^~?/")]]
    regex_priority: int
    strip_path: bool
    preserve_host: bool
    path_handling: Literal["v0", "v1"]
    headers: dict[str, list[str]] = {}


class Proxied(Strict):
    name: Name
    host: HostName
    port: Annotated[int, Meta(ge=0, le=65_535)]
    protocol: Scheme
    retries: Annotated[int, Meta(ge=0, le=32_767)]
    connect_timeout: Milliseconds
    read_timeout: Milliseconds
    write_timeout: Milliseconds
    routes: list[Route]
    tls_verify: bool | None = None
    plugins: list[Plugin] = []


class ActiveHealthy(Strict):
    interval: Seconds
    successes: Count
    http_statuses: list[Status]


class ActiveUnhealthy(Strict):
    interval: Seconds
    http_statuses: list[Status]
    http_failures: Count
    tcp_failures: Count
    timeouts: Count


class Active(Strict):
    type: Scheme
    http_path: Annotated[str, Meta(pattern="^/")]
    timeout: Seconds
    healthy: ActiveHealthy
    unhealthy: ActiveUnhealthy
    https_verify_certificate: bool = True


class PassiveHealthy(Strict):
    successes: Count


class PassiveUnhealthy(Strict):
    http_failures: Count
    tcp_failures: Count
    timeouts: Count


class Passive(Strict):
    type: Scheme
    healthy: PassiveHealthy
    unhealthy: PassiveUnhealthy


class HealthChecks(Strict):
    active: Active
    passive: Passive


class Target(Strict):
    target: Annotated[str, Meta(pattern=r"^(\[[0-9a-fA-F:.]+\]|[^:]+):[0-9]+$")]
    weight: Annotated[int, Meta(ge=0, le=65_535)]


class Upstream(Strict):
    name: HostName
    algorithm: Literal["round-robin", "least-connections", "consistent-hashing", "latency"]
    targets: list[Target]
    healthchecks: HealthChecks


class Declaration(Strict):
    """The whole file."""

    format_version: Literal["3.0"] = msgspec.field(name="_format_version")
    upstreams: list[Upstream]
    services: list[Proxied]
    plugins: list[Plugin]


def read(declaration):
    """The file, checked.

    Raises:
        msgspec.ValidationError: a field is unknown, missing or out of its range.
    """
    return msgspec.convert(declaration, Declaration)
