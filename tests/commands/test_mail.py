"""POST /v1/mails/{mail_id}/copy."""

import pytest

from domain.mail.mail import copy_id
from tests.examples import mail_failed, mail_requested

pytestmark = pytest.mark.anyio

COPY = copy_id("m-1")


async def test_a_mail_that_was_not_sent_is_sent_once_more_as_a_mail_of_its_own(given):
    shop = await given(mail_requested(), mail_failed())

    answer = await shop.post("/v1/mails/m-1/copy")
    again = await shop.post("/v1/mails/m-1/copy")

    answer.then_accepted(stream=f"mail-{COPY}", version=1)
    again.then_accepted(stream=f"mail-{COPY}", version=1)
    assert f"/v1/mails/{COPY}" in answer.headers["location"]
    assert [mail_requested(mail_id=COPY)] == shop.events(f"mail-{COPY}")
    assert 2 == len(shop.events("mail-m-1"))
