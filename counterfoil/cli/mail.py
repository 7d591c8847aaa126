"""`counterfoil mail`: what mails look like."""

from typing import Annotated

import typer

from counterfoil.cli import answering

app = typer.Typer(no_args_is_help=True, help="Mails.")


@app.callback()
def mail() -> None:
    """Mails."""


@app.command("preview")
def preview(
    template: Annotated[str, typer.Argument(help="Name of the template, such as verify-address.")],
    version: Annotated[
        int | None, typer.Option(min=1, help="Version of the template; default: the newest.")
    ] = None,
) -> None:
    """Print the mail of a template with sample values; nothing is sent."""
    from counterfoil import previewing

    print(previewing.preview(answering.settings(), template, version=version), end="")
