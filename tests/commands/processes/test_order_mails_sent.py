"""The order process where its mails do not arrive: what the sender does, and that the order goes on without them."""

from collections import Counter
from functools import partial

import pytest

from commands.gateways.gateway import NoAnswer
from commands.gateways.mail import mails
from commands.gateways.mail.handovers import Overtaken
from commands.gateways.mail.mails import GIVE_UP_AFTER, HANDOVERS_MAX, Mails
from commands.gateways.mail.smtp import RejectedMail, UnansweredMail
from commands.mail.rendering import Letterhead
from commands.processes.order_mails import ORDER_MAILS
from commands.recipients import Recipient, nobody
from counterfoil.testing.scheduling import FOUND_WITHIN, first_problem
from domain.mail.events import MailRequested
from domain.mail.mail import MAIL, Status
from tests.commands.processes import buying
from tests.commands.processes.buying import Sale, asked, run
from tests.examples import CONTACT
from tests.sizes import ORDER_PROCESS

GATEWAY = mails.gateway(nobody)
(EFFECT,) = GATEWAY.effects


@pytest.fixture
def sold(explored):
    """Explore the schedules of a row; what is wrong by seed."""
    return lambda row: explored(partial(run, row), schedules=ORDER_PROCESS.chosen)


def completed(call):
    """What comes of a call that waits for nothing."""
    try:
        call.send(None)
    except StopIteration as ended:
        return ended.value
    raise AssertionError("it waits")


class HandoverCounts:
    """How often each mail was handed over, as the table next to the log has it."""

    def __init__(self):
        self.by_key = Counter()

    async def count(self, key):
        return self.by_key[key]

    async def begin(self, key, *, known):
        if self.by_key[key] != known:
            raise Overtaken
        self.by_key[key] += 1

    async def take_back(self, key, *, known):
        self.by_key[key] = known


class MailsFail(Sale):
    """The buyer has an address, and the mail server takes a mail, puts it off, or says nothing to it."""

    contact, others = CONTACT, (ORDER_MAILS,)
    requested = asked(authorisation=1, mail=2)

    def __init__(self, world):
        super().__init__(world)
        self.mailbox = Counter()
        letterhead = Letterhead(address="a@shop.example", name="The shop", links="https://shop.example")
        self.mails = Mails(self, HandoverCounts(), self, letterhead=letterhead, clock=lambda: self.now)

    async def find(self, _mail):
        """The address of the buyer."""
        return Recipient(address="ada@example.org")

    async def send(self, mail, *, handing_over, **_):
        """What the mail server does with a mail."""
        chance = self.world.chance.random()
        if chance < 0.3:
            raise NoAnswer("the reply to the sender was 451")
        await handing_over()
        if chance < 0.5:
            raise NoAnswer("the reply to the mail was 451")
        if chance < 0.6:
            raise UnansweredMail("no reply to the mail")
        self.mailbox[mail] += 1
        if chance < 0.7:
            raise UnansweredMail("no reply to the mail")

    def act(self):
        """The sender carries out an intent, once through; it may die before it records the answer."""
        waiting = [each for each in self.written() if self.state(each).status is Status.REQUESTED]
        if not waiting:
            return
        intent = self.world.chance.choice(waiting)
        key = GATEWAY.key(EFFECT, intent, installation="shop")
        try:
            answer = completed(self.mails.find(key, intent)) or completed(self.mails.ask(key, intent))
        except NoAnswer:
            self.not_sent()
            return
        if not self.world.roll(0.2):
            self.append(MAIL, intent.mail_id, EFFECT.record(self.state(intent), intent, answer, self.now))

    def not_sent(self):
        """Nobody knows, or another time."""

    def written(self):
        return [each for each in self.events() if isinstance(each, MailRequested)]

    def state(self, intent):
        return self.world.state(MAIL, intent.mail_id)

    def amiss(self):
        found = [each.status for each in map(self.state, self.written())]
        return [
            *super().amiss(),
            *(f"{copies} copies of a mail" for copies in self.mailbox.values() if copies > HANDOVERS_MAX),
            *self.ended(found),
        ]

    def ended(self, found):
        if any(each not in {Status.ACCEPTED, Status.UNCONFIRMED} for each in found):
            yield f"mails are {found}"
        if len(self.mailbox) < found.count(Status.ACCEPTED):
            yield f"of the mails that are {found} the mailbox has {len(self.mailbox)}"


def test_a_mail_that_is_not_taken_is_sent_again_by_itself(sold):
    assert {} == sold(MailsFail)


class MailsNotTaken(MailsFail):
    """The server puts every mail off, or refuses it in the end."""

    async def send(self, *_, **__):
        if self.world.chance.random() < 0.2:
            raise RejectedMail("550 5.1.1")
        raise NoAnswer("the reply to the recipient was 451")

    def not_sent(self):
        self.world.clock.pass_s(GIVE_UP_AFTER.total_seconds() / 3)

    def ended(self, found):
        if found != [Status.FAILED] * 2 or self.mailbox:
            yield f"mails are {found}, and the mailbox has {len(self.mailbox)}"


def test_a_mail_that_is_not_taken_for_days_has_failed_and_the_order_goes_on(sold):
    assert {} == sold(MailsNotTaken)


def test_handing_a_mail_over_as_often_as_it_has_no_answer_is_found(monkeypatch):
    monkeypatch.setattr(buying, "ROUNDS_MAX", 50)
    monkeypatch.setattr(mails, "HANDOVERS_MAX", 100)

    assert first_problem(partial(run, MailsFail)) < FOUND_WITHIN


def test_never_giving_a_mail_up_is_found(monkeypatch):
    monkeypatch.setattr(buying, "ROUNDS_MAX", 50)
    monkeypatch.setattr(mails, "GIVE_UP_AFTER", 100 * GIVE_UP_AFTER)
    monkeypatch.setattr(MailsNotTaken, "send", lambda *_, **__: put_off())

    assert first_problem(partial(run, MailsNotTaken)) < FOUND_WITHIN


async def put_off():
    raise NoAnswer("the reply to the recipient was 451")
