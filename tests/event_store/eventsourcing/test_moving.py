"""Moving the library's databases into the log: nothing is lost, skipped or done twice."""

import contextlib
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import NAMESPACE_URL, UUID, uuid4, uuid5

import psycopg
import pytest
from eventsourcing.persistence import InfrastructureFactory, StoredEvent, Tracking
from eventsourcing.utils import Environment

from counterfoil import moving as command
from counterfoil.moving import MoveFailed
from event_store.eventsourcing import moving, sources
from event_store.eventsourcing.datastore import Datastore
from event_store.eventsourcing.moving import HOLE_MAX
from event_store.eventsourcing_module import Factory
from event_store.log import integrity
from runtime import database
from tests.event_store.eventsourcing.moved_applications import Parcel, counting, following, on_the_log
from tests.event_store.eventsourcing.moves import everything, move
from tests.event_store.transport.carrying import wait_until

NewFactory = Callable[..., Factory]
STATE = b'{"amount": 7}'


def one(number: int) -> UUID:
    return uuid5(NAMESPACE_URL, f"/{number}")


def test_followers_skip_nothing_and_repeat_nothing(half_followed: str):
    outcome = move(half_followed, "Parcels", "Mails", followers=["counts"])

    assert {"Parcels": 31, "Mails": 9} == {
        name: moved.counts.events for name, moved in outcome.applications.items()
    }
    new = on_the_log(half_followed)
    with following(new) as (parcels, mails), counting(new) as runner:
        parcels.send(19)  # what was recorded before is followed now as well
        runner.wait(parcels.recorder.max_notification_id(), timeout=120)
        wait_until(lambda: len(mails.posted()) >= 20, what="a mail for each parcel")

        assert list(range(20)) == mails.posted()
        assert list(range(20)) == runner.projection.view.seen()
        parcel: Parcel = parcels.repository.get(Parcel.create_id(0))
        assert ["Leeds", "York", "Hull", "Bath"] == parcel.stops
    assert 1 == outcome.applications["Parcels"].snapshots


def test_numbers_that_were_not_translated_would_skip_or_repeat(half_followed: str):
    """That the test above finds what it is for: the same move without its followers' numbers."""
    move(half_followed, "Mails", "Parcels", followers=["counts"])
    with psycopg.connect(half_followed, autocommit=True) as admin:
        admin.execute(
            "update log.tracking set position = (select notification_id from mails_tracking where application_name ="
            " 'Parcels') where consumer = 'Mails'"
        )
    with following(on_the_log(half_followed)) as (parcels, mails):
        parcels.send(19)

        assert list(range(20)) != mails.posted()


def test_a_run_with_nothing_left_to_do_changes_nothing(half_followed: str):
    first = move(half_followed, "Parcels", "Mails", followers=["counts"])
    before = everything(half_followed)
    again = move(half_followed, "Parcels", "Mails", followers=["counts"])

    assert before == everything(half_followed)
    assert first.applications["Parcels"].tracking == again.applications["Parcels"].tracking
    assert (0, 31) == (
        again.applications["Parcels"].counts.appended,
        again.applications["Parcels"].counts.events,
    )
    assert {"counts": {}} == again.followers


def test_an_application_that_went_on_after_the_move_is_left_as_it_is(half_followed: str):
    move(half_followed, "Parcels", "Mails", followers=["counts"])
    with following(on_the_log(half_followed)) as (parcels, mails):
        parcels.send(19)
        assert list(range(20)) == mails.posted()
    again = move(half_followed, "Parcels", "Mails", followers=["counts"])

    assert 1 == again.applications["Parcels"].counts.later
    with following(on_the_log(half_followed)) as (parcels, mails):
        parcels.send(20)
        assert list(range(21)) == mails.posted()


@pytest.fixture
def old(tmp_path: Path) -> Iterator[Callable[..., str]]:
    """Makes an SQLite database as the library does, with rows of events; returns its address."""

    def make(
        *rows: tuple[Any, ...],
        name: str = "Bank",
        tracking: tuple[tuple[str, int], ...] = (),
        **variables: str,
    ) -> str:
        path = tmp_path / f"{name}.sqlite"
        given = {"PERSISTENCE_MODULE": "eventsourcing.sqlite", "SQLITE_DBNAME": str(path), **variables}
        with InfrastructureFactory.construct(Environment(name, given)) as factory:
            recorder = factory.process_recorder()
            factory.aggregate_recorder("snapshots")
            for followed, number in tracking:
                recorder.insert_tracking(Tracking(followed, number))
            factory.close()
        with contextlib.closing(sqlite3.connect(path)) as file, file:
            for number, *row in rows:
                file.execute(
                    "insert into stored_events (rowid, originator_id, originator_version, topic, state)"
                    " values (?, ?, ?, ?, ?)",
                    [number, *row],
                )
        return f"sqlite:{path}"

    return make


def row(number: int, aggregate: int, version: int, state: bytes = STATE) -> tuple[Any, ...]:
    return number, one(aggregate).hex, version, "bank:Credited", state


def test_histories_with_holes_or_from_a_later_version_are_moved(
    old: Callable[..., str], database_url: str, new_factory: NewFactory
):
    address = old(row(1, 1, 0), row(5, 1, 1), row(6, 2, 2), row(7, 2, 5), row(9, 3, 1), row(12, 1, 3))
    outcome = move(database_url, "Bank", address=address)
    recorder = new_factory("Bank").application_recorder()
    recorder.insert_events([StoredEvent(one(2), 6, "bank:Credited", STATE)])

    assert (6, 4) == (outcome.applications["Bank"].counts.events, outcome.applications["Bank"].counts.absent)
    assert [2, 5, 6] == [each.originator_version for each in recorder.select_events(one(2))]
    assert [6, 5] == [each.originator_version for each in recorder.select_events(one(2), desc=True, limit=2)]
    assert [(one(1), 0), (one(1), 1), (one(2), 2), (one(2), 5), (one(3), 1), (one(1), 3), (one(2), 6)] == [
        (each.originator_id, each.originator_version) for each in recorder.select_notifications(None, 100)
    ]
    with recorder.subscribe() as subscription:
        assert [0, 1, 2, 5, 1, 3, 6] == [next(subscription).originator_version for _ in range(7)]
    with database.connect(database_url, role="counterfoil_reader", name="test") as connection:
        assert ((), 11) == (
            (report := integrity.verify_log(connection)).findings,
            report.events,
        )
    assert (6, 1) == (
        (again := move(database_url, "Bank", address=address).applications["Bank"].counts).events,
        again.later,
    )


def test_large_events_travel_in_appends_that_fit(old: Callable[..., str], database_url: str):
    large = b'{"scan": "%s"}' % (b"x" * 9_000)
    huge = b"\xff" * 3_000_000
    address = old(*[row(number, number, 1, large) for number in range(1, 601)], row(601, 601, 1, huge))

    assert 601 == move(database_url, "Bank", address=address).applications["Bank"].counts.appended


def test_ids_of_text_are_moved_as_they_are(
    old: Callable[..., str], database_url: str, new_factory: NewFactory
):
    address = old((1, "account-7", 1, "bank:Credited", STATE), ORIGINATOR_ID_TYPE="text")
    with pytest.raises(
        MoveFailed, match=r"notification 1, aggregate account-7 version 1: .* run with --ids text"
    ):
        move(database_url, "Bank", address=address)
    move(database_url, "Bank", address=address, ids="text")

    recorder = new_factory("Bank", ORIGINATOR_ID_TYPE="text").application_recorder()
    assert [1] == [each.originator_version for each in recorder.select_events("account-7")]


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        (row(2, 1, -1), "a version is 0 or more: number the aggregate's rows anew"),
        (row(2, 1, 1), "it stands behind version 3 of its aggregate: number the notifications"),
        (row(2, 1, HOLE_MAX + 5), f"{HOLE_MAX + 1} versions before it are missing"),
        ((2, one(2).hex, 1, "t" * 301, STATE), "its topic has more than 300 characters .* register_topic"),
        ((2, one(2).hex, 1, "bank\0:Credited", STATE), "a NUL"),
        ((2, one(2).hex, 1, None, STATE), "it has no topic or no state: repair or remove it"),
        ((2, one(2).hex, 1, "bank:Credited", None), "it has no topic or no state: repair or remove it"),
        ((2, "account-7", 1, "bank:Credited", STATE), "run with --ids text"),
        (
            row(2, 2, 1, b"\xff" * 3_200_000),
            "its state takes 42666.. bytes, an event at most .*: keep the bulk elsewhere",
        ),
    ],
)
def test_a_row_that_cannot_be_moved_is_named_with_a_remedy_before_anything_is_written(
    bad: tuple[Any, ...], said: str, old: Callable[..., str], database_url: str
):
    address = old(row(1, 1, 3), bad)

    with pytest.raises(MoveFailed, match=f"Bank, notification 2, aggregate .* version {bad[2]}: .*{said}"):
        move(database_url, "Bank", address=address)
    assert [] == everything(database_url)


def test_all_such_rows_are_named_at_once_up_to_a_limit(old: Callable[..., str], database_url: str):
    address = old(*[(number, f"account-{number}", 1, "bank:Credited", STATE) for number in range(1, 151)])

    with pytest.raises(MoveFailed) as failed:
        move(database_url, "Bank", address=address)
    assert 100 + 1 == len(str(failed.value).splitlines())
    assert str(failed.value).endswith("… and 50 more like these")


def test_a_log_that_holds_other_events_of_the_application_is_refused(
    old: Callable[..., str], database_url: str, new_factory: NewFactory
):
    new_factory("Bank").application_recorder().insert_events([StoredEvent(one(7), 1, "bank:Opened", STATE)])

    with pytest.raises(
        MoveFailed, match=r"Bank, notification 1, .* in its place, at position 1, .*use another log"
    ):
        move(database_url, "Bank", address=old(row(1, 1, 1)))


def test_an_application_that_records_during_the_move_is_noticed(
    old: Callable[..., str], database_url: str, new_factory: NewFactory, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(moving, "EVENTS_PER_APPEND", 1)
    recorder = new_factory("Bank").application_recorder()
    original = Datastore.append

    def append(self: Datastore, request: Any) -> list[int]:
        positions = original(self, request)
        monkeypatch.setattr(Datastore, "append", original)
        recorder.insert_events([StoredEvent(uuid4(), 1, "bank:Opened", STATE)])
        return positions

    monkeypatch.setattr(Datastore, "append", append)
    with pytest.raises(MoveFailed, match="in its place, at position 2"):
        move(database_url, "Bank", address=old(row(1, 1, 1), row(2, 2, 1)))


def test_a_follower_that_would_be_forgotten_is_refused(half_followed: str):
    with pytest.raises(MoveFailed, match=r"table counts_tracking follows Parcels .*--follower"):
        move(half_followed, "Parcels", "Mails")
    with pytest.raises(MoveFailed, match="table mails_tracking follows Parcels"):
        move(half_followed, "Parcels", followers=["counts"])
    assert [] == everything(half_followed)


def test_a_follower_that_is_still_running_is_waited_for_no_longer_than_said(
    half_followed: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(sources, "LOCK_TIMEOUT_S", 0.1)
    with psycopg.connect(half_followed) as running:
        running.execute("update counts_tracking set notification_id = notification_id")
        with pytest.raises(MoveFailed, match=r"lock timeout: .* stop what uses it"):
            move(half_followed, "Parcels", "Mails", followers=["counts"])
    assert (
        9 == move(half_followed, "Parcels", "Mails", followers=["counts"]).applications["Mails"].counts.events
    )


def test_applications_in_files_of_their_own_are_moved_one_after_the_other(
    old: Callable[..., str], database_url: str, new_factory: NewFactory
):
    shop = old(row(3, 1, 1), row(8, 1, 2), row(9, 1, 3), name="Shop")
    bank = old(row(1, 5, 1), name="Bank", tracking=(("Shop", 8),))
    with pytest.raises(MoveFailed, match=r"Bank has processed Shop up to notification 8, .* move Shop first"):
        move(database_url, "Bank", address=bank)
    move(database_url, "Shop", address=shop)
    outcome = move(database_url, "Bank", address=bank)

    assert {"Shop": (8, 2)} == outcome.applications["Bank"].tracking
    assert 2 == new_factory("Bank").process_recorder().max_tracking_id("Shop")
    assert [
        "Bank: 1 events in the log, 1 appended now, 0 absent versions, 0 recorded since, 0 snapshots",
        "Bank follows Shop from position 2, which was notification 8",
    ] == command.lines(outcome)


def test_a_follower_in_a_file_of_its_own_is_translated_once(old: Callable[..., str], database_url: str):
    move(database_url, "Shop", address=old(row(3, 1, 1), row(8, 1, 2), row(9, 1, 3), name="Shop"))
    totals = old(name="Totals", tracking=(("Shop", 8), ("Elsewhere", 4)))
    with pytest.raises(MoveFailed, match="Totals has processed Elsewhere"):
        move(database_url, followers=["Totals"], address=totals)
    with contextlib.closing(sqlite3.connect(totals.removeprefix("sqlite:"))) as file, file:
        file.execute("delete from tracking where application_name = 'Elsewhere'")

    assert {"Totals": {"Shop": (8, 2)}} == move(database_url, followers=["Totals"], address=totals).followers
    assert {"Totals": {}} == move(database_url, followers=["Totals"], address=totals).followers
    given = {"PERSISTENCE_MODULE": "eventsourcing.sqlite", "SQLITE_DBNAME": totals.removeprefix("sqlite:")}
    with InfrastructureFactory.construct(Environment("Totals", given)) as factory:
        assert 2 == factory.tracking_recorder().max_tracking_id("Shop")
        factory.close()


def test_a_copy_of_another_moment_is_refused(old: Callable[..., str], database_url: str):
    move(database_url, "Shop", address=old(row(3, 1, 1), name="Shop"))

    with pytest.raises(MoveFailed, match="up to notification 8, but Shop was moved up to 3 only: stop both"):
        move(database_url, "Bank", address=old(row(1, 5, 1), tracking=(("Shop", 8),)))


@pytest.mark.parametrize(
    ("applications", "options", "said"),
    [
        ((), {}, "name an application"),
        (("Bank",), {"followers": ["Bank"]}, "Bank cannot both move and stay"),
        (("Bank", "Shop"), {"address": "sqlite:"}, "holds one application"),
        (("Bank",), {"address": "sqlite:/nowhere/bank.sqlite"}, "unable to open"),
        (("Bank",), {"address": "postgresql://x@127.0.0.1:1/x"}, "refused"),
        (("Bank",), {}, "no table public.bank_events"),
        (("Bank",), {"schema": "old"}, "no table old.bank_events"),
    ],
)
def test_a_wrong_call_is_refused(
    applications: tuple[str, ...], options: dict[str, Any], said: str, database_url: str, tmp_path: Path
):
    if options.get("address") == "sqlite:":
        sqlite3.connect(tmp_path / "empty.sqlite").close()
        options = {"address": f"sqlite:{tmp_path / 'empty.sqlite'}"}
    with pytest.raises(MoveFailed, match=said):
        move(database_url, *applications, **options)
