"""What the sender relies on of every `Recipients`: a context that requests mails adds its own to `KINDS`."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest
from pydantic import SecretStr

from commands import order_contacts, recipients
from commands.identity import address_book, startup
from commands.recipients import Recipient, Recipients, RecipientsUnreachable, Unwanted
from domain.mail.templates import DISPATCH_OVERDUE, OF_ORDERS, TEMPLATES, VERIFY_ADDRESS
from domain.ordering.events import Contact
from domain.sealed import KeyId, Sealed
from runtime import database
from runtime.keyring import keyring as keyrings
from runtime.keyring.keyring import Erasures
from runtime.settings import Settings
from tests.commands.processes.running import append
from tests.examples import mail_requested, placed
from tests.mails.mailing import Book

pytestmark = pytest.mark.anyio


def book():
    """The double that tests of the sender use: it wants every mail but that to nobody."""
    found = Book()
    found.says["to-nobody"] = Unwanted("erased")
    return found


@contextlib.asynccontextmanager
async def doubled(_settings):
    yield book()


@contextlib.asynccontextmanager
async def identitys(settings):
    """Those of accounts, by rows of the vault: a link, and the address of an account."""
    url = settings.database_url.get_secret_value()
    secrets = startup.secrets_of(url, settings.secrets_file)
    with database.connect(url, role="counterfoil_vault", name="test") as vault:
        vault.execute("insert into vault.secret (digest) values (%s)", [secrets.digest])
        vault.execute(
            "insert into vault.link (link_id, purpose, email, email_digest, expires_at)"
            " values ('m-1', 'register', 'ada@example.org', 'd', 'infinity')"
        )
        vault.execute(
            "insert into vault.verifier (credential_id, account_id, hash, email)"
            " values ('c-1', %s, '', 'ada@example.org')",
            [mail_requested().recipient_ref],
        )
    async with address_book.opened(settings) as found:
        yield found


async def _nobody_is_erased(position):
    return Erasures(1, position, ())


async def seal(settings, **values):
    """Values as the command API seals them for an order."""
    role = "counterfoil_keys"
    async with keyrings.opened(settings, role=role, name="test", erasures=_nobody_is_erased) as keys:
        found = await keys.seal("customer-17850", values, stream="order-m-1")
    return {name: Sealed(KeyId(each.key_id), each.nonce, each.ciphertext) for name, each in found.items()}


@contextlib.asynccontextmanager
async def orders(settings):
    """Those of orders, by what the log has of one and a key database opens."""
    contact = Contact(**await seal(settings, email="ada@example.org"))
    history = [("order-m-1", 0, [placed(order_id="m-1", contact=contact)])]
    await asyncio.to_thread(append, settings.database_url.get_secret_value(), history)
    async with order_contacts.opened(settings) as found:
        yield found


OTHERS = tuple(template for template in TEMPLATES if template not in OF_ORDERS)
KINDS = {
    "the double of tests": (doubled, TEMPLATES),
    "those of accounts": (identitys, OTHERS),
    "those of orders": (orders, OF_ORDERS),
}


@pytest.fixture
def sender(database_url, keys_database_url, tmp_path):
    """The settings of a sender."""
    return Settings(
        database_url=SecretStr(database_url), keys_database_url=SecretStr(keys_database_url), home=tmp_path
    )


@pytest.fixture(params=KINDS)
def templates(request):
    """Those that a kind of recipients is asked about."""
    return KINDS[request.param][1]


@pytest.fixture
async def kind(request, templates, sender) -> AsyncIterator[Recipients]:
    async with KINDS[request.node.callspec.params["templates"]][0](sender) as found:
        yield found


def requested(template, mail_id="m-1"):
    return mail_requested(
        mail_id=mail_id,
        template=template.name,
        template_version=template.version,
        parameters=dict.fromkeys(template.parameters, mail_id),
    )


async def test_a_recipient_has_an_address_and_each_secret_of_the_template_the_same_each_time(kind, templates):
    for template in templates:
        first, second = [await kind.find(requested(template)) for _ in range(2)]

        assert isinstance(first, Recipient)
        assert "@" in first.address
        assert {*template.secrets} <= {*first.secrets}
        assert (first.address, first.secrets) == (second.address, second.secrets)


async def test_a_mail_that_nobody_wants_has_a_reason_that_names_nobody(kind, templates):
    found = await kind.find(requested(templates[0], mail_id="to-nobody"))

    assert isinstance(found, Unwanted)
    assert found.reason in {"expired", "superseded", "used", "erased"}


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ("update vault.link set expires_at = clock_timestamp()", "expired"),
        ("update vault.link set used_at = clock_timestamp()", "used"),
        (
            (
                "insert into vault.link (link_id, purpose, email, email_digest, expires_at)"
                " values ('m-2', 'register', 'ada@example.org', 'd', 'infinity')"
            ),
            "superseded",
        ),
        ("delete from vault.link", "erased"),
    ],
)
async def test_a_link_that_is_over_is_not_sent_any_more(database_url, sender, change, reason):
    async with identitys(sender) as found:
        with database.connect(database_url, role="counterfoil_vault", name="test") as vault:
            vault.execute(change)

        assert Unwanted(reason) == await found.find(requested(VERIFY_ADDRESS))


async def test_without_the_file_of_secrets_mails_with_links_wait_for_it(sender, tmp_path):
    async with identitys(sender) as found:
        file = sender.secrets_file
        file.rename(tmp_path / "elsewhere")
        with pytest.raises(RecipientsUnreachable, match="cannot be read"):
            await found.find(requested(VERIFY_ADDRESS))
        file.write_bytes(bytes(32))
        file.chmod(0o600)
        with pytest.raises(RecipientsUnreachable, match="is not the file"):
            await found.find(requested(VERIFY_ADDRESS))


async def test_each_mail_is_for_whom_the_context_of_its_template_knows(sender):
    async with identitys(sender) as accounts, orders(sender) as of_orders:
        known = {each.name: of_orders for each in OF_ORDERS}
        known[DISPATCH_OVERDUE.name] = recipients.FixedAddress("warehouse@shop.example")
        both = recipients.ByTemplate(accounts, known)

        for template in TEMPLATES:
            assert isinstance(await both.find(requested(template)), Recipient)
        assert Unwanted("erased") == await both.find(requested(OF_ORDERS[0], mail_id="to-nobody"))


async def test_mails_to_an_address_that_is_not_set_are_not_sent():
    assert Unwanted("no_address") == await recipients.FixedAddress(None).find(requested(DISPATCH_OVERDUE))


async def test_a_recipient_never_shows_what_it_holds():
    shown = repr(Recipient(address="ada@example.org", secrets={"token": "a secret"}))

    assert "ada" not in shown
    assert "a secret" not in shown


async def test_without_a_context_that_requests_mails_they_wait():
    async with recipients.nobody(Settings()) as nobody:
        with pytest.raises(RecipientsUnreachable, match="no context knows recipients of verify-address"):
            await nobody.find(requested(TEMPLATES[0]))
