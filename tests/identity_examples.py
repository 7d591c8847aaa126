"""One ordinary case of each event that a link in a mail leads to, and of others that take something from an account."""

from datetime import UTC, datetime
from typing import Any, Final

from msgspec.structs import replace

from domain.event import Event
from domain.identity.events import AccountClosed, AddressVerified, ExternalIdentityUnlinked, PasswordReset
from domain.ids import AccountId

NOW: Final = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


def password_reset(**changes: Any) -> PasswordReset:
    example = PasswordReset(account_id=AccountId("a-1"), credential_id="c-2", link_id="l-1", reset_at=NOW)
    return replace(example, **changes)


def address_verified(**changes: Any) -> AddressVerified:
    example = AddressVerified(account_id=AccountId("a-1"), email_digest="9f86d081884c7d65", verified_at=NOW)
    return replace(example, **changes)


def account_closed(**changes: Any) -> AccountClosed:
    example = AccountClosed(account_id=AccountId("a-1"), email_digest="9f86d081884c7d65", closed_at=NOW)
    return replace(example, **changes)


def external_identity_unlinked(**changes: Any) -> ExternalIdentityUnlinked:
    example = ExternalIdentityUnlinked(
        account_id=AccountId("a-1"), provider="google", identity_digest="9f86d081884c7d65", unlinked_at=NOW
    )
    return replace(example, **changes)


ONE_OF_EACH: Final[tuple[Event, ...]] = (
    address_verified(),
    password_reset(),
    account_closed(),
    external_identity_unlinked(),
)
