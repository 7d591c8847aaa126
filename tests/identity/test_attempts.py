"""Rows A1 and A3 of the security checks: passwords cannot be tried out, and logins do not take the machine."""

import asyncio
import itertools
import threading

import pytest

from commands.identity import attempts, passwords
from commands.identity.attempts import FAILURES_PER_ACCOUNT_MAX, WINDOW_S, Attempts
from runtime.problems import ProblemError
from tests import sizes
from tests.identity.conftest import opened

PER_ADDRESS = 30


@pytest.fixture
def now():
    return [0.0]


@pytest.fixture
def counted(now):
    return Attempts(per_address_max=PER_ADDRESS, clock=lambda: now[0])


def begin(counted, account="a", address="192.0.2.1"):
    return counted.begin(account=account, address=address)


def test_a1_an_account_is_tried_so_often_and_no_more_until_the_window_passes(counted, now):
    for _ in range(FAILURES_PER_ACCOUNT_MAX):
        begin(counted)

    with pytest.raises(ProblemError, match="too-many-attempts") as refused:
        begin(counted, address="192.0.2.2")
    assert str(int(WINDOW_S) + 1) == refused.value.headers["retry-after"]
    begin(counted, account="b")
    now[0] = WINDOW_S
    begin(counted)


def test_a1_an_address_tries_so_many_accounts_and_no_more(counted):
    for number in range(PER_ADDRESS):
        begin(counted, account=str(number))

    with pytest.raises(ProblemError, match="too-many-attempts"):
        begin(counted, account="another")
    begin(counted, account="another", address="192.0.2.2")


def test_a1_a_login_that_succeeds_counts_for_nothing(counted):
    for _ in range(3 * FAILURES_PER_ACCOUNT_MAX):
        counted.succeeded(begin(counted))


def test_a1_what_is_counted_is_bounded(counted, monkeypatch):
    monkeypatch.setattr(attempts, "KEPT_MAX", 100)
    for number in range(300):
        begin(counted, account=str(number), address=str(number))

    assert 100 == len(counted._failures)


@pytest.mark.anyio
async def test_a1_a_flood_of_logins_on_one_account_is_refused_before_any_work(shop, monkeypatch):
    hashed = itertools.count()
    verified = passwords.Passwords._verified
    monkeypatch.setattr(
        passwords.Passwords, "_verified", lambda self, *given: (next(hashed), verified(self, *given))[1]
    )

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
async def test_a3_no_more_than_two_passwords_are_hashed_at_once(shop, monkeypatch):
    lock, running, most = threading.Lock(), [0], [0]
    verified = passwords.Passwords._verified

    def counting(self, *given):
        with lock:
            running[0] += 1
            most[0] = max(most[0], running[0])
        try:
            return verified(self, *given)
        finally:
            with lock:
                running[0] -= 1

    monkeypatch.setattr(passwords.Passwords, "_verified", counting)
    answers = await asyncio.gather(
        *(shop.log_in(email=f"{number}@example.org") for number in range(sizes.LOGINS_AT_ONCE.chosen))
    )

    assert passwords.HASHES_AT_ONCE == most[0]
    allowed = {401} if sizes.LOGINS_AT_ONCE.chosen <= passwords.WAITING_MAX else {401, 503}
    assert allowed == {answer.status_code for answer in answers}
