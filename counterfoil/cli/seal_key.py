"""`counterfoil seal-key`: the key that seals the log."""

from pathlib import Path
from typing import Annotated

import typer

from counterfoil.cli import answering

app = typer.Typer(no_args_is_help=True, help="The sealing key of the log.")

File = Annotated[Path | None, typer.Argument(help="The key's file; default: COUNTERFOIL_SEAL_KEY.")]


@app.command("generate")
def generate(
    file: Annotated[
        Path | None,
        typer.Argument(
            help="File to write; default: COUNTERFOIL_SEAL_KEY, or seal.key in the home directory."
        ),
    ] = None,
    origin: Annotated[
        str | None, typer.Option("--origin", help="Name of the log; default: counterfoil/<installation>.")
    ] = None,
) -> None:
    """Create a key in a file that only its owner may read, and print the public key for auditors."""
    from counterfoil import sealing

    written, key = sealing.generate(answering.settings(), file, origin=origin)
    print(f"wrote {written}: keep a copy on another machine, where only its owner can read it")
    print(key.verifier)


@app.command("rotate")
def rotate(
    file: File = None,
    to: Annotated[
        Path | None,
        typer.Option("--to", help="File with the new key, made by `generate`; default: a generated one."),
    ] = None,
) -> None:
    """Replace the key: the sealer signs one checkpoint with both, then continues with the new one."""
    from counterfoil import sealing

    print(sealing.rotate(sealing.file_of(answering.settings(), file), successor=to).verifier)


@app.command("show")
def show(file: File = None) -> None:
    """Print the public key for auditors."""
    from counterfoil import sealing
    from event_store.proofs import key_file

    print(key_file.read(sealing.file_of(answering.settings(), file))[0].verifier)
