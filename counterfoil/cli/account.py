"""`counterfoil account`: who may log in."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from counterfoil.cli import answering

app = typer.Typer(no_args_is_help=True, help="Who may log in.")


@app.command("create-owner")
def create_owner(
    email: Annotated[str, typer.Option("--email", help="Address that the owner logs in with.")],
    password_file: Annotated[
        Path | None,
        typer.Option(
            "--password-file", help="File with the password; asked for at the terminal if not given."
        ),
    ] = None,
    as_: answering.As = None,
) -> None:
    """Register the first owner, who may do everything; refused when there is one."""
    from counterfoil import accounts

    settings = answering.settings()
    if password_file is not None:
        password = accounts.password_from(password_file)
    elif sys.stdin.isatty():
        password = typer.prompt("password", hide_input=True, confirmation_prompt=True)
    else:
        raise typer.BadParameter("without a terminal, --password-file says where the password is")
    account_id = accounts.create_owner(settings, email=email, password=password, by=as_)
    print(f"account {account_id} is the owner; log in with POST /v1/sessions")
    if settings.identity != "accounts":
        print("callers are anonymous until COUNTERFOIL_IDENTITY=accounts")
