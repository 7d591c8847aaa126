"""`counterfoil simulate`: parties of the outside world, as processes of their own, with a book and with faults."""

from pathlib import Path
from typing import Annotated

import typer

from counterfoil.cli import answering

app = typer.Typer(no_args_is_help=True, help="Simulators of systems outside the shop.")


@app.callback()
def simulate() -> None:
    """Play a party of the outside world, for demonstrations and tests."""


@app.command("carrier")
def carrier(
    ledger: Annotated[Path, typer.Option(help="File that gets a line for each request and purchase.")],
    port: Annotated[
        int, typer.Option(min=0, max=65_535, help="TCP port on 127.0.0.1; 0 takes a free one.")
    ] = 0,
    faults: Annotated[
        str,
        typer.Option(
            help="Shares of faults: lose, twice, late=0.1:30 (seconds), error, garble, wrong; of refusals: refuse;"
            " forget=60: seconds after which a repeated purchase is a new one. Joined by commas."
        ),
    ] = "",
    seed: Annotated[
        int | None, typer.Option(help="Seed of the faults; default: random, and printed.")
    ] = None,
    token: Annotated[str | None, typer.Option(help="Token that every request must have.")] = None,
) -> None:
    """Sell labels as in docs/contracts/carrier.md until Ctrl-C; prints its address and its seed as JSON."""
    from counterfoil.simulators import carrier as carrier_
    from counterfoil.simulators.faults import Faults, MalformedFaults

    try:
        given = Faults.read(faults)
    except MalformedFaults as error:
        raise typer.BadParameter(str(error), param_hint="--faults") from error
    carrier_.serve(
        ledger,
        port=port,
        faults=given,
        seed=seed,
        token=token,
        on_ready=lambda url, chosen: answering.print_json({"url": url, "seed": chosen}),
    )
