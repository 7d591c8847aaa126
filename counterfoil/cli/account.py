"""`counterfoil account`: who may log in."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from counterfoil.cli import answering

app = typer.Typer(no_args_is_help=True, help="Accounts.")


Email = Annotated[str, typer.Option("--email", help="Address of the account.")]
PasswordFile = Annotated[
    Path | None,
    typer.Option(
        "--password-file", help="File with the password; prompted for at the terminal if not given."
    ),
]


@app.command("create-owner")
def create_owner(email: Email, password_file: PasswordFile = None, as_: answering.As = None) -> None:
    """Register the first owner, who has all permissions; refused if an owner exists."""
    from counterfoil import accounts

    settings, password = answering.settings(), _password(password_file, twice=True)
    account_id = accounts.create_owner(settings, email=email, password=password, by=as_)
    print(f"account {account_id} is the owner; log in with POST /v1/sessions")
    if settings.identity != "accounts":
        print("callers are anonymous until COUNTERFOIL_IDENTITY=accounts")


@app.command("token")
def token(email: Email, password_file: PasswordFile = None) -> None:
    """Log in and print an access token, which is valid for ten minutes."""
    from counterfoil import logging_in

    settings, password = answering.settings(), _password(password_file, twice=False)
    print(logging_in.access_token(settings, email=email, password=password))


def _password(file: Path | None, *, twice: bool) -> str:
    if file is not None:
        from counterfoil import accounts

        return accounts.password_from(file)
    if not sys.stdin.isatty():
        raise typer.BadParameter("without a terminal, --password-file says where the password is")
    # Asked on standard error: the answer of a command may be taken from standard output.
    return str(typer.prompt("password", hide_input=True, confirmation_prompt=twice, err=True))
