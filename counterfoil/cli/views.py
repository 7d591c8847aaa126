# ruff: noqa: FBT002 - an option of the command line is a boolean with a default
"""`counterfoil views`: builds of views, and which of them answers."""

from typing import Annotated

import typer

from counterfoil import terminal
from counterfoil.cli import answering
from counterfoil.cli.answering import As, AsJson, Why

app = typer.Typer(
    no_args_is_help=True, help="Views: list, rebuild next to the live one, verify, promote, roll back."
)


@app.command("list")
def views_list(as_json: AsJson = False) -> None:
    """List the builds of all views: live or not, checkpoints, parked keys."""
    from counterfoil import addresses, viewing

    found = viewing.listed(addresses.database_url(answering.settings()), contexts=answering.contexts())
    if as_json:
        answering.print_json(found)
    else:
        print("\n".join(viewing.lines(found)))


@app.command("rebuild")
def views_rebuild(
    view: Annotated[str, typer.Argument(help="Name of the view.")],
    reason: Why = "",
    name: As = None,
    as_json: AsJson = False,
) -> None:
    """Fold the log into a new build next to the live one; resumable."""
    from counterfoil import viewing

    with answering.operator(name) as asked:
        answering.answer(viewing.rebuild(asked, view, reason=reason), as_json=as_json)


@app.command("verify")
def views_verify(
    view: Annotated[str, typer.Argument(help="Name of the view.")], as_json: AsJson = False
) -> None:
    """Compare the view's builds with a fold of the log; exit code 1 if they differ."""
    from counterfoil import addresses, viewing

    with answering.auditing():
        url = addresses.database_url(answering.settings())
        found = viewing.verify(url, view, contexts=answering.contexts())
    if as_json:
        answering.print_json(found)
    else:
        print(terminal.shown("\n".join(viewing.verified_lines(found))))
    raise typer.Exit(answering.EXIT_OK if found["ok"] else answering.EXIT_FAILED)


@app.command("promote")
def views_promote(
    view: Annotated[str, typer.Argument(help="Name of the view.")],
    reason: Why = "",
    name: As = None,
    as_json: AsJson = False,
) -> None:
    """Make the new build live; the old one stays until it is dropped."""
    from counterfoil import viewing

    with answering.operator(name) as asked:
        answering.answer(viewing.promote(asked, view, reason=reason), as_json=as_json)


@app.command("rollback")
def views_rollback(
    view: Annotated[str, typer.Argument(help="Name of the view.")],
    reason: Why = "",
    name: As = None,
    as_json: AsJson = False,
) -> None:
    """Make the previous build live again."""
    from counterfoil import viewing

    with answering.operator(name) as asked:
        answering.answer(viewing.rollback(asked, view, reason=reason), as_json=as_json)


@app.command("drop")
def views_drop(
    view: Annotated[str, typer.Argument(help="Name of the view.")],
    reason: Why = "",
    name: As = None,
    as_json: AsJson = False,
) -> None:
    """Drop the build that is not live."""
    from counterfoil import viewing

    with answering.operator(name) as asked:
        answering.answer(viewing.drop(asked, view, reason=reason), as_json=as_json)
