"""Accounts from the terminal: the first owner, who appoints everybody else, and the keys that sign tokens."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from commands import erasure_list
from commands.calls import uuid7
from commands.identity import startup as identity_opening
from commands.identity.errors import IdentityError
from commands.identity.recording import By, Recorder
from commands.identity.sessions import Sessions
from commands.log_access import opened
from counterfoil import addresses, operators
from counterfoil.user_messages import UserError
from event_store.log import fingerprints
from runtime import database
from runtime.keyring import keyring as keyrings
from runtime.settings import Settings

PASSWORD_FILE_BYTES_MAX: Final = 4096


class NotCreated(UserError):
    """No account was created; the text says why."""


class NoPassword(UserError):
    """The file has no password; the text says why, and repeats nothing of it."""


def create_owner(settings: Settings, *, email: str, password: str, by: str | None = None) -> str:
    """Register the first owner of this installation; the id of the account.

    `by` names the operator. The file of secrets is made where the installation has none yet.

    Raises:
        BadName: `by` cannot name an operator.
        NotCreated: the password is refused, or the file of secrets cannot be used.
        ProblemError: there is an owner already, or the log cannot be reached.
    """
    try:
        return asyncio.run(_create_owner(settings, email=email, password=password, by=by))
    except IdentityError as error:
        raise NotCreated(str(error)) from error


def rotate_key(settings: Settings, *, distrust: bool = False, reason: str = "", by: str | None = None) -> str:
    """Have another key sign access tokens from now on; its name. `distrust`: those before it are refused at once.

    Raises:
        BadName: `by` cannot name an operator.
        NotCreated: the file of secrets cannot be used.
        ProblemError: the log or the vault cannot be reached.
    """
    try:
        return asyncio.run(_rotate_key(settings, distrust=distrust, reason=reason, by=by))
    except IdentityError as error:
        raise NotCreated(str(error)) from error


def password_from(file: Path) -> str:
    """The password in a file, without the line break at its end.

    Raises:
        NoPassword: the file cannot be read, is no text, or is empty.
    """
    try:
        with file.open(encoding="utf-8") as opened_file:
            password = opened_file.read(PASSWORD_FILE_BYTES_MAX).removesuffix("\n")
    except OSError as error:
        raise NoPassword(
            f"--password-file {file} cannot be read ({error.strerror}): name a file with the password"
        ) from error
    except UnicodeDecodeError:
        raise NoPassword(
            f"--password-file {file} is no text in UTF-8: save the password as such a file"
        ) from None
    if not password:
        raise NoPassword(f"--password-file {file} is empty: write the password into it")
    return password


async def _create_owner(settings: Settings, *, email: str, password: str, by: str | None) -> str:
    who = _operator(settings, by)
    async with _sessions(settings, seals=True) as sessions:
        return await sessions.accounts.create_owner(email, password, by=who)


async def _rotate_key(settings: Settings, *, distrust: bool, reason: str, by: str | None) -> str:
    who = _operator(settings, by)
    async with _sessions(settings) as sessions:
        return await sessions.rotate_key(distrust=distrust, reason=reason, by=who)


def _operator(settings: Settings, name: str | None) -> By:
    """Who is at the terminal, in a request of its own."""
    with database.connect(addresses.database_url(settings), role=None, name="account start") as connection:
        return By(operators.operator(name, login=connection.info.user), uuid7(datetime.now(UTC)))


@contextlib.asynccontextmanager
async def _sessions(settings: Settings, *, seals: bool = False) -> AsyncIterator[Sessions]:
    """Sessions; `seals`: with the keys of personal data, which rotating another key must not depend on."""
    url = addresses.database_url(settings)
    secrets = identity_opening.secrets_of(url, settings.secrets_file)
    with database.connect(url, role="counterfoil_writer", name="account start") as connection:
        made_by = fingerprints.read(connection)
    async with opened(url, role="counterfoil_reader", name="account", readers=1) as on:
        recorder = Recorder(on.execution, made_by, lambda: datetime.now(UTC))
        keys = keyrings.opened(
            settings, role="counterfoil_keys", name="account", erasures=erasure_list.read_by(on.reader)
        )
        async with (
            keys if seals else contextlib.nullcontext() as keyring,
            identity_opening.sessions_of(
                url, settings, on, secrets=secrets, recorder=recorder, keyring=keyring
            ) as sessions,
        ):
            polling = asyncio.create_task(on.poller.run(), name="account: poller")
            try:  # a password is hashed for longer than the log may be silent where the machine is busy
                yield sessions
            finally:
                polling.cancel()
                await asyncio.gather(polling, return_exceptions=True)
