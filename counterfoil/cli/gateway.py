"""`counterfoil gateway`: the configuration of a gateway before both APIs, printed."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from counterfoil.cli import answering

if TYPE_CHECKING:
    from counterfoil.api_gateway.layout import Layout

app = typer.Typer(
    no_args_is_help=True, help="Configuration of a gateway before both APIs, from their routes."
)

Listen = Annotated[str, typer.Option("--listen", help="Where callers reach the gateway, host:port.")]
CommandApi = Annotated[
    list[str] | None,
    typer.Option(
        "--command-api",
        help="A process of the command API, host:port or host:port=weight; several times. Default: as set.",
    ),
]
QueryApi = Annotated[list[str] | None, typer.Option("--query-api", help="The same of the query API.")]
Certificate = Annotated[
    Path | None, typer.Option("--certificate", help="PEM file by which the gateway serves TLS.")
]
Key = Annotated[
    Path | None, typer.Option("--key", help="PEM file of its key; in the same file if not given.")
]
UpstreamCa = Annotated[
    Path | None,
    typer.Option(
        "--upstream-ca", help="PEM file of the authorities of the APIs' certificates: TLS to the APIs."
    ),
]
UpstreamCertificate = Annotated[
    Path | None,
    typer.Option(
        "--upstream-certificate", help="PEM file of certificate and key that the gateway shows the APIs."
    ),
]


@app.command("envoy")
def envoy(
    listen: Listen = "127.0.0.1:8000",
    command_api: CommandApi = None,
    query_api: QueryApi = None,
    certificate: Certificate = None,
    key: Key = None,
    upstream_ca: UpstreamCa = None,
    upstream_certificate: UpstreamCertificate = None,
) -> None:
    """Print the bootstrap of an Envoy, as JSON."""
    import json

    from counterfoil.api_gateway import envoy as envoy_

    files = certificate, key, upstream_ca, upstream_certificate
    print(json.dumps(envoy_.bootstrap(_layout(listen, command_api, query_api, files)), indent=1))


@app.command("kong")
def kong(
    listen: Listen = "127.0.0.1:8000",
    command_api: CommandApi = None,
    query_api: QueryApi = None,
    certificate: Certificate = None,
    key: Key = None,
    upstream_ca: UpstreamCa = None,
    upstream_certificate: UpstreamCertificate = None,
) -> None:
    """Print the declarative file of a Kong, which verifies no tokens; address and files are set in kong.conf."""
    import json

    from counterfoil.api_gateway import kong as kong_

    files = certificate, key, upstream_ca, upstream_certificate
    print(json.dumps(kong_.declaration(_layout(listen, command_api, query_api, files)), indent=1))


@app.command("nginx")
def nginx(
    listen: Listen = "127.0.0.1:8000",
    command_api: CommandApi = None,
    query_api: QueryApi = None,
    certificate: Certificate = None,
    key: Key = None,
    upstream_ca: UpstreamCa = None,
    upstream_certificate: UpstreamCertificate = None,
) -> None:
    """Print the configuration of an nginx, which verifies no tokens and sends no probes."""
    from counterfoil.api_gateway import nginx as nginx_

    files = certificate, key, upstream_ca, upstream_certificate
    print(nginx_.configuration(_layout(listen, command_api, query_api, files)))


def _layout(
    listen: str, command_api: list[str] | None, query_api: list[str] | None, files: tuple[Path | None, ...]
) -> "Layout":
    from counterfoil.api_gateway import layout

    certificate, key, upstream_ca, upstream_certificate = map(_absolute, files)
    places = layout.Places(
        listen=listen,
        command_api=command_api or (),
        query_api=query_api or (),
        certificate=certificate,
        key=key,
        upstream_ca=upstream_ca,
        upstream_certificate=upstream_certificate,
    )
    return layout.layout(answering.settings(), places, contexts=answering.contexts())


def _absolute(path: Path | None) -> Path | None:
    """A gateway is started elsewhere."""
    return None if path is None else path.absolute()
