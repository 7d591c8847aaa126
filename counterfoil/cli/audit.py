# ruff: noqa: FBT002 - an option of the command line is a boolean with a default
"""`counterfoil audit`: prove what happened, to yourself and to others."""

import sys
from pathlib import Path
from typing import Annotated, Protocol

import typer

from counterfoil import terminal
from counterfoil.cli import answering
from counterfoil.cli.answering import AsJson
from runtime import priority

app = typer.Typer(no_args_is_help=True, help="Verify the log and its views; proofs and bundles for auditors.")

Keys = Annotated[
    str | None,
    typer.Option(
        "--key",
        help="The log's public key that you trust, or a file with one in each line; of witnesses too, if they must have"
        " cosigned.",
    ),
]

Certificate = Annotated[
    Path | None,
    typer.Option(
        "--certificate", exists=True, dir_okay=False, help="The certificate, if it is not in the bundle."
    ),
]


@app.command("verify")
def verify(
    as_json: AsJson = False,
    full: Annotated[
        bool, typer.Option("--full", help="Fold all snapshots again instead of a sample.")
    ] = False,
    against: Annotated[
        Path | None,
        typer.Option(
            "--against",
            exists=True,
            dir_okay=False,
            help="Compare the log with this earlier checkpoint, too.",
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
                settings, sealing.text_in(against), keys=sealing.keys_in(key) if key else []
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
    """Print the newest published checkpoint, to be kept out of reach of the log's operator."""
    with answering.auditing():
        from counterfoil import sealing

        sys.stdout.write(sealing.published(answering.settings()))


@app.command("certify")
def certify(
    view: Annotated[str, typer.Option("--view", help="Name of the view.")],
) -> None:
    """Fold the live build of a view again, and print a signed certificate of its rows; needs the sealing key."""
    with priority.background(), answering.auditing():
        from counterfoil import certifying

        certified = certifying.certify(answering.settings(), view, contexts=answering.contexts())
    sys.stdout.write(certified.signed.encode())
    raise typer.Exit(answering.EXIT_PARKED if certified.certificate.parked else answering.EXIT_OK)


@app.command("recompute")
def recompute(
    file: Annotated[
        Path, typer.Argument(exists=True, dir_okay=False, help="A bundle from the first event on.")
    ],
    view: Annotated[str, typer.Option("--view", help="Name of the view.")],
    certificate: Certificate = None,
    key: Keys = None,
    as_json: AsJson = False,
) -> None:
    """Fold a bundle offline, and compare the rows with the certificate of the view."""
    with answering.auditing():
        from counterfoil import recomputing, sealing

        found = recomputing.recompute(
            file,
            view,
            contexts=answering.contexts(),
            keys=sealing.keys_in(key) if key else [],
            given=None if certificate is None else sealing.text_in(certificate),
        )
    if as_json:
        answering.print_json(found.as_json())
    else:
        print(terminal.shown("\n".join(found.lines())))
    raise typer.Exit(_code(found, parked=bool(found.certificate.parked)))


@app.command("prove")
def prove(
    position: Annotated[
        int | None, typer.Option("--position", min=1, help="Prove that this event is sealed.")
    ] = None,
    since: Annotated[
        int | None,
        typer.Option("--since", min=0, help="Prove consistency with the tree of this many events."),
    ] = None,
    row: Annotated[
        str | None,
        typer.Option(
            "--row", help="Prove that the row of this key is in a view; parts of the key are joined by ~."
        ),
    ] = None,
    view: Annotated[str | None, typer.Option("--view", help="With --row: name of the view.")] = None,
    bundle: Annotated[
        Path | None,
        typer.Option(
            "--bundle", exists=True, dir_okay=False, help="With --row: a bundle from the first event on."
        ),
    ] = None,
    certificate: Certificate = None,
    key: Keys = None,
) -> None:
    """Print a proof as JSON: of an event (a receipt), of a row of a view, or of consistency with an earlier tree."""
    if [position, since, row].count(None) != 2:
        raise typer.BadParameter("give one of --position, --since and --row")
    if row is not None and (view is None or bundle is None):
        raise typer.BadParameter("with --row give --view and --bundle")
    with answering.auditing():
        from counterfoil import recomputing, sealing

        if position is not None:
            sys.stdout.write(sealing.prove(answering.settings(), position).encode())
        elif since is not None:
            answering.print_json(sealing.prove_consistency(answering.settings(), since))
        elif row is not None and view is not None and bundle is not None:
            found, proof = recomputing.prove(
                bundle,
                view,
                row,
                contexts=answering.contexts(),
                keys=sealing.keys_in(key) if key else [],
                given=None if certificate is None else sealing.text_in(certificate),
            )
            if proof is None:
                print(terminal.shown("\n".join(found.lines())), file=sys.stderr)
            else:
                sys.stdout.write(proof.encode().decode())
            raise typer.Exit(_code(found, parked=False))


@app.command("receipt")
def receipt(
    file: Annotated[Path, typer.Argument(exists=True, dir_okay=False, help="The receipt.")],
    key: Annotated[
        str, typer.Option("--key", help="The log's public key that you trust, or a file with keys.")
    ],
    as_json: AsJson = False,
) -> None:
    """Check a receipt offline: its event is in the log whose key you trust."""
    with answering.auditing():
        from counterfoil import sealing

        found, sealed = sealing.check_receipt(sealing.text_in(file), keys=sealing.keys_in(key))
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


@app.command("extends")
def extends(
    file: Annotated[Path, typer.Argument(exists=True, dir_okay=False, help="What `prove --since` printed.")],
    against: Annotated[
        Path,
        typer.Option("--against", exists=True, dir_okay=False, help="The checkpoint that you kept."),
    ],
    key: Annotated[
        str, typer.Option("--key", help="The log's public key that you trust, or a file with keys.")
    ],
    as_json: AsJson = False,
) -> None:
    """Check offline that a newer checkpoint extends the one that you kept: nothing before it was changed."""
    with answering.auditing():
        from counterfoil import sealing

        older, newer = sealing.check_consistency(
            sealing.text_in(file).encode(), sealing.text_in(against), keys=sealing.keys_in(key)
        )
    if as_json:
        answering.print_json({"origin": newer.origin, "old_size": older.size, "size": newer.size})
    else:
        print(
            terminal.shown(
                f"{newer.size:,} events of {newer.origin}, root {newer.root.hex()[:16]}:"
                f" the first {older.size:,} are those of the kept checkpoint"
            )
        )


@app.command("export")
def export(
    file: Annotated[Path, typer.Argument(help="The bundle to write; it must not exist.")],
    first: Annotated[int | None, typer.Option("--from", min=1, help="Position of the first event.")] = None,
    last: Annotated[int | None, typer.Option("--to", min=1, help="Position of the last event.")] = None,
    stream: Annotated[
        str | None, typer.Option("--stream", help="A case: all events of one stream, e.g. order-536365.")
    ] = None,
    customer: Annotated[
        str | None,
        typer.Option(
            "--customer", help="A case: the orders of one customer, with everything that belongs to them."
        ),
    ] = None,
    actor: Annotated[
        str | None, typer.Option("--actor", help="A case: the events of one actor, e.g. operator:anna.")
    ] = None,
    certificates: Annotated[
        list[Path] | None,
        typer.Option(
            "--certificate", exists=True, dir_okay=False, help="Certificate of a view to include; repeatable."
        ),
    ] = None,
) -> None:
    """Write a bundle: sealed events with tags, outcomes and proofs, for checks without this log."""
    whole = bool(certificates) and first is None and last is None
    is_range = whole or (first is not None and last is not None)
    if [stream, customer, actor].count(None) != (3 if is_range else 2) or (not is_range and (first or last)):
        raise typer.BadParameter(
            "give --from and --to, or one of --stream, --customer and --actor, or --certificate"
        )
    with priority.background(), answering.auditing():
        from counterfoil import bundling, sealing

        wanted = bundling.BundleScope(
            first=first,
            last=last,
            certificates=[sealing.text_in(each) for each in certificates or ()],
            stream=stream,
            customer=customer,
            actor=actor,
        )
        answering.contexts()  # which declare the shapes of events
        written = bundling.export(answering.settings(), file, wanted)
    print(f"wrote {written:,} events to {file}")


@app.command("check")
def check(
    file: Annotated[
        Path, typer.Argument(exists=True, dir_okay=False, help="The bundle, or the proof of a row.")
    ],
    key: Keys = None,
    as_json: AsJson = False,
) -> None:
    """Check a bundle, or the proof of a row, offline, with the public key that you trust."""
    with answering.auditing():
        from counterfoil import bundling, sealing

        checked = bundling.check(file, keys=sealing.keys_in(key) if key else [])
    if as_json:
        answering.print_json(bundling.as_json(checked))
    else:
        print(terminal.shown("\n".join(bundling.lines_of(checked))))
    raise typer.Exit(_code(checked, parked=False))


@app.command("page")
def page(
    file: Annotated[Path, typer.Argument(exists=True, dir_okay=False, help="The bundle of a case.")],
    key: Keys = None,
) -> None:
    """Check a case and print its page as HTML; a damaged case prints nothing."""
    with answering.auditing():
        from counterfoil import bundling, sealing

        shown, checked = bundling.page(file, keys=sealing.keys_in(key) if key else [])
    if shown is None:
        raise typer.BadParameter("this is no case: ranges have no page")
    if checked.damaged or not checked.complete:
        print(terminal.shown("\n".join(bundling.lines_of(checked))), file=sys.stderr)
    if not checked.damaged:
        sys.stdout.write(shown)
    raise typer.Exit(_code(checked, parked=False))


class _Result(Protocol):
    """What a check came to."""

    @property
    def damaged(self) -> bool: ...

    @property
    def complete(self) -> bool: ...


def _code(found: _Result, *, parked: bool) -> int:
    return answering.gravest(
        answering.EXIT_FAILED if found.damaged else answering.EXIT_OK,
        answering.EXIT_OK if found.complete else answering.EXIT_INCOMPLETE,
        answering.EXIT_PARKED if parked else answering.EXIT_OK,
    )
