# ruff: noqa: FBT002 - an option of the command line is a boolean with a default
"""`counterfoil master-key`: the key that wraps the keys of personal data."""

from typing import Annotated

import typer

from counterfoil.cli import answering

app = typer.Typer(no_args_is_help=True, help="The key that wraps the keys of personal data.")


@app.command("rotate")
def rotate() -> None:
    """Put a new master key before the old ones in its file; wrapped keys stay as they are until `rewrap`."""
    from counterfoil import master_keys

    print(f"master key {master_keys.rotate(answering.settings())} wraps data keys")
    print("copy the file to every machine of this installation, then run `counterfoil master-key rewrap`")


@app.command("rewrap")
def rewrap(
    drop_old: Annotated[
        bool, typer.Option("--drop-old", help="Leave only the first master key in the file afterwards.")
    ] = False,
) -> None:
    """Wrap every data key under the first master key; no event is touched."""
    from counterfoil import master_keys

    print(f"{master_keys.rewrap(answering.settings(), drop_old=drop_old)} data keys wrapped again")
    print("the older master keys are needed for backups of the key database only")
