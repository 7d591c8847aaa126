"""Generations in a real database: how they begin, what they bound, and the fence."""

import psycopg
import pytest

from event_store.log import cutting, reading
from event_store.log.appending import wire
from event_store.transport import generations
from event_store.transport.partitioning import PARTITIONS
from runtime import database
from tests.event_store.transport import carrying


@pytest.fixture
def relay_conn(database_url):
    with database.connect(database_url, role="counterfoil_relay", name="test") as conn:
        yield conn


def settle(conn, **changed):
    wanted = {"carrier": "kafka", "partitions": PARTITIONS}
    return generations.settle(conn, **{**wanted, **changed})


def test_a_migrated_database_has_a_first_generation_from_position_1(relay_conn):
    generation = generations.current_generation(relay_conn)
    published = generations.published(relay_conn, generation=1)

    assert (1, 12, 1) == (generation.generation, generation.partitions, generation.start_position)
    assert dict.fromkeys(range(generation.partitions), 0) == published.partitions


def test_the_first_to_settle_names_its_carrier_without_a_new_generation(relay_conn):
    settled = settle(relay_conn)

    assert (1, "kafka") == (settled.generation, settled.carrier)
    assert settled == settle(relay_conn)


@pytest.mark.parametrize("change", [{"carrier": "local"}, {"partitions": 5}])
def test_other_properties_are_a_new_generation_behind_the_log(relay_conn, database_url, change):
    settle(relay_conn)
    carrying.append(database_url, 7)
    settled = settle(relay_conn, **change)
    published = generations.published(relay_conn, generation=2)

    assert (2, 8) == (settled.generation, settled.start_position)
    assert (7, {7}) == (published.position, set(published.partitions.values()))
    assert 2 == generations.published(relay_conn, generation=1).newest


def test_a_generation_that_is_not_there_is_said_so(relay_conn):
    with pytest.raises(generations.NoGeneration):
        generations.published(relay_conn, generation=9)
    with pytest.raises(generations.NoGeneration):
        generations.generation_numbered(relay_conn, generation=9)


def test_an_event_behind_the_start_is_seen_only_together_with_its_generation(relay_conn, database_url):
    carrying.append(database_url, 3)
    with carrying.owner(database_url) as conn, conn.transaction():
        conn.execute("select transport.begin_generation(12, null, 'test')")
        impatient = f"{database_url} options='-c lock_timeout=100ms'"
        with pytest.raises(psycopg.errors.LockNotAvailable):
            carrying.append(impatient, 1)

    assert 4 == generations.frame(relay_conn, generation=1).end
    assert generations.frame(relay_conn, generation=2).end is None


def test_a_fence_raises_the_epoch_and_begins_a_generation_and_empties_the_documents(relay_conn, database_url):
    settle(relay_conn)
    carrying.append(database_url, 5)
    emptied = []
    with carrying.owner(database_url) as conn:
        fenced = generations.fence(conn, reason="restored", empty_documents=lambda: emptied.append(True))
        head = reading.head(conn)
        epochs = generations.epochs(conn)

    begun = fenced.generation
    assert (2, 6, "kafka") == (begun.generation, begun.start_position, begun.carrier)
    assert (5, 2, 2) == (head.position, head.epoch, fenced.epoch)
    assert 0 == fenced.outcomes_removed
    assert (1, 2) == (epochs.at(5), epochs.at(6))
    assert [True] == emptied


def test_a_writer_of_the_old_epoch_is_refused_after_a_fence(database_url):
    with carrying.owner(database_url) as conn:
        generations.fence(conn, reason="restored", empty_documents=lambda: None)

    with pytest.raises(psycopg.errors.DatabaseError) as refused:
        carrying.append(database_url, 1, epoch=1)
    assert wire.WRONG_EPOCH == refused.value.sqlstate


def test_nothing_is_fenced_when_the_documents_cannot_be_emptied(database_url):
    def unreachable():
        raise ConnectionError("no document cache")

    with carrying.owner(database_url) as conn:
        with pytest.raises(ConnectionError):
            generations.fence(conn, reason="restored", empty_documents=unreachable)

        assert 1 == reading.head(conn).epoch
        assert 1 == generations.current_generation(conn).generation


def test_of_two_epochs_that_begin_at_one_position_the_later_one_wrote_the_event():
    epochs = generations.Epochs(first_positions=(1, 6, 6), epochs=(1, 2, 3))

    assert (1, 3) == (epochs.at(5), epochs.at(6))


def test_the_next_generation_is_entered_only_when_all_partitions_stand_at_its_start(relay_conn, database_url):
    settle(relay_conn)
    carrying.append(database_url, 4)
    next_generation = settle(relay_conn, carrier="local")
    positions = {0: 4, 1: 3, 2: 4}

    assert [1] == generations.unfinished(positions, next_generation=next_generation)
    assert [] == generations.unfinished(dict.fromkeys(positions, 4), next_generation=next_generation)


@pytest.mark.parametrize("role", ["counterfoil_reader", "counterfoil_projector", "counterfoil_writer"])
def test_only_the_relay_may_begin_or_move_generations(database_url, role):
    with database.connect(database_url, role=role, name="test") as conn:
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            conn.execute("select transport.begin_generation(12, null, 'test')")
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            conn.execute("update transport.relay set position = 99")


def cut_off(database_url, head):
    """What a superuser does who takes the end of the log away and leaves everything else."""
    with psycopg.connect(database_url, autocommit=True) as admin:
        admin.execute("delete from log.event where position > %s", [head])
        admin.execute("update log.head set position = %s", [head])


def test_a_fence_removes_the_outcomes_whose_events_are_gone(database_url):
    carrying.append(database_url, 9)
    cut_off(database_url, 7)
    with carrying.owner(database_url) as conn:
        assert 2 == cutting.outcomes_beyond(conn)
        fenced = generations.fence(conn, reason="restored", empty_documents=lambda: None)
        kept = conn.execute("select max(last_position), count(*) from log.outcome").fetchone()

    assert (2, 2, 8) == (fenced.outcomes_removed, fenced.epoch, fenced.generation.start_position)
    assert (7, 7) == kept


def test_a_log_that_ends_within_a_request_is_not_fenced(database_url):
    carrying.append(database_url, 4)
    with psycopg.connect(database_url, autocommit=True) as admin:
        admin.execute("update log.outcome set last_position = 4 where last_position = 3")
        admin.execute("delete from log.outcome where first_position = 4")
    cut_off(database_url, 3)

    with (
        carrying.owner(database_url) as conn,
        pytest.raises(cutting.RequestCutInTwo, match=r"events 3 to 4.*cut the log off at 2"),
    ):
        generations.fence(conn, reason="restored", empty_documents=lambda: None)
    with carrying.owner(database_url) as conn:
        assert 1 == reading.head(conn).epoch


@pytest.mark.parametrize(
    ("head", "words"), [(3, "events up to 4 stand behind it"), (6, "the last event is 4")]
)
def test_a_head_that_is_not_at_the_last_event_is_not_fenced(database_url, head, words):
    carrying.append(database_url, 4)
    with psycopg.connect(database_url, autocommit=True) as admin:
        admin.execute("update log.head set position = %s", [head])

    with carrying.owner(database_url) as conn, pytest.raises(cutting.HeadAndEventsDiffer, match=words):
        generations.fence(conn, reason="restored", empty_documents=lambda: None)
