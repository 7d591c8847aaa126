"""Rows R1 to R3, T5 and A2 to A4 of the security checks, on a real vault."""

import asyncio
import statistics
import time

import psycopg
import pytest

from commands.identity import attempts, startup
from commands.identity.vault import Vault
from domain.event import type_name
from runtime.database import connect
from tests import sizes
from tests.identity.conftest import opened, with_an_owner
from tests.identity.shop import AVAILABLE_WITHIN_S, EMAIL, PASSWORD, REFUSED_WITHIN_S, bearer

pytestmark = pytest.mark.anyio

TABS = 20
"""Refreshes with one token at once, in each round of R1."""

ROUNDS_MAX = 20
DIFFERENCE_S_MAX = 0.005 if sizes.FULL else 0.015
"""Between the medians of A2: fewer samples are less exact."""

OUTDATED_WITHIN_S = 60
"""A list of denials that nobody reads counts as old after some seconds."""

_AGE = "update vault.session set rotated_at = rotated_at - %s::interval where session_id = %s"
_EXPIRE = "update vault.session set expires_at = clock_timestamp() where session_id = %s"


async def test_r1_many_refreshes_of_one_token_have_one_successor(shop):
    tokens = await shop.session()

    for _ in range(sizes.REFRESH_ROUNDS.chosen):
        answers = await asyncio.gather(*(shop.refresh(tokens["refresh_token"]) for _ in range(TABS)))

        assert {200} == {answer.status_code for answer in answers}
        given = {(body["refresh_token"], body["access_token"]) for body in (a.json() for a in answers)}
        assert 1 == len(given)
        tokens = answers[0].json()

    assert 1 + sizes.REFRESH_ROUNDS.chosen == int(tokens["refresh_token"].split(".")[1])
    assert ["identity.session_opened.v1"] == [
        type_name(each) for each in shop.events(f"session-{tokens['session_id']}")
    ]


@pytest.mark.parametrize("how", ["after the window", "from another client", "one that is older"])
async def test_r2_a_token_in_two_hands_ends_the_session(shop, how):
    tokens = await shop.session()
    first, client = tokens["refresh_token"], "shop"
    latest = (await shop.refresh(first)).json()
    match how:
        case "after the window":
            with shop.vault() as vault:
                vault.execute(_AGE, ["31 s", tokens["session_id"]])
        case "from another client":
            client = "elsewhere"
        case "one that is older":
            latest = (await shop.refresh(latest["refresh_token"])).json()

    again = await shop.refresh(first, client_id=client)

    assert (400, "invalid_grant") == (again.status_code, again.json()["error"])
    assert 400 == (await shop.refresh(latest["refresh_token"])).status_code
    assert await shop.refused_everywhere(latest["access_token"]) < REFUSED_WITHIN_S
    events = shop.events(f"session-{tokens['session_id']}")
    assert ["session_opened", "refresh_reuse_detected", "session_revoked"] == [
        type_name(each).split(".")[1] for each in events
    ]
    assert "reuse" == events[-1].cause


async def test_r2_the_valid_token_from_another_client_ends_the_session_too(shop):
    tokens = await shop.session(client_id="phone")

    assert 400 == (await shop.refresh(tokens["refresh_token"], client_id="elsewhere")).status_code
    assert 400 == (await shop.refresh(tokens["refresh_token"], client_id="phone")).status_code


async def test_r3_a_session_is_not_refreshed_after_its_lifetime(shop):
    tokens = await shop.session()
    with shop.vault() as vault:
        vault.execute(_EXPIRE, [tokens["session_id"]])

    assert 400 == (await shop.refresh(tokens["refresh_token"])).status_code


async def test_a_session_that_an_erasure_took_while_it_was_opened_is_refused(shop, monkeypatch):
    noted = Vault.opened

    async def erased_meanwhile(self, session_id):
        await noted(self, session_id)
        await self.erase((await self.session(session_id)).account_id)

    monkeypatch.setattr(Vault, "opened", erased_meanwhile)
    answer = await shop.log_in()

    assert (401, "bad-credentials") == (answer.status_code, answer.json()["code"])


@pytest.mark.parametrize(
    "token", ["", "cfr_", "cfr_x.1.AAAA", "cfr_x.-1.AAAA", "cfr_x.99999999999.A", "ä.1.a"]
)
async def test_r3_what_is_no_refresh_token_is_refused(shop, token):
    assert 400 == (await shop.refresh(token)).status_code


async def test_a_refresh_token_of_another_rotation_cannot_be_made_up(shop):
    tokens = await shop.session()
    session_id, number, mac = tokens["refresh_token"].split(".")

    assert 400 == (await shop.refresh(f"{session_id}.{int(number) + 1}.{mac}")).status_code
    assert 200 == (await shop.refresh(tokens["refresh_token"])).status_code


async def test_t5_what_cannot_be_undone_waits_for_the_list_of_denials(shop, monkeypatch):
    token = (await shop.session())["access_token"]
    note = {"country": "Italy", "currency": "GBP", "lines": [{"sku": "1", "quantity": 1, "unit_price": "1"}]}
    assert 422 == (await shop.post("/v1/credit-notes", note, token)).status_code  # an unknown SKU

    async def unreadable(_pool):
        raise psycopg.OperationalError("cut off")

    monkeypatch.setattr(shop.trust, "poll", unreadable)
    async with asyncio.timeout(OUTDATED_WITHIN_S):
        while shop.trust.is_current:  # noqa: ASYNC110  it is so by the clock
            await asyncio.sleep(0.05)

    refused = await shop.commands.post(
        "/v1/credit-notes", json=note, headers={**bearer(token), "idempotency-key": "n"}
    )
    batch = await shop.commands.post(
        "/v1/commands",
        json={"commands": [{"key": "k", "command": "issue_credit_note", "body": note}]},
        headers=bearer(token),
    )
    assert (503, "identity-unavailable") == (refused.status_code, refused.json()["code"])
    assert "identity-unavailable" == batch.json()["results"][0]["code"]
    assert "retry-after" in refused.headers
    assert 404 == (await shop.post("/v1/orders/nothing/shipment", {}, token)).status_code


async def test_t5_both_apis_refuse_the_tokens_of_a_session_within_a_second_of_its_end(shop, capsys):
    delays_s = []
    for _ in range(sizes.REVOCATIONS.chosen):
        tokens = await shop.session()
        path = f"/v1/sessions/{tokens['session_id']}/revocation"
        assert 204 == (await shop.post(path, {}, tokens["access_token"])).status_code
        delays_s.append(await shop.refused_everywhere(tokens["access_token"]))
    with capsys.disabled():
        median_s, longest_s = statistics.median(delays_s), max(delays_s)
        print(f"\nrevoked tokens were good for {median_s:.2f} s, the longest for {longest_s:.2f} s")

    assert longest_s < REFUSED_WITHIN_S


@pytest.fixture
async def strong_shop(database_url, tmp_path):
    """One with hashes that an installation may have."""
    async with with_an_owner(database_url, home=tmp_path, weak=False) as shop:
        yield shop


async def test_a2_whether_there_is_an_account_takes_the_same_time(strong_shop, monkeypatch, capsys):
    shop = strong_shop
    monkeypatch.setattr(attempts, "FAILURES_PER_ACCOUNT_MAX", 1_000_000)
    for _ in range(ROUNDS_MAX):  # a machine that is busy disturbs a round, not all of them
        wrong: dict[str, list[float]] = {EMAIL: [], "nobody@example.org": []}
        for number in range(2 * sizes.LOGINS_TIMED.chosen):
            email = list(wrong)[number % 2]
            began = time.perf_counter()
            answer = await shop.log_in(email=email, password="not the password")
            wrong[email].append(time.perf_counter() - began)
            assert (401, "bad-credentials") == (answer.status_code, answer.json()["code"])
        known, unknown = map(statistics.median, wrong.values())
        with capsys.disabled():
            print(f"\nrefused after {known * 1000:.1f} ms, {unknown * 1000:.1f} ms where there is no account")
        if abs(known - unknown) < DIFFERENCE_S_MAX:
            return
    raise AssertionError("whether there is an account shows in each round")


async def test_a4_a_hash_has_no_weaker_parameters_than_the_row_allows(strong_shop):
    with strong_shop.vault() as vault:
        (hashed,) = vault.execute("select hash from vault.verifier").fetchone()

    assert hashed.startswith("$argon2id$v=19$m=19456,t=2,p=1$")


async def test_a4_a_hash_of_other_parameters_is_made_anew_at_the_next_login(shop):
    stronger = shop.settings.model_copy(update={"password_memory_mb": 46})
    async with opened(stronger) as another:
        await another.session()

    with shop.vault() as vault:
        (hashed,) = vault.execute("select hash from vault.verifier").fetchone()
    assert hashed.startswith("$argon2id$v=19$m=47104,t=1,p=1$")
    await shop.session()


async def test_c2_no_secret_is_in_the_log_or_in_an_answer(shop, capfd):
    secrets = [PASSWORD, "a canary of a password"]
    tokens = await shop.session()
    secrets += [tokens["refresh_token"], tokens["access_token"]]
    answers = [
        await shop.log_in(password=secrets[1]),
        await shop.commands.post("/v1/sessions", json={"email": EMAIL, "password": [secrets[1]]}),
        await shop.commands.post("/v1/sessions", content=f'{{"password": "{secrets[1]}'.encode()),
        await shop.refresh(tokens["refresh_token"] + "x"),
        await shop.get("/metrics"),
        await shop.commands.get("/metrics"),
    ]

    written = "".join(capfd.readouterr()) + shop.everything() + "".join(a.text for a in answers)
    assert [] == [secret for secret in secrets if secret in written]


async def test_no_role_but_that_of_the_vault_reads_it(shop):
    for role in ("counterfoil_reader", "counterfoil_writer", "counterfoil_relay", "counterfoil_projector"):
        with connect(shop.url, role=role, name="test") as connection:
            for table in ("verifier", "session", "secret"):
                with pytest.raises(psycopg.errors.InsufficientPrivilege):
                    connection.execute(f"select * from vault.{table}")
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute("select encrypted from vault.signing_key")


@pytest.fixture
def hurried(monkeypatch):
    """Chores that come again at once."""
    monkeypatch.setattr(startup, "CHORES_EVERY_S", 0.02)
    return monkeypatch


async def test_sessions_that_are_over_are_forgotten_in_the_first_round_and_in_hardly_any_other(
    owned, hurried
):
    with connect(owned.database_url.get_secret_value(), role="counterfoil_vault", name="test") as vault:
        first = over(vault)
        async with opened(owned):
            await has_forgotten(vault, "session", first)
            after_that = over(vault)
            for _ in range(3):
                await has_forgotten(vault, "denial", denial(vault))
            kept = left(vault, "session", after_that)
            hurried.setattr(startup, "SESSIONS_FORGOTTEN_EVERY_S", 0.0)
            await has_forgotten(vault, "session", after_that)

    assert kept


def over(vault):
    """The id of a session that ended the day before yesterday."""
    session_id = f"over-{time.monotonic_ns()}"
    vault.execute(
        "insert into vault.session (session_id, account_id, credential_id, client_id, expires_at, opening_recorded)"
        " values (%s, 'a', 'c', 'shop', now() - interval '2 days', true)",
        [session_id],
    )
    return session_id


def denial(vault):
    """The subject of a denial that has expired."""
    subject = f"denied-{time.monotonic_ns()}"
    vault.execute(
        "insert into vault.denial (number, subject, expires_at)"
        " select coalesce(max(number), 0) + 1000, %s, now() - interval '1 s' from vault.denial",
        [subject],
    )
    return subject


def left(vault, table, value):
    column = {"session": "session_id", "denial": "subject"}[table]
    return vault.execute(f"select from vault.{table} where {column} = %s", [value]).fetchone() is not None


async def has_forgotten(vault, table, value):
    async with asyncio.timeout(AVAILABLE_WITHIN_S):
        while left(vault, table, value):  # noqa: ASYNC110 - it is a row
            await asyncio.sleep(0.01)
