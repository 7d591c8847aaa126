"""Views over events that another application records: of each type by itself, with the id that only the stream says."""

from uuid import UUID, uuid4

import msgspec
import pytest
from eventsourcing.persistence import InfrastructureFactory, StoredEvent
from eventsourcing.utils import Environment

from domain.event import Event, event_type, fact_of, foreign_event_type, type_name
from event_store import reading
from event_store.local_transport import LocalTransport
from projections import parking, replay, verifying
from projections.folding import Decoder
from projections.replay import Target
from projections.storing import BuildId
from projections.view import Row, View
from projections.worker import ProjectionHealth, run_projections
from runtime import database
from tests.event_store.carrying import wait_until
from tests.projections.feeding import settle
from tests.projections.test_running import running

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


def test_only_declared_types_are_wanted_not_those_that_look_like_other_versions():
    decoder = Decoder([accounts])

    assert decoder.wants(CREDITED)
    assert not decoder.wants("bank.domain:Account.Closed")
    assert not decoder.wants("bank.domain:Account.Credited.v2")
    assert not decoder.wants("ordering.order_placed.v1")
    assert sorted([OPENED, CREDITED]) == replay.types_of([accounts])


def test_the_id_is_that_of_the_stream():
    decoder = Decoder([accounts])
    account = str(uuid4())

    event = decoder.decode(CREDITED, b'{"amount": 7, "timestamp": 1}', position=1, stream=f"Bank-{account}")

    assert Credited(7, account) == event


def test_a_foreign_type_needs_a_field_for_the_id_and_a_name_that_is_not_ours():
    with pytest.raises(ValueError, match="no field 'account' with a default"):

        @foreign_event_type("bank.domain:Account.Closed", id_field="account")
        class Closed(Event, frozen=True):
            account: str

    with pytest.raises(ValueError, match="event_type"):
        foreign_event_type("ordering.order_placed.v1", id_field="account")
    with pytest.raises(ValueError, match="already the type of Opened"):
        foreign_event_type(OPENED, id_field="account")
    with pytest.raises(ValueError, match="is not an event type"):
        event_type(OPENED)
    assert type_name(Opened) == OPENED == fact_of(OPENED)


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
    settle(database_url, [accounts])

    def run(stop, health):
        run_projections(
            database_url,
            transport=LocalTransport(database_url),
            stop=stop,
            health=health,
            views=[accounts],
            group="bank",
        )

    build = BuildId("accounts", 1, 1)
    health = ProjectionHealth()
    with (
        running(run, health=health) as failures,
        database.connect(database_url, role="counterfoil_reader", name="test") as connection,
    ):
        wait_until(lambda: bool(failures or parking.of_build(connection, build)), what="a parked account")
        wait_until(
            lambda: (
                failures or connection.execute("select balance from views.accounts").fetchall() == [(10,)]
            ),
            what="the other one's balance",
        )
        assert [] == failures

        assert [(str(one), "a", 10)] == connection.execute(
            "select account, owner, balance from views.accounts"
        ).fetchall()
        assert {f"Bank-{other}"} == set(parking.of_build(connection, build))
        (verified,) = verifying.verify(connection, [accounts])
        assert verified.matches
        past = replay.fold_prefix(connection, accounts, (str(one),), upto=3)
        assert past == Account(str(one), "a", 7)
        (folding,) = replay.fold_all(
            connection, [Target(accounts, frozenset(), parked={f"Bank-{other}": 4})], upto=6
        )
        assert folding.rows[str(one),].row == Account(str(one), "a", 10)
        assert [0, 1, 2, 3] == [each.version for each in reading.read_stream(connection, f"Bank-{one}")]
