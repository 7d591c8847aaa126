# ruff: noqa: FBT002 - an option of the command line is a boolean with a default
"""`counterfoil log`: what is done to the log itself."""

import sys
from typing import Annotated

import typer

from counterfoil.cli import answering

app = typer.Typer(no_args_is_help=True, help="The log.")


@app.command("fence")
def log_fence(
    reason: Annotated[
        str | None,
        typer.Option("--reason", help="Reason, kept with the epoch; prompted for if missing."),
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not prompt for confirmation.")] = False,
    new_installation: Annotated[
        bool,
        typer.Option(
            "--new-installation",
            help="This database is a copy of one in use: give the copy an id of its own.",
        ),
    ] = False,
    name: answering.As = None,
) -> None:
    """Declare that the log may have lost its end (a restore, a promotion): new epoch, new topics, empty cache."""
    from counterfoil import fencing, operators

    settings = answering.settings()
    print("\n".join(fencing.intent(settings, new_installation=new_installation).lines()))
    if not (reason and yes) and not _has_a_person():
        raise fencing.NotConfirmed("nothing was fenced: without a terminal, give --reason TEXT and --yes")
    why = reason or typer.prompt("reason")
    if not yes and not typer.confirm("fence the log?"):
        raise fencing.NotConfirmed("nothing was fenced")
    by = operators.of_settings(settings, name)
    print(fencing.fence(settings, reason=f"{why} (operator:{by})", new_installation=new_installation))


def _has_a_person() -> bool:
    """Whether somebody can be asked."""
    return sys.stdin.isatty()
