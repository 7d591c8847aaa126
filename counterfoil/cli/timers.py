# ruff: noqa: FBT002 - an option of the command line is a boolean with a default
"""`counterfoil timers`: what process managers wait for."""

import typer

from counterfoil import terminal
from counterfoil.cli import answering
from counterfoil.cli.answering import AsJson

app = typer.Typer(no_args_is_help=True, help="Timers of process managers.")


@app.callback()
def timers() -> None:
    """Timers of process managers."""


@app.command("list")
def timers_list(as_json: AsJson = False) -> None:
    """List pending timers: process manager, stream, setting event, due time."""
    from counterfoil import addresses
    from counterfoil import timers as timers_

    settings = answering.settings()
    found = timers_.listed(addresses.database_url(settings), settings, answering.contexts())
    if as_json:
        answering.print_json(found)
    else:
        print(terminal.shown("\n".join(timers_.lines(found))) or "no pending timers")
