"""What recorders promise beyond the library's own cases: versions, neighbours on a shared log, proofs, snapshots."""

from collections.abc import Callable, Sequence
from uuid import UUID, uuid4

import psycopg
import pytest
from eventsourcing.persistence import DataError, IntegrityError, StoredEvent, Tracking

from event_store.eventsourcing_module import Factory
from event_store.log import integrity
from event_store.log.appending import limits
from event_store.log.appending.threaded import ThreadedWriter
from runtime import database
from tests.appends import append_request

NewFactory = Callable[..., Factory]

STATE = b'{"amount": 7}'


def events(account: UUID | str, *versions: int, topic: str = "bank:Credited") -> list[StoredEvent]:
    return [StoredEvent(account, version, topic, STATE) for version in versions]


def versions(found: Sequence[StoredEvent]) -> list[int]:
    return [each.originator_version for each in found]


@pytest.mark.parametrize("first", [0, 1])
def test_versions_begin_where_the_application_begins_them(first: int, new_factory: NewFactory):
    recorder, account = new_factory().application_recorder(), uuid4()
    recorder.insert_events(events(account, first))
    recorder.insert_events(events(account, first + 1, first + 2))
    recorder.insert_events(events(account, first + 3))

    assert [first, first + 1, first + 2, first + 3] == versions(recorder.select_events(account))
    assert [first + 1, first + 2] == versions(recorder.select_events(account, gt=first, lte=first + 2))
    assert [first + 3, first + 2] == versions(recorder.select_events(account, desc=True, limit=2))


@pytest.mark.parametrize("wrong", [(0,), (1,), (2,), (4,), (3, 3), (4, 3), (3, 5), (-1,)])
def test_a_version_that_is_not_the_next_one_is_a_conflict(wrong: tuple[int, ...], new_factory: NewFactory):
    recorder, account, other = new_factory().application_recorder(), uuid4(), uuid4()
    recorder.insert_events(events(account, 1, 2))

    with pytest.raises(IntegrityError):
        recorder.insert_events([*events(other, 1), *events(account, *wrong)])
    assert [1, 2] == versions(recorder.select_events(account))
    assert [] == recorder.select_events(other)


def test_aggregates_are_recorded_together_in_the_order_given(new_factory: NewFactory):
    recorder, one, other = new_factory().application_recorder(), uuid4(), uuid4()
    mixed = [*events(one, 1), *events(other, 1), *events(one, 2), *events(other, 2)]

    assert [1, 2, 3, 4] == recorder.insert_events(mixed)
    assert [(one, 1), (other, 1), (one, 2), (other, 2)] == [
        (each.originator_id, each.originator_version) for each in recorder.select_notifications(1, 10)
    ]


def test_more_events_than_one_append_may_hold_are_refused_with_the_limit(new_factory: NewFactory):
    recorder, account = new_factory().application_recorder(), uuid4()

    with pytest.raises(DataError, match=str(limits.REQUEST_EVENTS_MAX)):
        recorder.insert_events(events(account, *range(1, limits.REQUEST_EVENTS_MAX + 2)))
    assert recorder.max_notification_id() is None


def test_ids_come_back_in_the_type_the_application_uses(new_factory: NewFactory):
    recorder = new_factory(ORIGINATOR_ID_TYPE="text").application_recorder()
    recorder.insert_events(events("account-7", 1))

    assert ["account-7"] == [each.originator_id for each in recorder.select_events("account-7")]
    assert ["account-7"] == [each.originator_id for each in recorder.select_notifications(1, 10)]


def test_two_applications_in_one_database_never_mix(new_factory: NewFactory):
    account = uuid4()
    bank, bank_2 = (new_factory(name).process_recorder() for name in ("Bank", "Bank2"))
    bank.insert_events(events(account, 1), tracking=Tracking("Shop", 5))
    bank_2.insert_events(events(account, 1, 2, topic="bank:Opened"), tracking=Tracking("Shop", 3))

    assert [1] == versions(bank.select_events(account))
    assert [1, 2] == versions(bank_2.select_events(account))
    assert [1] == [each.id for each in bank.select_notifications(None, 10)]
    assert [2, 3] == [each.id for each in bank_2.select_notifications(None, 10)]
    assert (1, 3) == (bank.max_notification_id(), bank_2.max_notification_id())
    assert (5, 3) == (bank.max_tracking_id("Shop"), bank_2.max_tracking_id("Shop"))


def test_snapshots_of_two_applications_never_mix(new_factory: NewFactory):
    account = uuid4()
    bank, bank_2 = (new_factory(name).aggregate_recorder("snapshots") for name in ("Bank", "Bank2"))
    bank.insert_events(events(account, 7))

    assert [] == bank_2.select_events(account)
    bank_2.insert_events(events(account, 7))
    assert [7] == versions(bank.select_events(account))


def test_an_application_shares_the_log_with_the_shop_and_sees_only_its_own(
    new_factory: NewFactory, database_url: str
):
    bank, account = new_factory("Bank").application_recorder(), uuid4()
    shop = ThreadedWriter(database_url)
    received = []
    for version in range(1, 4):
        shop.append(append_request(f"order-{account}"))
        received.append(bank.insert_events(events(account, version)))
    shop.append(append_request(f"order-{account}"))
    shop.close()

    assert [[2], [4], [6]] == received
    assert [2, 4, 6] == [each.id for each in bank.select_notifications(None, 10)]
    assert [4, 6] == [each.id for each in bank.select_notifications(3, 10)]
    assert [4] == [each.id for each in bank.select_notifications(2, 1, inclusive_of_start=False)]
    assert bank.max_notification_id() == 6


def test_an_audit_finds_nothing_wrong_with_what_came_through_the_adapter(
    new_factory: NewFactory, database_url: str
):
    bank = new_factory().process_recorder()
    for number in range(1, 6):
        account = uuid4()
        bank.insert_events([*events(account, 0, 1), StoredEvent(uuid4(), 1, "bank:Secret", b"\xff")])
        bank.insert_events(events(account, 2), tracking=Tracking("Shop", number))
        bank.insert_events([], tracking=Tracking("Market", number))
    with database.connect(database_url, role="counterfoil_reader", name="test") as connection:
        report = integrity.verify_log(connection)

    assert ((), 20) == (report.findings, report.events)


def test_an_audit_says_which_event_of_an_application_was_changed(new_factory: NewFactory, database_url: str):
    new_factory().application_recorder().insert_events(events(uuid4(), 1, 2, 3))
    with psycopg.connect(database_url, autocommit=True) as admin:
        admin.execute("update log.event set payload = '{\"amount\": 8}' where position = 2")
    with database.connect(database_url, role="counterfoil_reader", name="test") as connection:
        (finding,) = integrity.verify_log(connection).findings

    assert (2, "leaf-mismatch") == (finding.position, finding.kind)
    assert finding.message.startswith("payload, metadata or leaf was changed")


def test_snapshots_stand_outside_the_log(new_factory: NewFactory, database_url: str):
    factory, account = new_factory(), uuid4()
    snapshots = factory.aggregate_recorder("snapshots")
    snapshots.insert_events(events(account, 10))
    snapshots.insert_events([*events(account, 30), *events(account, 20)])

    assert [10, 20, 30] == versions(snapshots.select_events(account))
    assert [30] == versions(snapshots.select_events(account, desc=True, limit=1))
    assert [] == factory.aggregate_recorder().select_events(account)
    assert factory.application_recorder().max_notification_id() is None


def test_a_position_is_tracked_in_the_append_that_stores_what_came_of_it(new_factory: NewFactory):
    recorder, account = new_factory().process_recorder(), uuid4()
    recorder.insert_events(events(account, 1), tracking=Tracking("Shop", 5))

    with pytest.raises(IntegrityError):  # the event is new, but its cause has been processed
        recorder.insert_events(events(account, 2), tracking=Tracking("Shop", 5))
    with pytest.raises(IntegrityError):  # the position is new, but the event is recorded
        recorder.insert_events(events(account, 1), tracking=Tracking("Shop", 6))
    assert [1] == versions(recorder.select_events(account))
    assert recorder.max_tracking_id("Shop") == 5
