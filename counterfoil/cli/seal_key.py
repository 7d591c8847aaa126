"""`counterfoil seal-key`: the key that seals the log."""

from pathlib import Path
from typing import Annotated

import typer

from counterfoil.cli import answering

app = typer.Typer(no_args_is_help=True, help="The key that seals the log.")

File = Annotated[Path | None, typer.Argument(help="The key's file; default: COUNTERFOIL_SEAL_KEY.")]


@app.command("generate")
def generate(
    file: Annotated[
        Path | None,
        typer.Argument(help="Where to write it; default: COUNTERFOIL_SEAL_KEY, or seal.key below home."),
    ] = None,
    origin: Annotated[
        str | None, typer.Option("--origin", help="Name of the log; default: counterfoil/<installation>.")
    ] = None,
) -> None:
    """Make a key in a file that only its owner may read, and print its public half for auditors."""
    from counterfoil import sealing

    written, key = sealing.generate(answering.settings(), file, origin=origin)
    print(f"wrote {written}: keep a copy where this machine is not, and nobody else")
    print(key.verifier)


@app.command("rotate")
def rotate(
    file: File = None,
    to: Annotated[
        Path | None,
        typer.Option(
            "--to", help="File with the key that takes over, made by `generate`; default: a new one."
        ),
    ] = None,
) -> None:
    """Add a key that takes over: the sealer signs one checkpoint with both, and goes on with the new one alone."""
    from counterfoil import sealing

    print(sealing.rotate(sealing.file_of(answering.settings(), file), successor=to).verifier)


@app.command("show")
def show(file: File = None) -> None:
    """Print the public half of the key that seals, for auditors."""
    from counterfoil import sealing
    from event_store.proofs import key_file

    print(key_file.read(sealing.file_of(answering.settings(), file))[0].verifier)
