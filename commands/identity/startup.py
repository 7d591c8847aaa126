"""Opening what serves accounts: the file of secrets, the vault, its keys, and the chores of an hour."""

import asyncio
import contextlib
import math
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final

import structlog
from prometheus_client import CollectorRegistry

from commands.identity import providers
from commands.identity import secrets as secrets_file
from commands.identity.accounts import Accounts
from commands.identity.attempts import Attempts
from commands.identity.clients import Clients
from commands.identity.errors import OtherSecrets, SecretsFileError
from commands.identity.guests import Guests
from commands.identity.link_rows import LinkRows
from commands.identity.links import Links
from commands.identity.login_addresses import AddressChores, LoginAddresses
from commands.identity.metrics import SessionMetrics
from commands.identity.passwords import Passwords
from commands.identity.recording import Recorder
from commands.identity.routing import Serving
from commands.identity.secrets import Secrets
from commands.identity.sessions import Sessions, Signing, new_key
from commands.identity.vault import Vault
from commands.log_access import Opened
from event_store.log import reading
from runtime import database
from runtime.http.identity import Identity
from runtime.http.identity import TokenCallers as KnownByTokens
from runtime.identity import tokens
from runtime.keyring.errors import KeyringError
from runtime.keyring.keyring import Keyring
from runtime.problems import ProblemError
from runtime.quotas.limiter import Limiter
from runtime.settings import Settings

CONNECTIONS: Final = 4
CHORES_EVERY_S: Final = 10.0
SESSIONS_FORGOTTEN_EVERY_S: Final = 3_600.0
"""No index has the end of a session, since every login would write it; so all sessions are read, now and then."""
LINKS_PAUSE_S: Final = 2.0
"""How long requests for links wait after one that could not be handled."""

_HAS_BEGUN: Final = "select exists (select from vault.secret)"

log = structlog.get_logger()


@contextlib.asynccontextmanager
async def served(
    settings: Settings,
    on: Opened,
    *,
    callers: Identity,
    recorder: Recorder,
    providers: providers.Opening,
    limiter: Limiter,
    keyring: Keyring | None,
    registry: CollectorRegistry,
) -> AsyncIterator[Serving | None]:
    """What the routes of identity need; None where the installation has no accounts.

    Raises:
        IdentityError: the file of secrets cannot be used, or is another one than the vault was begun with.
    """
    if not isinstance(callers, KnownByTokens):
        yield None
        return
    assert settings.database_url is not None, "the command API needs one"
    url = settings.database_url.get_secret_value()
    secrets = await asyncio.to_thread(secrets_of, url, settings.secrets_file)
    async with (
        providers(settings) as known,
        sessions_of(
            url, settings, on, secrets=secrets, recorder=recorder, keyring=keyring, registry=registry
        ) as sessions,
    ):
        accounts = sessions.accounts
        clients = Clients(
            accounts.vault, accounts.states, on.reader, recorder, sessions.signing, sessions.issuer
        )
        guests = Guests(sessions, limiter, settings.guest_tokens_per_address)
        links = Links(
            sessions,
            LinkRows(accounts.vault.pool),
            Attempts(accounts.vault.pool, what="link", per_address_max=settings.login_failures_per_address),
            asyncio.Event(),
        )
        addresses = AddressChores(accounts.vault.pool, secrets, keyring)
        tasks = [
            asyncio.create_task(_chores(sessions, clients, links, addresses), name="command-api: identity"),
            asyncio.create_task(_handling(links), name="command-api: links"),
        ]
        try:
            secure = settings.login_url is None or settings.login_url.startswith("https:")
            yield Serving(
                sessions, clients, guests, callers.trust, links, providers=known, cookies_secure=secure
            )
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


def secrets_of(url: str, file: Path) -> Secrets:
    """The secrets of an installation, made now if it has none yet.

    Raises:
        SecretsFileError: it has some, and they are not in this file.
    """
    if not file.exists():
        with database.connect(url, role="counterfoil_vault", name="identity start") as connection:
            row = connection.execute(_HAS_BEGUN).fetchone()
        if row == (True,):
            raise SecretsFileError(
                f"{file} is missing, and this installation has one: take it from a backup or another machine of it"
            )
        secrets_file.create(file)
    return secrets_file.read(file)


@contextlib.asynccontextmanager
async def sessions_of(
    url: str,
    settings: Settings,
    on: Opened,
    *,
    secrets: Secrets,
    recorder: Recorder,
    keyring: Keyring | None,
    registry: CollectorRegistry | None = None,
) -> AsyncIterator[Sessions]:
    """Accounts and sessions on one log and its vault.

    Raises:
        OtherSecrets: the vault was begun with another file.
    """
    async with (
        database.pool(url, role="counterfoil_vault", name="vault", size=CONNECTIONS, idle=1) as pool,
        Passwords(memory_mb=settings.password_memory_mb).opened() as passwords,
    ):
        vault = Vault(pool)
        if not await vault.begin(secrets.digest):
            raise OtherSecrets(
                f"{settings.secrets_file} is not the file of secrets that this installation was begun with:"
                " take that one, from a backup or another machine of it"
            )
        await vault.require_keys([new_key(secrets), new_key(secrets)])
        issuer = tokens.issuer_of((await on.reader.read(reading.history_async)).installation)
        accounts = Accounts(
            vault,
            LoginAddresses(keyring),
            secrets,
            passwords,
            on.states,
            recorder,
        )
        attempts = Attempts(pool, what="login", per_address_max=settings.login_failures_per_address)
        metrics = SessionMetrics(registry)
        yield Sessions(accounts, Signing(vault, secrets), issuer, attempts, metrics)


async def _chores(sessions: Sessions, clients: Clients, links: Links, addresses: AddressChores) -> None:
    """Finish what processes that died left undone, and forget what is over."""
    vault, sessions_forgotten_at = sessions.accounts.vault, -math.inf
    while True:
        await asyncio.sleep(CHORES_EVERY_S)
        try:
            await sessions.catch_up()
            await sessions.finish_passwords()
            await sessions.accounts.sweep()
            await clients.sweep()
            await vault.forget_denials()
            if time.monotonic() - sessions_forgotten_at >= SESSIONS_FORGOTTEN_EVERY_S:
                await vault.forget_sessions()
                sessions_forgotten_at = time.monotonic()
            await sessions.attempts.forget()
            await links.rows.forget()
            await addresses.seal_plain()
            await addresses.sweep()
        except ProblemError as problem:
            log.warning("identity_chores_put_off", problem=problem.type.slug)
        except KeyringError as error:
            log.warning("identity_chores_put_off", reason=str(error))
        except Exception:
            # The outer loop of this task: were it to end, nothing would be swept until the process is started again.
            log.exception("identity_chores_failed")


async def _handling(links: Links) -> None:
    """Request the mails of links that are asked for."""
    while True:
        try:
            await links.handle_when_asked(at_least_every_s=CHORES_EVERY_S)
        except ProblemError as problem:
            log.warning("links_put_off", problem=problem.type.slug)
            await asyncio.sleep(LINKS_PAUSE_S)
        except Exception:
            # The outer loop of this task, as above.
            log.exception("links_failed")
            await asyncio.sleep(LINKS_PAUSE_S)
