# ruff: noqa: FBT002 - an option of the command line is a boolean with a default
"""`counterfoil identity`: the keys that sign access tokens."""

from typing import Annotated

import typer

from counterfoil.cli import answering

app = typer.Typer(no_args_is_help=True, help="Keys that sign access tokens.")


@app.command("rotate-key")
def rotate_key(
    distrust: Annotated[
        bool,
        typer.Option(
            "--distrust",
            help="Refuse all issued access tokens within a second, because a key was stolen or may have been.",
        ),
    ] = False,
    reason: answering.Why = "",
    name: answering.As = None,
) -> None:
    """Sign access tokens with the announced key, and announce another one; APIs follow within a second."""
    from counterfoil import accounts

    kid = accounts.rotate_key(answering.settings(), distrust=distrust, reason=reason, by=name)
    print(f"key {kid} signs access tokens")
    if distrust:
        print("access tokens of earlier keys are refused; sessions continue with a refresh")
    else:
        print("the previous key verifies tokens until the last of them expires")
