"""`counterfoil witness`: somebody else's program that lets no log take anything back."""

from pathlib import Path
from typing import Annotated

import typer

from counterfoil.cli import answering

app = typer.Typer(no_args_is_help=True, help="A witness: cosigns checkpoints of append-only logs.")

Directory = Annotated[
    Path, typer.Argument(help="Directory with the key of the witness and its newest cosigned checkpoints.")
]


@app.callback()
def witness() -> None:
    """Run a witness: on another machine and under another owner than the logs whose checkpoints it cosigns."""


@app.command("create")
def create(
    directory: Directory,
    name: Annotated[str, typer.Option(help="Its name in signatures: a URL without the scheme.")],
) -> None:
    """Create a witness, and print its verifier key."""
    from event_store.proofs import witness as witness_

    print(witness_.create(directory, name=name))


@app.command("trust")
def trust(
    directory: Directory,
    key: Annotated[str, typer.Argument(help="Verifier key of a log, as `counterfoil` prints it.")],
) -> None:
    """Add a log that the witness cosigns; takes effect at its next start."""
    from event_store.proofs import note
    from event_store.proofs import witness as witness_

    witness_.trust(directory, note.VerifierKey.parse(key))


@app.command("serve")
def serve(
    directory: Directory,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65_535, help="TCP port; 0 takes a free one.")] = 0,
) -> None:
    """Cosign until Ctrl-C; prints address and verifier key as JSON."""
    from event_store.proofs import witness as witness_
    from event_store.proofs.witness_server import Server
    from runtime.listening import listening_at

    with witness_.opened(directory) as storage:
        serving = witness_.Witness(storage)
        with listening_at(host, port):
            server = Server(serving, host=host, port=port)
        with server:
            answering.print_json({"url": server.url, "key": str(serving.verifier)})
            server.serve_forever()
