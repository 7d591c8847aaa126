"""Addresses that people log in with, as rows of the vault have them: sealed under a key of the address (ADR 87).

The key database finds the key by the keyed hash of the address. So a password, and the links that were asked for with
the same address, share a key; an erasure names it, and once it is destroyed none of them is anywhere.
"""

from collections.abc import Sequence
from datetime import timedelta
from typing import Final

import msgspec
import structlog

from commands import refusals
from commands.identity.secrets import Secrets
from commands.identity.vault import KeptAddress, Pool, connected
from domain.sealed import KeyId, Sealed
from runtime.decoders import json_decoder
from runtime.keyring.errors import KeyringError, NoKeyDatabase
from runtime.keyring.key_rows import ADDRESS
from runtime.keyring.keyring import Keyring, SealedField, Unopened

FIELD: Final = "email"
ROUND_MAX: Final = 100
"""Rows that are sealed, and keys that are looked at, in one round."""

SWEPT_AFTER: Final = timedelta(minutes=10)
"""No row is written so long after it was sealed: a key whose address no row has by then is used by none."""

_PLAIN: Final = """
(select 'verifier', credential_id, email from vault.verifier where email is not null limit %(most)s)
union all
(select 'link', link_id, email from vault.link where email is not null limit %(most)s)
"""
_SEAL_VERIFIER: Final = """
update vault.verifier set email = null, email_digest = %s, address = %s where credential_id = %s and email = %s
"""
_SEAL_LINK: Final = """
update vault.link set email = null, email_digest = %s, address = %s where link_id = %s and email = %s
"""
_REWRITE: Final = "select vault.rewrite_addresses()"
_NOBODYS: Final = """
select digest from unnest(%s::text[]) digest
where not exists (select from vault.verifier v where v.email_digest = digest)
    and not exists (select from vault.link l where l.email_digest = digest)
"""

log = structlog.get_logger()


class LoginAddresses:
    """Seals and opens for one process; None: no key database is configured, and addresses are kept as they are."""

    def __init__(self, keyring: Keyring | None) -> None:
        self._keyring = keyring

    async def seal(self, email: str, *, digest: str) -> KeptAddress:
        """An address as a row keeps it, after the same work whether or not anybody has it.

        Raises:
            ProblemError: `store-unavailable`: its key cannot be read or made.
        """
        if self._keyring is None:
            return KeptAddress(digest=digest, plain=email)
        try:
            sealed = await self._keyring.seal_row(f"{ADDRESS}{digest}", {FIELD: email})
        except KeyringError as error:
            log.warning("address_not_sealed", reason=str(error))
            raise refusals.store_unavailable() from error
        field = sealed[FIELD]
        content = Sealed(KeyId(field.key_id), field.nonce, field.ciphertext)
        return KeptAddress(digest=digest, sealed=msgspec.json.encode(content).decode())

    async def open(self, kept: KeptAddress) -> str | Unopened:
        """The address that a row keeps.

        Raises:
            ProblemError: `store-unavailable`: its key cannot be read now.
        """
        if kept.sealed is None:
            assert kept.plain is not None, "a row has one of the two"
            return kept.plain
        if self._keyring is None:
            log.warning("address_not_opened", reason=str(NoKeyDatabase()))
            raise refusals.store_unavailable()
        try:
            found = json_decoder(Sealed).decode(kept.sealed)
            place = SealedField(f"{ADDRESS}{kept.digest}", FIELD, found.key_id, found.nonce, found.ciphertext)
            (opened,) = await self._keyring.open([place])
        except KeyringError as error:
            log.warning("address_not_opened", reason=str(error))
            raise refusals.store_unavailable() from error
        return opened

    async def shown(self, kept: KeptAddress) -> str:
        """The address that a row keeps; nothing where nobody can open it any more.

        Raises:
            ProblemError: as `open`.
        """
        opened = await self.open(kept)
        return "" if isinstance(opened, Unopened) else opened


class AddressChores:
    """What is done about addresses now and then: old ones are sealed, and keys that no row uses are deleted."""

    def __init__(self, pool: Pool, secrets: Secrets, keyring: Keyring | None) -> None:
        self._pool = pool
        self._secrets = secrets
        self._keyring = keyring
        self._swept = ""

    async def seal_plain(self) -> int:
        """Seal what was kept before there was a key database, or by an earlier release; how many rows.

        The pages that they were in are written anew then.

        Raises:
            ProblemError: `store-unavailable`.
        """
        if self._keyring is None:
            return 0
        addresses, sealed = LoginAddresses(self._keyring), 0
        while rows := await self._plain():
            for table, row_id, email in rows:
                kept = await addresses.seal(email, digest=self._secrets.email_digest(email))
                statement = _SEAL_VERIFIER if table == "verifier" else _SEAL_LINK
                async with connected(self._pool) as connection:
                    await connection.execute(statement, [kept.digest, kept.sealed, row_id, email])
            sealed += len(rows)
        if sealed:
            async with connected(self._pool) as connection:
                await connection.execute(_REWRITE)
            log.info("addresses_sealed", rows=sealed)
        return sealed

    async def sweep(self, *, older_than: timedelta = SWEPT_AFTER) -> Sequence[str]:
        """Delete keys of addresses that the vault has no more, of the next part of all; whose they were.

        Raises:
            KeyringError, ProblemError: it is done another time.
        """
        if self._keyring is None:
            return []
        rows = self._keyring.rows
        subjects = await rows.of_addresses(behind=self._swept, older_than=older_than, most=ROUND_MAX)
        self._swept = subjects[-1] if len(subjects) == ROUND_MAX else ""
        digests = [subject.removeprefix(ADDRESS) for subject in subjects]
        async with connected(self._pool) as connection:
            found = await (await connection.execute(_NOBODYS, [digests])).fetchall()
        swept = await rows.drop_of_addresses(
            [f"{ADDRESS}{digest}" for (digest,) in found], older_than=older_than
        )
        if swept:
            log.info("keys_of_addresses_swept", keys=len(swept))
        return swept

    async def _plain(self) -> Sequence[tuple[str, str, str]]:
        async with connected(self._pool) as connection:
            return await (await connection.execute(_PLAIN, {"most": ROUND_MAX})).fetchall()
