# ruff: noqa: FBT002 - an option of the command line is a boolean with a default
"""`counterfoil identity`: the keys that sign access tokens."""

from typing import Annotated

import typer

from counterfoil.cli import answering

app = typer.Typer(no_args_is_help=True, help="The keys that sign access tokens.")


@app.command("rotate-key")
def rotate_key(
    distrust: Annotated[
        bool,
        typer.Option(
            "--distrust",
            help="Refuse every access token that is out, within a second: a key was stolen, or may have been.",
        ),
    ] = False,
    reason: answering.Why = "",
    name: answering.As = None,
) -> None:
    """Have the announced key sign access tokens from now on, and announce another one; APIs follow within a second."""
    from counterfoil import accounts

    kid = accounts.rotate_key(answering.settings(), distrust=distrust, reason=reason, by=name)
    print(f"key {kid} signs from now on")
    if distrust:
        print("access tokens of the keys before it are refused; sessions go on by refreshing")
    else:
        print("the key before it verifies until its last token is over")
