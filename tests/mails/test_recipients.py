"""What the sender relies on of every `Recipients`: a context that requests mails adds its own to `KINDS`."""

import pytest

from commands import recipients
from commands.recipients import Recipient, Recipients, RecipientsUnreachable, Unwanted
from domain.mail.templates import TEMPLATES
from runtime.settings import Settings
from tests.examples import mail_requested
from tests.mails.mailing import Book

pytestmark = pytest.mark.anyio


def book():
    """The double that tests of the sender use: it wants every mail but that to nobody."""
    found = Book()
    found.says["to-nobody"] = Unwanted("erased")
    return found


KINDS: dict[str, Recipients] = {"the double of tests": book()}


def requested(template, mail_id="m-1"):
    return mail_requested(
        mail_id=mail_id,
        template=template.name,
        template_version=template.version,
        parameters=dict.fromkeys(template.parameters, "x"),
    )


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("template", TEMPLATES, ids=lambda template: template.name)
async def test_a_recipient_has_an_address_and_each_secret_of_the_template_the_same_each_time(kind, template):
    first, second = [await KINDS[kind].find(requested(template)) for _ in range(2)]

    assert isinstance(first, Recipient)
    assert "@" in first.address
    assert {*template.secrets} <= {*first.secrets}
    assert (first.address, first.secrets) == (second.address, second.secrets)


@pytest.mark.parametrize("kind", KINDS)
async def test_a_mail_that_nobody_wants_has_a_reason_that_names_nobody(kind):
    found = await KINDS[kind].find(requested(TEMPLATES[0], mail_id="to-nobody"))

    assert isinstance(found, Unwanted)
    assert found.reason in {"expired", "superseded", "used", "erased"}


async def test_a_recipient_never_shows_what_it_holds():
    shown = repr(Recipient(address="ada@example.org", secrets={"token": "a secret"}))

    assert "ada" not in shown
    assert "a secret" not in shown


async def test_without_a_context_that_requests_mails_they_wait():
    async with recipients.nobody(Settings()) as nobody:
        with pytest.raises(RecipientsUnreachable, match="no context knows recipients of verify-address"):
            await nobody.find(requested(TEMPLATES[0]))
