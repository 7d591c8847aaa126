# ruff: noqa: FBT002 - an option of the command line is a boolean with a default
"""`counterfoil parked`: keys whose events could not be applied, and what to do with them."""

from typing import Annotated

import typer

from counterfoil import terminal
from counterfoil.cli import answering
from counterfoil.cli.answering import As, AsJson, Why

app = typer.Typer(no_args_is_help=True, help="Parked keys (dead letters): list, show, retry, skip.")


@app.command("list")
def parked_list(as_json: AsJson = False) -> None:
    """List the parked keys of all consumers."""
    from counterfoil import addresses, parking

    found = parking.listed(addresses.database_url(answering.settings()))
    if as_json:
        answering.print_json(found)
    else:
        print(terminal.shown("\n".join(parking.lines(found))) or "no parked keys")


@app.command("show")
def parked_show(
    consumer: Annotated[str, typer.Argument(help="View, process manager or another consumer.")],
    key: Annotated[str, typer.Argument(help="Partition key, e.g. order-536365.")],
) -> None:
    """Print a parked key with its event and the error."""
    from counterfoil import addresses, parking

    url = addresses.database_url(answering.settings())
    answering.answer(parking.shown(url, consumer, key), as_json=True)


@app.command("retry")
def parked_retry(
    consumer: Annotated[str, typer.Argument(help="View, process manager or another consumer.")],
    key: Annotated[str, typer.Argument(help="Partition key.")],
    reason: Why = "",
    name: As = None,
) -> None:
    """Have the owner of the key apply its events again."""
    from counterfoil import parking

    with answering.operator(name) as asked:
        print(parking.retry(asked, consumer, key, reason=reason))


@app.command("skip")
def parked_skip(
    consumer: Annotated[str, typer.Argument(help="View, process manager or another consumer.")],
    key: Annotated[str, typer.Argument(help="Partition key.")],
    position: Annotated[int, typer.Argument(help="Position of the event to skip, from `parked show`.")],
    reason: Annotated[str, typer.Option("--reason", help="Reason, kept in the log.")],
    name: As = None,
) -> None:
    """Have the owner of the key continue without the event at this position."""
    from counterfoil import parking

    with answering.operator(name) as asked:
        print(parking.skip(asked, consumer, key, position=position, reason=reason))
