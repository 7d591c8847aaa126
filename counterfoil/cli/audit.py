# ruff: noqa: FBT002 - an option of the command line is a boolean with a default
"""`counterfoil audit`: prove what happened, to yourself and to others."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from counterfoil import terminal
from counterfoil.cli import answering
from counterfoil.cli.answering import AsJson
from runtime import priority

app = typer.Typer(no_args_is_help=True, help="Prove what happened.")

Keys = Annotated[
    str | None,
    typer.Option(
        "--key",
        help="The log's public key that you trust, or a file with one in each line; of witnesses too, if they must have"
        " cosigned.",
    ),
]


@app.command("verify")
def verify(
    as_json: AsJson = False,
    full: Annotated[bool, typer.Option("--full", help="Fold all snapshots again, not a sample.")] = False,
    against: Annotated[
        Path | None,
        typer.Option(
            "--against",
            exists=True,
            dir_okay=False,
            help="Also hold the log against this checkpoint that you kept.",
        ),
    ] = None,
    key: Keys = None,
) -> None:
    """Check positions, versions, leaves and epochs of the log, and every live view against a fold of it."""
    with priority.background(), answering.auditing():
        from counterfoil import addresses, auditing, sealing

        settings = answering.settings()
        compared = None
        if against is not None:
            compared = sealing.compare(
                settings, against.read_text(), keys=sealing.keys_in(key) if key else []
            )
        report = auditing.verify(
            addresses.database_url(settings), contexts=answering.contexts(), full=full, sealed=compared
        )
    if as_json:
        answering.print_json(report.as_json())
    else:
        print(terminal.shown("\n".join(report.lines())))
    raise typer.Exit(
        answering.gravest(
            answering.EXIT_FAILED if report.damaged else answering.EXIT_OK,
            answering.EXIT_INCOMPLETE if report.unexamined else answering.EXIT_OK,
            answering.EXIT_PARKED if report.parked else answering.EXIT_OK,
        )
    )


@app.command("checkpoint")
def checkpoint() -> None:
    """Print the newest published checkpoint: keep it where the operator of this log cannot reach it."""
    with answering.auditing():
        from counterfoil import sealing

        sys.stdout.write(sealing.published(answering.settings()))


@app.command("prove")
def prove(
    position: Annotated[
        int | None, typer.Option("--position", min=1, help="Prove that this event is sealed.")
    ] = None,
    since: Annotated[
        int | None,
        typer.Option("--since", min=0, help="Prove that the first so many events are the beginning."),
    ] = None,
) -> None:
    """Print a proof: a receipt for one event, or that an earlier tree is the beginning of the sealed one (JSON)."""
    if (position is None) == (since is None):
        raise typer.BadParameter("give one of --position and --since")
    with answering.auditing():
        from counterfoil import sealing

        settings = answering.settings()
        if position is not None:
            sys.stdout.write(sealing.prove(settings, position).encode())
        elif since is not None:
            answering.print_json(sealing.prove_consistency(settings, since))


@app.command("receipt")
def receipt(
    file: Annotated[Path, typer.Argument(exists=True, dir_okay=False, help="The receipt.")],
    key: Annotated[
        str, typer.Option("--key", help="The log's public key that you trust, or a file with keys.")
    ],
    as_json: AsJson = False,
) -> None:
    """Check a receipt offline: that its event stands in the log whose key you trust."""
    with answering.auditing():
        from counterfoil import sealing

        found, sealed = sealing.check_receipt(file.read_text(), keys=sealing.keys_in(key))
    event = found.event
    if as_json:
        answering.print_json(
            {"origin": sealed.origin, "size": sealed.size, "position": event.position, "stream": event.stream}
        )
    else:
        print(
            terminal.shown(
                f"{event.type} of {event.stream}, number {event.position} of {sealed.origin}: sealed"
            )
        )
        print(terminal.shown(event.payload))


@app.command("export")
def export(
    file: Annotated[Path, typer.Argument(help="The bundle to write; it must not exist.")],
    first: Annotated[int | None, typer.Option("--from", min=1, help="Position of the first event.")] = None,
    last: Annotated[int | None, typer.Option("--to", min=1, help="Position of the last event.")] = None,
    stream: Annotated[
        str | None, typer.Option("--stream", help="Instead: all events of one stream, e.g. order-536365.")
    ] = None,
) -> None:
    """Write a bundle for people who do not trust this log: sealed events, with tags, outcomes and proofs."""
    if (stream is None) == (first is None) or (first is None) != (last is None):
        raise typer.BadParameter("give --from and --to, or --stream")
    with priority.background(), answering.auditing():
        from counterfoil import sealing

        written = sealing.export(answering.settings(), file, first=first, last=last, stream=stream)
    print(f"wrote {written:,} events to {file}")


@app.command("check")
def check(
    file: Annotated[Path, typer.Argument(exists=True, dir_okay=False, help="The bundle.")],
    key: Keys = None,
    as_json: AsJson = False,
) -> None:
    """Check a bundle offline: needs no database and no network, only the public key that you trust."""
    with answering.auditing():
        from counterfoil import sealing

        checked = sealing.check(file, keys=sealing.keys_in(key) if key else [])
    if as_json:
        answering.print_json(sealing.checked_as_json(checked))
    else:
        print(terminal.shown("\n".join(sealing.checked_lines(checked))))
    raise typer.Exit(
        answering.gravest(
            answering.EXIT_FAILED if checked.damaged else answering.EXIT_OK,
            answering.EXIT_OK if checked.complete else answering.EXIT_INCOMPLETE,
        )
    )
