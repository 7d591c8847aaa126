"""Senders that are killed at every step of a mail: none is lost, and at most one is there twice."""

import threading
from collections import Counter

import psycopg
import pytest
from prometheus_client import CollectorRegistry

from commands.gateways import sending
from commands.gateways.gateway import Gateway
from commands.gateways.mail import mails, smtp
from commands.gateways.metrics import GatewayMetrics
from domain.mail.events import MailAccepted, MailUnconfirmed
from event_store.consumers import driver, lease
from event_store.consumers.health import Health
from tests import forking
from tests.commands.gateways.sending import sender_of
from tests.commands.processes.running import append, eventually
from tests.mails.mailing import Book, parsed
from tests.mails.server import STEPS
from tests.mails.test_mails import events, requested

TAKEOVER_S = 0.6
_ITS_SESSIONS = (
    "select pg_terminate_backend(pid) from pg_stat_activity"
    " where datname = current_database() and application_name like 'counterfoil sender-mail%'"
)


def hurry():
    lease.TAKEOVER_AFTER_S, lease.RENEW_EVERY_S = TAKEOVER_S, TAKEOVER_S / 5
    smtp.CONNECTIONS_MAX = 2 * len(STEPS)


def work(url, settings):
    """A sender as a process of its own."""
    hurry()
    registry = CollectorRegistry()
    gateway: Gateway = mails.gateway(Book().opened)
    driver.run(
        [sending.consumer(gateway, settings, metrics=GatewayMetrics(registry))],
        database_url=url,
        stop=threading.Event(),
        registry=registry,
        health=Health(),
    )


class Killed:
    """A sender that is killed at the end of the block, and whose appends end with it."""

    def __init__(self, url, settings):
        self._url = url
        self._process = forking.FORKING.Process(target=work, args=(url, settings), daemon=True)

    def __enter__(self):
        with forking.LOCK:
            self._process.start()

    def __exit__(self, *_):
        self._process.kill()
        self._process.join()
        with psycopg.connect(self._url, autocommit=True) as admin:
            admin.execute(_ITS_SESSIONS)


@pytest.fixture
def hurried(monkeypatch):
    for module, name in (
        (lease, "TAKEOVER_AFTER_S"),
        (lease, "RENEW_EVERY_S"),
        (smtp, "CONNECTIONS_MAX"),
    ):
        monkeypatch.setattr(module, name, getattr(module, name))
    hurry()


@pytest.mark.faults
def test_a_mail_survives_the_sender_s_death_at_any_step_and_is_there_twice_at_most(
    mail_server, database_url, hurried
):
    """One mail is held at each step, and one was taken but is not recorded, since no append can happen."""
    number = len(STEPS) + 1
    streams = [f"mail-m-{each}" for each in range(number)]
    append(
        database_url,
        [(stream, 0, [requested(mail_id=stream[5:], recipient_ref=stream[5:])]) for stream in streams],
    )
    mail_server.script(*({"at": step} for step in STEPS))
    settings = mail_server.settings()

    with psycopg.connect(database_url) as holding:
        holding.execute("select from log.head for update")
        with Killed(database_url, settings):
            eventually(
                lambda: set(STEPS) <= set(mail_server.seen) and len(mail_server.taken) == 2, wait_s=120
            )
        # Again, with those that may be there twice: what was handed over a second time is so never again.
        mail_server.script()
        with Killed(database_url, settings):
            eventually(lambda: len(mail_server.taken) == number + 2, wait_s=120)
        holding.rollback()
    with sender_of(mails.gateway(Book().opened), database_url, settings) as work:
        eventually(lambda: all(len(events(database_url, each)) == 2 for each in streams), wait_s=120)
        calls = {
            result: work.value("counterfoil_gateway_calls_total", gateway="mail", call=call, result=result)
            for call, result in (("ask", "AcceptedAgain"), ("find", "Unconfirmed"))
        }

    copies = Counter(taken["to"][0] for taken in mail_server.taken)
    assert number == len(copies), "a mail was lost"
    assert 2 >= max(copies.values()), "a mail is there three times"
    for address in copies:
        (ids, contents) = (
            {part(taken) for taken in mail_server.taken if taken["to"] == [address]}
            for part in (lambda taken: parsed(taken)["Message-ID"], lambda taken: taken["content"])
        )
        assert (1, 1) == (len(ids), len(contents)), "copies differ"
    answers = Counter(type(events(database_url, stream)[1]) for stream in streams)
    assert {MailUnconfirmed: 3, MailAccepted: number - 3} == answers
    assert {"AcceptedAgain": number - 3, "Unconfirmed": 3} == calls
