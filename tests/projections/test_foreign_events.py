"""Views over events that another application records: of each type by itself, with the id that only the stream says."""

from datetime import UTC, datetime
from decimal import Decimal
from enum import Enum
from uuid import UUID, uuid4

import msgspec
import pytest
from eventsourcing.persistence import (
    DatetimeAsISO,
    DecimalAsStr,
    InfrastructureFactory,
    JSONTranscoder,
    StoredEvent,
    Transcoding,
    UUIDAsHex,
)
from eventsourcing.utils import Environment
from hypothesis import given
from hypothesis import strategies as st

from domain.event import Event, event_type, foreign_event_type, type_name, unversioned
from event_store.consumers import parking
from event_store.log import reading
from event_store.log.codec import MalformedEvent
from projections import replay, verifying
from projections.folding import decoder_of
from projections.replay import Target
from projections.storing import BuildId
from projections.view import Row, View
from runtime import database
from tests.event_store.transport.carrying import wait_until
from tests.projections.feeding import settle
from tests.projections.test_running import projections

PAYEE = UUID("0b9f6b0e-5f2a-4f0c-9a51-0a2d3c4b5e6f")
DUE = datetime(2024, 2, 29, tzinfo=UTC)
OPENED, CREDITED = "bank.domain:Account.Opened", "bank.domain:Account.Credited"


@foreign_event_type(OPENED, id_field="account")
class Opened(Event, frozen=True):
    owner: str
    account: str = ""


@foreign_event_type(CREDITED, id_field="account")
class Credited(Event, frozen=True):
    amount: int
    account: str = ""


class Account(Row, frozen=True):
    account: str
    owner: str
    balance: int


accounts = View(name="accounts", row=Account, key=("account",), shape=1, category="Bank")


@accounts.on(Opened)
def opened(_: Account | None, event: Opened) -> Account:
    return Account(event.account, event.owner, 0)


@accounts.on(Credited)
def credited(account: Account, event: Credited) -> Account:
    return msgspec.structs.replace(account, balance=account.balance + event.amount)


def stored(account: UUID, version: int, topic: str, state: bytes) -> StoredEvent:
    return StoredEvent(account, version, topic, state)


def test_only_declared_types_are_wanted_not_those_that_resemble_other_versions():
    decoder = decoder_of([accounts])

    assert decoder.wants(CREDITED)
    assert not decoder.wants("bank.domain:Account.Closed")
    assert not decoder.wants("bank.domain:Account.Credited.v2")
    assert not decoder.wants("ordering.order_placed.v3")
    assert sorted([OPENED, CREDITED]) == decoder.types


def test_the_id_is_that_of_the_stream():
    decoder = decoder_of([accounts])
    account = str(uuid4())

    event = decoder.decode(CREDITED, b'{"amount": 7, "timestamp": 1}', position=1, stream=f"Bank-{account}")

    assert Credited(7, account) == event


@foreign_event_type("bank.domain:Account.Settled", id_field="account")
class Settled(Event, frozen=True):
    amount: Decimal
    parts: tuple[Decimal, ...]
    payee: UUID
    due: datetime
    timestamp: datetime
    rate: float
    colour: str | None = None
    account: str = ""


class Colour(Enum):
    RED = "red"


class ColourAsText(Transcoding):
    type = Colour
    name = "colour"

    def encode(self, obj: Colour) -> str:
        return obj.value

    def decode(self, data: str) -> Colour:
        return Colour(data)


def transcoded(state: dict[str, object]) -> bytes:
    """A state as the library writes it."""
    transcoder = JSONTranscoder()
    for transcoding in (DecimalAsStr(), UUIDAsHex(), DatetimeAsISO(), ColourAsText()):
        transcoder.register(transcoding)
    return transcoder.encode(state)


def settled(**changed: object) -> Event | MalformedEvent:
    state = {
        "amount": Decimal("1.10"),
        "parts": [Decimal("0.60"), Decimal("0.5")],
        "payee": PAYEE,
        "due": datetime(2024, 2, 29),  # noqa: DTZ001 - applications do so
        "timestamp": datetime(2024, 2, 28, 23, 59, 59, 1, UTC),
        "rate": 1.5,
        "colour": Colour.RED,
        "note": {"never": Decimal(7), "declared": [Decimal(8)]},
    }
    payload = transcoded(state | changed)
    return decoder_of([settlements]).decode(type_name(Settled), payload, position=1, stream="Bank-7")


class Settlement(Row, frozen=True):
    account: str


settlements = View(name="settlements", row=Settlement, key=("account",), shape=1, category="Bank")


@settlements.on(Settled)
def settled_once(_: Settlement | None, event: Settled) -> Settlement:
    return Settlement(event.account)


def test_fields_that_the_librarys_transcoder_wrote_are_declared_by_their_type():
    assert (
        Settled(
            amount=Decimal("1.10"),
            parts=(Decimal("0.60"), Decimal("0.5")),
            payee=PAYEE,
            due=datetime(2024, 2, 29),  # noqa: DTZ001 - as it was written
            timestamp=datetime(2024, 2, 28, 23, 59, 59, 1, UTC),
            rate=1.5,
            colour="red",
            account="7",
        )
        == settled()
    )


@given(st.decimals(), st.uuids(), st.datetimes(timezones=st.timezones()))
def test_every_such_value_comes_back(amount: Decimal, payee: UUID, due: datetime):
    event = settled(amount=amount, payee=payee, due=due)

    assert isinstance(event, Settled)
    assert (str(amount), payee, due.isoformat()) == (str(event.amount), event.payee, event.due.isoformat())


def test_a_number_written_as_json_keeps_its_digits_where_a_decimal_is_declared():
    payload = transcoded({"amount": 0, "parts": [], "payee": PAYEE, "due": DUE, "timestamp": DUE, "rate": 2})

    event = decoder_of([settlements]).decode(
        type_name(Settled), payload.replace(b'"amount":0', b'"amount":1.10'), position=1, stream="Bank-7"
    )

    assert isinstance(event, Settled)
    assert ("1.10", 2.0) == (str(event.amount), event.rate)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"amount": UUID(int=0)}, "uuid"),
        ({"due": Decimal(1)}, "datetime"),
        ({"due": {"_type_": "datetime_iso", "_data_": "soon"}}, "'soon' is no datetime_iso"),
        ({"amount": {"_type_": "decimal_str", "_data_": []}}, "[] is no decimal_str"),
        ({"payee": "nobody"}, "UUID"),
        ({"parts": Decimal(1)}, "array"),
    ],
)
def test_a_value_of_another_type_than_declared_is_not_read(changed: dict[str, object], said: str):
    event = settled(**changed)

    assert isinstance(event, MalformedEvent)
    assert said in str(event)


def test_a_payload_that_is_nested_too_deep_is_malformed_not_a_crash():
    payload = b'{"_type_":' + b"[" * 100_000 + b"]" * 100_000 + b"}"

    event = decoder_of([settlements]).decode(type_name(Settled), payload, position=1, stream="Bank-7")

    assert isinstance(event, MalformedEvent)


def test_a_foreign_type_needs_a_field_for_the_id_and_a_name_that_is_not_ours():
    with pytest.raises(ValueError, match="no field 'account' with a default"):

        @foreign_event_type("bank.domain:Account.Closed", id_field="account")
        class Closed(Event, frozen=True):
            account: str

    with pytest.raises(ValueError, match="event_type"):
        foreign_event_type("ordering.order_placed.v3", id_field="account")
    with pytest.raises(ValueError, match="already the type of Opened"):
        foreign_event_type(OPENED, id_field="account")
    with pytest.raises(ValueError, match="is not an event type"):
        event_type(OPENED)
    assert type_name(Opened) == OPENED == unversioned(OPENED)


def test_a_worker_folds_what_is_declared_passes_by_the_rest_and_parks_what_it_cannot_read(database_url: str):
    given = {
        "PERSISTENCE_MODULE": "event_store.eventsourcing_module",
        "COUNTERFOIL_DATABASE_URL": database_url,
    }
    factory = InfrastructureFactory.construct(Environment("Bank", given))
    recorder, one, other = factory.application_recorder(), uuid4(), uuid4()
    recorder.insert_events(
        [
            stored(one, 0, OPENED, b'{"owner": "a"}'),
            stored(one, 1, "bank.domain:Account.Noted", b'{"note": "x"}'),
            stored(one, 2, CREDITED, b'{"amount": 7}'),
            stored(other, 1, OPENED, b"encrypted, say"),
            stored(other, 2, CREDITED, b'{"amount": 1}'),
            stored(one, 3, CREDITED, b'{"amount": 3}'),
        ]
    )
    factory.close()
    settle(database_url)

    build = BuildId("accounts", 1, 1)
    with (
        projections(database_url, views=[accounts], group="bank") as hosted,
        database.connect(database_url, role="counterfoil_reader", name="test") as connection,
    ):
        wait_until(
            lambda: bool(hosted.failures or parking.of_scope(connection, build.scope)),
            what="a parked account",
        )
        wait_until(
            lambda: (
                hosted.failures
                or connection.execute("select balance from views.accounts").fetchall() == [(10,)]
            ),
            what="the other one's balance",
        )
        assert [] == hosted.failures

        assert [(str(one), "a", 10)] == connection.execute(
            "select account, owner, balance from views.accounts"
        ).fetchall()
        assert {f"Bank-{other}"} == set(parking.of_scope(connection, build.scope))
        (verified,) = verifying.verify(connection, [accounts])
        assert verified.matches
        past = replay.fold_prefix(connection, accounts, (str(one),), upto=3)
        assert past == Account(str(one), "a", 7)
        (folding,) = replay.fold_all(
            connection, [Target(accounts, frozenset(), parked={f"Bank-{other}": 4})], upto=6
        )
        assert folding.rows[str(one),].row == Account(str(one), "a", 10)
        assert [0, 1, 2, 3] == [each.version for each in reading.read_stream(connection, f"Bank-{one}")]
