"""`counterfoil simulate`: parties of the outside world, as processes of their own, with a book and with faults."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from counterfoil.cli import answering

if TYPE_CHECKING:
    from counterfoil.simulators.faults import Faults

app = typer.Typer(no_args_is_help=True, help="Simulators of systems outside the shop.")


@app.callback()
def simulate() -> None:
    """Play a party of the outside world, for demonstrations and tests."""


def _usable(ledger: Path) -> Path:
    """A ledger that can be read and added to; made here, where it is missing."""
    try:
        ledger.open("a+b").close()
    except OSError as error:
        raise typer.BadParameter(
            f"{ledger} cannot be written ({error.strerror}): name a file in a folder that exists"
        ) from error
    return ledger


Ledger = Annotated[
    Path,
    typer.Option(
        callback=_usable, help="File that gets a line for each request, and what was done about it."
    ),
]
Port = Annotated[int, typer.Option(min=0, max=65_535, help="TCP port on 127.0.0.1; 0 takes a free one.")]
Seed = Annotated[int | None, typer.Option(help="Seed of the faults; default: random, and printed.")]
Token = Annotated[str | None, typer.Option(help="Token that every request must have.")]


@app.command("carrier")
def carrier(
    ledger: Ledger,
    port: Port = 0,
    faults: Annotated[
        str,
        typer.Option(
            help="Shares of faults: lose, twice, late=0.1:30 (seconds), error, garble, wrong; of refusals: refuse;"
            " forget=60: seconds after which a repeated purchase is a new one. Joined by commas."
        ),
    ] = "",
    seed: Seed = None,
    token: Token = None,
) -> None:
    """Sell labels as in docs/contracts/carrier.md until Ctrl-C; prints its address and its seed as JSON."""
    from counterfoil.simulators import carrier as carrier_

    carrier_.serve(
        ledger,
        port=port,
        faults=_faults(faults),
        seed=seed,
        token=token,
        on_ready=lambda url, chosen: answering.print_json({"url": url, "seed": chosen}),
    )


@app.command("payments")
def payments(
    ledger: Ledger,
    port: Port = 0,
    faults: Annotated[
        str,
        typer.Option(
            help="Shares of faults: lose, twice, late=0.1:30 (seconds), error, garble, wrong; of declines: refuse."
            " Joined by commas."
        ),
    ] = "",
    seed: Seed = None,
    token: Token = None,
    webhooks: Annotated[
        str | None, typer.Option(help="Where webhooks are sent: <command API>/v1/payment-webhooks.")
    ] = None,
    webhook_secret: Annotated[str, typer.Option(help="Secret that signs them.")] = "",
    webhook_faults: Annotated[
        str,
        typer.Option(
            help="Shares of faults of webhooks: twice, late=0.1:5 (seconds), reorder, wrong (amounts), lose."
        ),
    ] = "",
) -> None:
    """Take payments as in docs/contracts/payment.md until Ctrl-C; prints its address and its seed as JSON."""
    from counterfoil.simulators import payment_provider
    from counterfoil.simulators.webhooks import WEBHOOK_FAULTS

    if webhooks is not None and not webhook_secret:
        raise typer.BadParameter("webhooks are signed: a secret is needed", param_hint="--webhook-secret")
    payment_provider.serve(
        ledger,
        port=port,
        faults=_faults(faults),
        seed=seed,
        token=token,
        webhooks=None
        if webhooks is None
        else payment_provider.WebhookOptions(
            url=webhooks,
            secret=webhook_secret.encode(),
            faults=_faults(webhook_faults, names=WEBHOOK_FAULTS, option="--webhook-faults"),
        ),
        on_ready=lambda url, chosen: answering.print_json({"url": url, "seed": chosen}),
    )


def _faults(text: str, *, names: tuple[str, ...] | None = None, option: str = "--faults") -> "Faults":
    from counterfoil.simulators.faults import FAULTS, Faults, MalformedFaults

    try:
        return Faults.read(text, names=names or FAULTS)
    except MalformedFaults as error:
        raise typer.BadParameter(str(error), param_hint=option) from error
