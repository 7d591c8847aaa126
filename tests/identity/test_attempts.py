"""Rows A1 and A3 of the security checks: passwords cannot be tried out, and logins do not take the machine."""

import asyncio
import itertools
import threading

import pytest

from commands.identity import passwords
from commands.identity.accounts import Accounts
from commands.identity.attempts import FAILURES_PER_ACCOUNT_MAX, WINDOW_S, Attempt, Attempts
from runtime import database
from runtime.problems import ProblemError
from tests import sizes
from tests.identity.conftest import opened

PER_ADDRESS = 30


@pytest.fixture
async def pool(database_url):
    async with database.pool(
        database_url, role="counterfoil_vault", name="attempts", size=4, idle=0
    ) as opened:
        yield opened


@pytest.fixture
def counted(pool):
    return Attempts(pool, what="login", per_address_max=PER_ADDRESS)


async def begin(counted, account="a", address="192.0.2.1"):
    return await counted.begin(account=account, address=address)


async def pass_time(pool, seconds):
    """Have everything that was counted be so much longer ago."""
    async with pool.connection() as connection:
        await connection.execute(
            "update vault.attempt set times = array(select t - make_interval(secs => %s) from unnest(times) t)",
            [seconds],
        )


@pytest.mark.anyio
async def test_a1_an_account_is_tried_so_often_and_no_more_until_the_window_passes(counted, pool):
    for _ in range(FAILURES_PER_ACCOUNT_MAX):
        await begin(counted)

    with pytest.raises(ProblemError, match="too-many-attempts") as refused:
        await begin(counted, address="192.0.2.2")
    assert 0 < int(refused.value.headers["retry-after"]) <= WINDOW_S
    await begin(counted, account="b")
    await pass_time(pool, WINDOW_S)
    await begin(counted)


@pytest.mark.anyio
async def test_a1_an_address_tries_so_many_accounts_and_no_more(counted):
    for number in range(PER_ADDRESS):
        await begin(counted, account=str(number), address=f"2001:db8::{number}")

    with pytest.raises(ProblemError, match="too-many-attempts"):
        await begin(counted, account="another", address="2001:db8::ffff")
    await begin(counted, account="another", address="2001:db8:0:1::1")


@pytest.mark.anyio
async def test_a1_a_login_that_succeeds_counts_for_nothing(counted):
    for _ in range(2 * FAILURES_PER_ACCOUNT_MAX):
        await counted.succeeded(await begin(counted))


@pytest.mark.anyio
async def test_a1_processes_count_together_and_never_let_one_more_pass(pool):
    """Each has a connection of its own, and what they count is in the vault."""
    processes = [Attempts(pool, what="login", per_address_max=PER_ADDRESS) for _ in range(4)]
    outcomes = await asyncio.gather(
        *(begin(processes[n % 4]) for n in range(5 * FAILURES_PER_ACCOUNT_MAX)), return_exceptions=True
    )

    assert FAILURES_PER_ACCOUNT_MAX == sum(isinstance(each, Attempt) for each in outcomes)
    assert {Attempt, ProblemError} == {type(each) for each in outcomes}


@pytest.mark.anyio
async def test_a1_what_counts_no_more_is_forgotten(counted, pool):
    await counted.succeeded(await begin(counted, account="succeeded"))
    await begin(counted, account="old")
    await pass_time(pool, WINDOW_S + 1)
    await begin(counted, account="new", address="192.0.2.9")

    await counted.forget()

    async with pool.connection() as connection:
        kept = await (await connection.execute("select name from vault.attempt order by name")).fetchall()
    assert [("login account new",), ("login address 192.0.2.9",)] == kept


@pytest.mark.anyio
async def test_a1_nobody_logs_in_where_attempts_cannot_be_counted(counted, pool):
    await pool.close()

    with pytest.raises(ProblemError, match="store-unavailable"):
        await begin(counted)


@pytest.mark.anyio
async def test_a1_a_flood_of_logins_on_one_account_is_refused_before_any_work(shop, monkeypatch):
    hashed = itertools.count()
    done = passwords.Passwords._done
    monkeypatch.setattr(passwords.Passwords, "_done", lambda self, work: (next(hashed), done(self, work))[1])

    answers = [await shop.log_in(password="guess") for _ in range(sizes.LOGINS_FLOODED.chosen)]

    assert [401] * FAILURES_PER_ACCOUNT_MAX == [a.status_code for a in answers[:FAILURES_PER_ACCOUNT_MAX]]
    assert {429} == {answer.status_code for answer in answers[FAILURES_PER_ACCOUNT_MAX:]}
    assert FAILURES_PER_ACCOUNT_MAX == next(hashed)
    assert {"retry-after"} <= set(answers[-1].headers)


@pytest.mark.anyio
async def test_a1_one_password_over_many_accounts_is_refused_by_address(shop):
    counting = shop.settings.model_copy(update={"login_failures_per_address": PER_ADDRESS})
    async with opened(counting) as another:
        answers = [
            await another.log_in(email=f"{number}@example.org")
            for number in range(sizes.LOGINS_FLOODED.chosen)
        ]

    assert PER_ADDRESS == [answer.status_code for answer in answers].count(401)
    assert {401, 429} == {answer.status_code for answer in answers}


@pytest.mark.anyio
async def test_a3_no_more_passwords_are_hashed_at_once_than_half_of_the_cores_can(shop, monkeypatch):
    lock, running, most = threading.Lock(), [0], [0]
    done = passwords.Passwords._done

    def counting(self, work):
        with lock:
            running[0] += 1
            most[0] = max(most[0], running[0])
        try:
            return done(self, work)
        finally:
            with lock:
                running[0] -= 1

    monkeypatch.setattr(passwords.Passwords, "_done", counting)
    answers = await asyncio.gather(
        *(shop.log_in(email=f"{number}@example.org") for number in range(sizes.LOGINS_AT_ONCE.chosen))
    )

    assert passwords.HASHES_AT_ONCE == most[0]
    allowed = {401} if sizes.LOGINS_AT_ONCE.chosen <= passwords.WAITING_MAX else {401, 503}
    assert allowed == {answer.status_code for answer in answers}


@pytest.mark.anyio
async def test_a3_few_of_those_who_wait_for_a_hash_load_their_account_meanwhile(shop, monkeypatch):
    loading, most = 0, 0
    by_email = Accounts.by_email

    async def counting(self, address):
        nonlocal loading, most
        loading += 1
        most = max(most, loading)
        try:
            return await by_email(self, address)
        finally:
            loading -= 1

    monkeypatch.setattr(Accounts, "by_email", counting)
    answers = await asyncio.gather(*(shop.log_in(email=f"{number}@example.org") for number in range(20)))

    assert 1 <= most <= passwords.ADMITTED_AT_ONCE
    assert {401} == {answer.status_code for answer in answers}


@pytest.mark.anyio
async def test_a3_callers_come_again_where_too_many_wait_to_be_admitted():
    hashing, over = passwords.Passwords(memory_mb=8), asyncio.Event()

    async def wait():
        async with hashing.admitted():
            await over.wait()

    waiting = [asyncio.create_task(wait()) for _ in range(passwords.WAITING_MAX)]
    await asyncio.sleep(0)
    with pytest.raises(ProblemError, match="too-busy"):
        await wait()
    over.set()
    await asyncio.gather(*waiting)
    await wait()
