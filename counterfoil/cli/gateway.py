"""`counterfoil gateway`: the configuration of a gateway before both APIs, printed."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from counterfoil.cli import answering

if TYPE_CHECKING:
    from counterfoil.api_gateway.layout import Layout

app = typer.Typer(
    no_args_is_help=True, help="Configuration of a gateway before both APIs, from their routes."
)


def _envoy(layout: "Layout") -> str:
    """Print the bootstrap of an Envoy, as JSON."""
    from counterfoil.api_gateway import envoy

    return json.dumps(envoy.bootstrap(layout), indent=1)


def _kong(layout: "Layout") -> str:
    """Print the declarative file of a Kong, which verifies no tokens; address and files are set in kong.conf."""
    from counterfoil.api_gateway import kong

    return json.dumps(kong.declaration(layout), indent=1)


def _nginx(layout: "Layout") -> str:
    """Print the configuration of an nginx, which verifies no tokens and sends no probes."""
    from counterfoil.api_gateway import nginx

    return nginx.configuration(layout)


WRITERS: Final[dict[str, Callable[["Layout"], str]]] = {"envoy": _envoy, "kong": _kong, "nginx": _nginx}
"""What writes the configuration, by command; its docstring is the command's help."""

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


def _add(name: str, written: Callable[["Layout"], str]) -> None:
    """Add the command of one gateway: all take the same options."""

    @app.command(name, help=written.__doc__)
    def command(
        listen: Listen = "127.0.0.1:8000",
        command_api: CommandApi = None,
        query_api: QueryApi = None,
        certificate: Certificate = None,
        key: Key = None,
        upstream_ca: UpstreamCa = None,
        upstream_certificate: UpstreamCertificate = None,
    ) -> None:
        from counterfoil.api_gateway import layout

        places = layout.Places(
            listen=listen,
            command_api=command_api or (),
            query_api=query_api or (),
            certificate=_absolute(certificate),
            key=_absolute(key),
            upstream_ca=_absolute(upstream_ca),
            upstream_certificate=_absolute(upstream_certificate),
        )
        print(written(layout.layout(answering.settings(), places, contexts=answering.contexts())))


def _absolute(path: Path | None) -> Path | None:
    """A gateway is started elsewhere."""
    return None if path is None else path.absolute()


for _name, _written in WRITERS.items():
    _add(_name, _written)
