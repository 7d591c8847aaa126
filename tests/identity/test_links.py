"""Links to register or to reset a password: nobody learns who has an account, and each is good once."""

import asyncio
import statistics
import time

import pytest

from commands.identity import link_rows
from commands.identity.attempts import FAILURES_PER_ACCOUNT_MAX
from domain.event import type_name
from tests import sizes
from tests.identity.conftest import opened
from tests.identity.shop import EMAIL, PASSWORD, REFUSED_WITHIN_S

pytestmark = pytest.mark.anyio

ROUNDS_MAX = 20

REGISTER, RESET = "/v1/registrations", "/v1/password-resets"
ADA, BEGINNING = "Ada@example.org", "staple and a candle"


async def followed(shop, path, token, password=BEGINNING):
    return await shop.commands.post(f"{path}/completion", json={"token": token, "password": password})


async def registered(shop, email=ADA, password=BEGINNING):
    answer = await followed(shop, REGISTER, await shop.asked(REGISTER, email), password)
    assert 201 == answer.status_code, answer.text
    return answer.json()["account_id"]


async def test_who_reads_the_mail_registers_with_a_verified_address_and_is_a_customer(shop):
    account_id = await registered(shop)

    tokens = await shop.session(email=ADA.lower(), password=BEGINNING)
    assert account_id == tokens["account_id"]
    assert ["account_registered", "address_verified"] == [
        type_name(each).split(".")[1] for each in shop.events(f"account-{account_id}")
    ]
    assert ["customer"] == [each.role for each in shop.events(f"grants-{account_id}")]
    assert ["verify-address"] == [each.template for each in shop.mails()]


async def test_that_an_address_has_an_account_is_said_in_a_mail_only(shop):
    token = await shop.asked(REGISTER, EMAIL)

    assert ["address-in-use"] == [each.template for each in shop.mails()]
    refused = await followed(shop, REGISTER, token)
    assert (400, "link-refused") == (refused.status_code, refused.json()["code"])


async def test_a_reset_puts_another_password_and_ends_all_sessions_within_a_second(shop):
    tokens, others = await shop.session(), await shop.session()
    token = await shop.asked(RESET, EMAIL)

    assert 204 == (await followed(shop, RESET, token)).status_code

    assert await shop.refused_everywhere(tokens["access_token"]) < REFUSED_WITHIN_S
    assert await shop.refused_everywhere(others["access_token"]) < REFUSED_WITHIN_S
    assert 400 == (await shop.refresh(tokens["refresh_token"])).status_code
    assert 401 == (await shop.log_in(password=PASSWORD)).status_code
    await shop.session(password=BEGINNING)
    assert ["account_registered", "address_verified", "password_reset"] == [
        type_name(each).split(".")[1] for each in shop.events(f"account-{tokens['account_id']}")
    ]


async def test_a_link_is_good_once_and_only_for_what_it_was_sent_for(shop):
    registering = await shop.asked(REGISTER, ADA)
    crossed = await followed(shop, RESET, registering)
    first = await followed(shop, REGISTER, registering)
    again = await followed(shop, REGISTER, registering, "another good one")
    resetting = await shop.asked(RESET, ADA)
    weak = await followed(shop, RESET, resetting, "password1")
    reset = await followed(shop, RESET, resetting, "another good one")
    again_reset = await followed(shop, RESET, resetting, "yet another good one")

    assert [400, 201, 400] == [crossed.status_code, first.status_code, again.status_code]
    assert [422, 204, 400] == [weak.status_code, reset.status_code, again_reset.status_code]
    for refused in (crossed, again, again_reset):
        assert "link-refused" == refused.json()["code"]
        assert crossed.json()["detail"] == refused.json()["detail"]
    await shop.session(email=ADA, password="another good one")


async def test_a_link_followed_twice_at_once_is_good_once(shop):
    registering = await shop.asked(REGISTER, ADA)
    answers = await asyncio.gather(
        *(followed(shop, REGISTER, registering, f"{BEGINNING} {n}") for n in range(3))
    )
    assert [201, 400, 400] == sorted(answer.status_code for answer in answers)
    resetting = await shop.asked(RESET, ADA)
    answers = await asyncio.gather(*(followed(shop, RESET, resetting, f"{BEGINNING} {n}") for n in range(3)))
    assert [204, 400, 400] == sorted(answer.status_code for answer in answers)
    assert 2 == shop.types()["identity.account_registered.v1"]


@pytest.mark.parametrize("over", ["expired", "superseded", "password changed", "locked", "forged"])
async def test_a_link_that_is_over_is_refused_alike(shop, over):
    tokens = await shop.session()
    token = await shop.asked(RESET, EMAIL)
    match over:
        case "expired":
            with shop.vault() as vault:
                vault.execute("update vault.link set expires_at = clock_timestamp()")
        case "superseded":
            await shop.asked(RESET, EMAIL)
        case "password changed":
            path = f"/v1/accounts/{tokens['account_id']}/password"
            changed = await shop.post(path, {"current": PASSWORD, "new": BEGINNING}, tokens["access_token"])
            assert 201 == changed.status_code
        case "locked":
            await shop.post(
                "/v1/accounts",
                {"email": "b@example.org", "password": BEGINNING, "roles": ["owner"]},
                tokens["access_token"],
            )
            locked = await shop.post(f"/v1/accounts/{tokens['account_id']}/lock", {}, tokens["access_token"])
            assert 201 == locked.status_code
        case "forged":
            token = f"{token[:-4]}AAAA"

    refused = await followed(shop, RESET, token)

    assert (400, "link-refused") == (refused.status_code, refused.json()["code"])
    assert ["/token"] == [fault["pointer"] for fault in refused.json()["errors"]]
    assert token not in refused.text


async def test_three_links_an_hour_are_sent_to_an_address_and_further_ones_are_answered_alike(shop):
    answers = await asyncio.gather(*(shop.commands.post(RESET, json={"email": EMAIL}) for _ in range(5)))

    assert {(202, answers[0].content)} == {(each.status_code, each.content) for each in answers}
    with shop.vault() as vault:
        assert link_rows.AN_HOUR_MAX == len(vault.execute("select from vault.link").fetchall())


async def test_a1_links_are_asked_for_and_tried_so_often_and_no_more(shop):
    for path in (REGISTER, RESET):
        answers = [
            await shop.commands.post(path, json={"email": "x@example.org"})
            for _ in range(FAILURES_PER_ACCOUNT_MAX + 1)
        ]
        assert [202] * FAILURES_PER_ACCOUNT_MAX + [429] == [each.status_code for each in answers]
    counting = shop.settings.model_copy(update={"login_failures_per_address": 5})
    async with opened(counting) as another:
        answers = [await followed(another, RESET, f"cfl_{n}.guess") for n in range(6)]
        assert [400] * 5 + [429] == [each.status_code for each in answers]
        assert 201 == (await another.log_in()).status_code


@pytest.mark.parametrize("path", [REGISTER, RESET])
async def test_a2_asking_says_nothing_of_whether_the_address_has_an_account(shop, path, monkeypatch):
    monkeypatch.setattr(link_rows, "AN_HOUR_MAX", 1_000_000)
    monkeypatch.setattr(link_rows, "WAITING_MAX", 1_000_000)
    monkeypatch.setattr("commands.identity.attempts.FAILURES_PER_ACCOUNT_MAX", 1_000_000)
    answers, found = set(), []
    for _ in range(ROUNDS_MAX):  # a machine that is busy disturbs a round, not all of them
        taken = {EMAIL: [], "nobody@example.org": []}
        for _ in range(sizes.LINKS_TIMED.chosen):
            for email, times in taken.items():
                began = time.perf_counter()
                answer = await shop.commands.post(path, json={"email": email})
                times.append(time.perf_counter() - began)
                answers.add((answer.status_code, answer.content))
        assert 1 == len(answers)
        known, unknown = (statistics.median(times) * 1000 for times in taken.values())
        found.append((known, unknown))
        if abs(known - unknown) < (5 if sizes.FULL else 15):
            return
    raise AssertionError(f"milliseconds with an account and without: {found}")


async def test_what_an_address_is_written_to_is_the_address_of_the_account(shop):
    await registered(shop)
    await shop.asked(RESET, "ADA@example.org")

    with shop.vault() as vault:
        found = vault.execute("select email from vault.link where purpose = 'reset'").fetchone()
    assert (ADA,) == found


async def test_the_log_has_neither_addresses_nor_tokens_of_links(shop):
    token = await shop.asked(REGISTER, ADA)
    await followed(shop, REGISTER, token)
    resetting = await shop.asked(RESET, ADA)
    await followed(shop, RESET, resetting, "another good one")

    everything = shop.everything().lower()
    with shop.vault() as vault:
        rows = repr(vault.execute("select * from vault.link").fetchall())
    for secret in ("ada@", token.rpartition(".")[2].lower(), resetting.rpartition(".")[2].lower(), BEGINNING):
        assert secret not in everything
    assert token.rpartition(".")[2] not in rows
