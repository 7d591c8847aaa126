"""The whole shop on a log in memory: commands as their routes decide them, processes, timers, a sender, webhooks.

Nothing of it is a stand-in but the log and the payment provider. Whatever is done is refused where the product refuses
it; who does it, when and in which order is for a test to say.
"""

import base64
import hashlib
import hmac
from collections import Counter

import msgspec

from commands import recording
from commands.authority import Authority
from commands.calls import Call
from commands.decision import ABSENT, Decision, DecisionView, Selection, StreamState, events_of
from commands.execution import Caller
from commands.gateways.gateway import NoAnswer
from commands.gateways.payment.charging import PROVIDER, Charging
from commands.gateways.payment.webhooks import PaymentWebhooks, StandardWebhooks
from commands.premises import Premises
from commands.processes.credit_expiry import CREDIT_EXPIRY
from commands.processes.credit_holds import CREDIT_HOLDS
from commands.processes.fulfilment import FULFILMENT
from commands.processes.process import lease_groups
from commands.receiving import Receiving
from commands.recording import Answer
from counterfoil.contexts import CONTEXTS
from counterfoil.testing.processes import ACTS_PER_STEP, Worker, World
from domain.aggregate import category_of
from domain.event import type_name
from domain.rejection import Rejection
from event_store.log import codec
from event_store.log.envelope import Accepted, Replayed
from event_store.log.fingerprints import Fingerprints
from runtime.actors import actor
from runtime.problems import ProblemError
from runtime.settings import Settings
from tests.customer_examples import sealed
from tests.simulation.shop_provider import Provider

(PROCESSES,) = [
    (*group.processes, CREDIT_HOLDS)
    for group in lease_groups(CONTEXTS.processes)
    if FULFILMENT in group.processes
]
AGGREGATES = {each.category: each for each in CONTEXTS.aggregates}
EFFECTS = {type_name(effect.intent): effect for effect in PROVIDER.effects}
TIMERS = [timer for process in CONTEXTS.processes for timer in process.timers.values()]
DELAYS = {name: field.default for name, field in Settings.model_fields.items()}
INSTALLATION = "shop"
SECRET = b"secret"
ROUNDS_MAX = 1_000
SETTLED_AFTER_MAX = 200
"""Rounds of everybody after which a shop is at rest: some thirty at most, unless something goes on for ever."""
FIRED_MAX = 4
"""Times that a timer fires in peace: what is renewed each time would be renewed for ever."""


def done(coroutine):
    """What a coroutine comes to that waits for nothing."""
    try:
        coroutine.send(None)
    except StopIteration as ended:
        return ended.value
    raise AssertionError("it waits for something")


class Numbered(Caller):
    """A caller whose ids are numbers: the same schedule makes the same ones."""

    def new_id(self):
        """The next number."""
        super().new_id()
        return self.execution.number()


class Sealing:
    """Seals under no key: nobody opens anything here."""

    async def seal(self, _stream, values, **_of):
        """See `PersonalData`."""
        return {name: sealed(text) for name, text in values.items() if text is not None}


class Slot:
    """There is always room."""

    def free(self):
        """Nothing was held."""


class Shop(World):
    """What survives a crash, and everybody who is not a process manager."""

    def __init__(self, seed, *, processes=PROCESSES):
        super().__init__(seed, processes=processes)
        self.provider = Provider(self.clock)
        self.intents = {}
        """What the provider was not asked for, or has not answered, by position."""
        self.timers = {}
        """When timers are due that are set."""
        self.workers = [Worker(self, self._unsuspected), Worker(self, self._unsuspected)]
        self._port = Charging(self.provider)
        self._kept = {}
        self._noted = 0
        self._made = 0
        settings = Settings(shipping_options="POST")
        self._premises = Premises(settings, self._guest_of)
        receiving = Receiving(
            settings=settings,
            execution=self,
            fingerprints=Fingerprints(SECRET),
            installation=INSTALLATION,
            clock=lambda: self.clock.now,
        )
        self._webhooks = PaymentWebhooks(StandardWebhooks([SECRET]), receiving)

    # What people and programs do.

    def ask(self, command, *named, by=None, **said):
        """Have a command decided as its route does; its answer, None if it is refused.

        `by` is the customer or guest who is confined to their own; None: staff.
        """
        kind = "guest" if by is not None and by.startswith("g") else "account"
        call = Call(
            command=command.__name__,
            key=self.chance.randbytes(16),
            fingerprint=bytes(32),
            correlation_id="",
            actor=actor(kind, by or "staff"),
            authority=Authority(confined_to=by),
        )
        body = command.__annotations__["body"].model_validate_json(msgspec.json.encode(said))
        return self._recorded(command(*named, body=body, caller=self._caller(call)))

    def send(self, position, mood, *, dies=False):
        """A sender carries out an intent; one that `dies` does not come to record the answer."""
        event = self.log.events[position - 1]
        effect, intent = EFFECTS[event.type], codec.decode(event.type, event.payload)
        key = PROVIDER.key(effect, intent, installation=INSTALLATION)
        self.provider.mood = mood
        try:
            answer = done(self._port.find(key, intent))
            if answer is None:
                answer = done(self._port.ask(key, intent))
        except NoAnswer:
            return
        if dies:
            return
        outcome_key = PROVIDER.outcome_key(key)
        call = Call(
            command="record", key=outcome_key, fingerprint=bytes(32), correlation_id="", actor="sender"
        )

        def decide(state, _view):
            return [*effect.record(state, intent, answer, self.clock.now)]

        identifier, _ = effect.concerns(intent)
        done(self._caller(call).execute(effect.aggregate, identifier, decide))
        self.intents.pop(position, None)

    def deliver(self, webhook):
        """The provider says something; whether it was taken in."""
        sent_at, body = b"%d" % int(self.clock.now.timestamp()), msgspec.json.encode(webhook)
        signed = hmac.digest(SECRET, b".".join((webhook.id.encode(), sent_at, body)), hashlib.sha256)
        headers = {
            b"webhook-id": webhook.id.encode(),
            b"webhook-timestamp": sent_at,
            b"webhook-signature": b"v1," + base64.b64encode(signed),
        }
        taking = self._webhooks.take(headers, body, correlation_id="")
        try:
            done(taking)
        except (Rejection, ProblemError):
            return False
        return True

    def fire(self, timer, key):
        """A timer is due, and decides."""
        due_at = self.timers.pop((timer, key))
        delay = 0.0 if timer.after is None else DELAYS[timer.after]
        self.pass_time((due_at - self.clock.now).total_seconds() + delay)
        call = Call(
            command=timer.name,
            key=self.chance.randbytes(16),
            fingerprint=bytes(32),
            correlation_id="",
            actor="timer",
        )

        def decide(state, view):
            return timer.decide(state, view, self.clock.now)

        aggregate, identifier = AGGREGATES[category_of(key)], key.partition("-")[2]
        self._recorded(self._caller(call).execute(aggregate, identifier, decide))

    def pass_time(self, seconds):
        """Time passes, and what is held for too long is not held any more."""
        self.clock.pass_s(max(0.0, seconds))
        self.provider.expire()

    def work(self, worker, acts):
        """A worker of process managers does some things, in whichever order."""
        for number in range(acts):
            self.workers[worker].act()
            if number % ACTS_PER_STEP == 0:
                self.pass_step()

    def pass_step(self):
        """A moment passes."""
        super().pass_step()
        self.log.now = self.clock.now

    # In peace.

    def settle(self):
        """Let everybody go on until nothing is left to do: the provider answers, webhooks arrive, timers are due.

        Carts are left as they are.
        """
        self.calm = True
        fired = Counter()
        for _ in range(SETTLED_AFTER_MAX):
            self.go_on()
            yield from self.note()
            due = {
                each: at
                for each, at in self.timers.items()
                if each[0].process in {*self.processes, CREDIT_EXPIRY} and fired[each] < FIRED_MAX
            }
            if due:
                first = min(due, key=due.__getitem__)
                fired[first] += 1
                self.fire(*first)
            elif not self.intents and not self.provider.webhooks and self.has_ended():
                return
        self.problems.append("it does not come to rest")

    def go_on(self):
        """Let process managers do all they can, then the provider and its sender, who say nothing but yes."""
        for _ in range(ROUNDS_MAX):
            if self.has_ended():
                break
            for act in (Worker.check_epoch, Worker.read, *_DECIDING):
                act(self.workers[0])
            self.pass_step()
        for key in list(self.provider.operations):
            self.provider.decide(key, "obliging")
        for position in list(self.intents):
            self.send(position, "obliging")
        self.provider.webhooks = [each for each in self.provider.webhooks if not self.deliver(each)]

    # What commands find, as `Execution` does for them.

    def number(self):
        """A number that no other has."""
        self._made += 1
        return f"{self._made}"

    def reserve(self, count):
        """See `Execution`."""
        return [Slot()] * count

    async def execute(self, work):
        """See `Execution`: nobody comes in between, so one attempt suffices."""
        view = DecisionView(self.held, self._answered)
        shown = work.call.authority.shown(view.rely_on(work.aggregate, work.stream), work.owner)
        decided = work.decide(shown.state, view)
        if not isinstance(decided, Decision):
            decided = Decision(events_of(work.aggregate, work.identifier, decided))
        request = recording.append_request(
            decided,
            view,
            key=work.call.key,
            fingerprint=work.call.fingerprint,
            cause=work.call.metadata(occurred_at=work.occurred_at),
        )
        (verdict,) = self.log.append_batch([request], epoch=self.log.epoch)
        assert isinstance(verdict, Accepted | Replayed), verdict
        self._callers_keys.add(request.key)
        return Answer(work.stream, self.log.version(work.stream), self.log.position, ())

    def held(self, stream):
        """The state of a stream now."""
        kept, aggregate = self._kept.get(stream, ABSENT), AGGREGATES[category_of(stream)]
        if kept.version < self.log.version(stream):
            for event in self.log.read_stream(stream, after_version=kept.version):
                state = aggregate.evolve(kept.state, codec.decode(event.type, event.payload))
                kept = StreamState(state, event.version, event.position, event.partition_key or stream)
            self._kept[stream] = kept
        return kept

    def now(self, aggregate, identifier):
        """The state of one thing now."""
        return self.held(aggregate.stream(identifier)).state

    def note(self):
        """The events since the last time; what they ask the provider for, and which timers they set."""
        new = self.log.events[self._noted :]
        self._noted = self.log.position
        for recorded in new:
            event = codec.decode(recorded.type, recorded.payload)
            if recorded.type in EFFECTS:
                self.intents[recorded.position] = event
            for timer in TIMERS:
                self._set(timer, recorded, event)
            yield event

    def _set(self, timer, recorded, event):
        key = timer, recorded.partition_key or recorded.stream
        if type(event) in timer.clears:
            self.timers.pop(key, None)
        elif (due := timer.sets.get(type(event))) is not None:
            due_at = due(event, recorded.recorded_at)
            if due_at is not None:
                self.timers[key] = due_at

    def _answered(self, question):
        select, tags = question
        value = select.initial
        for event in self.log.tagged(tags, select.type_names):
            value = select.fold(value, codec.decode(event.type, event.payload))
        return Selection(value, self.log.position)

    def _caller(self, call):
        given = {"now": self.clock.now, "personal": Sealing(), "premises": self._premises}
        return Numbered(self, call=call, slot=Slot(), **given)

    @staticmethod
    def _recorded(command):
        try:
            return done(command)
        except (Rejection, ProblemError):
            return None

    @staticmethod
    async def _guest_of(token):
        return token

    @staticmethod
    def _unsuspected(_request, _worker):
        return ()


_DECIDING = (
    Worker.step,
    Worker.execute_load,
    Worker.execute_load,
    Worker.finish_load,
    Worker.step,
    Worker.write,
    Worker.answer,
    Worker.step,
    Worker.save,
)
