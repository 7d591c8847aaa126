"""`eventsourcing.dcb` on the log: the library's own cases and a course that is never overbooked."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from eventsourcing.dcb.api import DCBAppendCondition, DCBEvent, DCBQuery, DCBQueryItem, DCBRecorder
from eventsourcing.dcb.persistence import DCBInfrastructureFactory
from eventsourcing.dcb.tests import DCBRecorderTestCase
from eventsourcing.persistence import DataError, IntegrityError, ProgrammingError
from eventsourcing.utils import Environment
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from event_store.eventsourcing import boundaries
from event_store.eventsourcing_module import DCBFactory
from event_store.log import integrity
from event_store.log.appending.threaded import ThreadedWriter
from runtime import database
from tests.appends import append_request
from tests.event_store.eventsourcing.conftest import MODULE
from tests.event_store.eventsourcing.courses import COURSES_PER_STUDENT, School

STUDENTS = 40
PLACES = 10


@pytest.fixture
def new_recorder(database_url: str) -> Iterator[Callable[..., DCBRecorder]]:
    """Makes the recorder of an application by name."""
    made: list[DCBFactory] = []

    def make(name: str = "Courses") -> DCBRecorder:
        given = {"PERSISTENCE_MODULE": MODULE, "COUNTERFOIL_DATABASE_URL": database_url}
        factory: DCBFactory = DCBInfrastructureFactory.construct(Environment(name, given))  # type: ignore[assignment]
        assert isinstance(factory, DCBFactory)
        made.append(factory)
        return factory.dcb_recorder()

    yield make
    for factory in made:
        factory.close()


@pytest.fixture
def one_recorder(new_recorder: Callable[..., DCBRecorder]) -> DCBRecorder:
    return new_recorder()


def event(type_name: str, *tags: str, data: bytes = b"{}") -> DCBEvent:
    return DCBEvent(type=type_name, data=data, tags=list(tags))


def query(*items: tuple[tuple[str, ...], tuple[str, ...]]) -> DCBQuery:
    """Items of (types, tags)."""
    return DCBQuery([DCBQueryItem(list(types), list(tags)) for types, tags in items])


def test_the_librarys_own_cases_pass(new_recorder: Callable[..., DCBRecorder]):
    DCBRecorderTestCase()._test_append_read(new_recorder())
    DCBRecorderTestCase()._test_append_subscribe(new_recorder("Others"), initial_position=13)


EVENTS = st.lists(
    st.tuples(st.sampled_from("XYZ"), st.lists(st.sampled_from("abcd"), unique=True, max_size=3)),
    min_size=1,
    max_size=8,
)
QUERIES = st.lists(
    st.tuples(
        st.lists(st.sampled_from("XYZ"), max_size=2),
        st.lists(st.sampled_from("abcd"), unique=True, max_size=3),
    ),
    max_size=3,
)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(EVENTS, QUERIES, st.integers(0, 9))
def test_a_read_finds_and_a_condition_excludes_exactly_what_matches(
    one_recorder: DCBRecorder,
    events: list[tuple[str, list[str]]],
    items: list[tuple[list[str], list[str]]],
    behind: int,
):
    recorder = one_recorder
    start = recorder.read().head or 0
    given = [event(type_name, *tags) for type_name, tags in events]
    recorder.append(given)
    asked = DCBQuery([DCBQueryItem(types, tags) for types, tags in items])
    after = start + min(behind, len(events))
    matching = [
        start + number
        for number, each in enumerate(given, start=1)
        if start + number > after
        and (
            not items
            or any((not types or each.type in types) and set(tags) <= set(each.tags) for types, tags in items)
        )
    ]

    assert matching == [each.position for each in recorder.read(asked, after=after)]
    assert [given[number - start - 1] for number in matching] == [
        each.event for each in recorder.read(asked, after=after)
    ]
    condition = DCBAppendCondition(asked, after=after)
    if matching:
        with pytest.raises(IntegrityError) as refused:
            recorder.append([event("X")], condition)
        assert int(str(refused.value).split()[4]) in matching
    else:
        assert recorder.append([event("X")], condition) == start + len(events) + 1


def test_one_append_is_judged_by_what_the_same_batch_has_appended_before_it(
    new_recorder: Callable[..., DCBRecorder],
):
    recorder = new_recorder()
    once = DCBAppendCondition(query(((), ("email:a@example.org",))))

    def claim(number: int) -> bool:
        try:
            recorder.append([event(f"Claimed{number}", "email:a@example.org")], once)
        except IntegrityError:
            return False
        return True

    with ThreadPoolExecutor(16) as threads:
        assert 1 == sum(threads.map(claim, range(64)))


def test_a_course_is_never_overbooked_whoever_races(new_recorder: Callable[..., DCBRecorder]):
    recorder = new_recorder()
    boundary = query((("Enrolled",), ("course:1",)))
    full = threading.Event()

    def enrol(student: int) -> bool:
        while not full.is_set():
            found = recorder.read(boundary)
            taken = len(list(found))
            if taken == PLACES:
                full.set()
                break
            try:
                recorder.append(
                    [event("Enrolled", "course:1", f"student:{student}")],
                    DCBAppendCondition(boundary, after=found.head),
                )
            except IntegrityError:
                continue
            return True
        return False

    with ThreadPoolExecutor(8) as threads:
        assert PLACES == sum(threads.map(enrol, range(STUDENTS)))
    assert PLACES == len(list(recorder.read(boundary)))


def test_two_applications_and_the_shop_never_mix(new_recorder: Callable[..., DCBRecorder], database_url: str):
    courses, clubs = new_recorder("Courses"), new_recorder("Clubs")
    shop = ThreadedWriter(database_url)
    shop.append(append_request("order-1"))
    courses.append([event("Opened", "a")], DCBAppendCondition())
    clubs.append([event("Opened", "a")], DCBAppendCondition(query(((), ("a",)))))
    shop.close()

    assert [2] == [each.position for each in courses.read()]
    assert [3] == [each.position for each in clubs.read(query((("Opened",), ())))]
    assert [3] == [each.position for each in clubs.read(query(((), ("a",))))]


def test_a_long_read_goes_page_by_page_up_to_where_the_log_ended_then(
    new_recorder: Callable[..., DCBRecorder], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(boundaries, "EVENTS_PER_READ", 10)
    recorder = new_recorder()
    recorder.append([event("X", "a", str(number)) for number in range(35)])
    reading = recorder.read(query(((), ("a",))))
    first = [next(reading).position for _ in range(5)]
    recorder.append([event("X", "a")])

    assert list(range(1, 36)) == first + [each.position for each in reading]
    assert reading.head == 35
    with recorder.subscribe(query((("X",), ()))) as subscription:
        assert list(range(1, 37)) == [next(subscription).position for _ in range(36)]


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        (
            query(((), ("a", "b", "c", "d", "e"))),
            "an item names at most 4 tags here, not 5: .* one tag for what",
        ),
        (query(((), ("a\nb",))), "line feed"),
        (query((("a b",), ())), "holds a space"),
    ],
)
def test_what_a_query_cannot_say_here_is_refused(
    asked: DCBQuery, said: str, new_recorder: Callable[..., DCBRecorder]
):
    recorder = new_recorder()
    for refused in (
        lambda: recorder.read(asked),
        lambda: recorder.append([event("X")], DCBAppendCondition(asked)),
        lambda: recorder.subscribe(asked),
    ):
        with pytest.raises(ProgrammingError, match=said):
            refused()
    assert [] == list(recorder.read())


@pytest.mark.parametrize(
    ("refused", "said"),
    [
        (event("X", *"abcdefgh"), "at most 7 tags here, not 8"),
        (event("a b"), "'a b'"),
        (event("X", "a\nb"), "line feed"),
        (event("X", "a" * 200), "200 characters"),
    ],
)
def test_what_an_event_cannot_hold_here_is_refused(
    refused: DCBEvent, said: str, new_recorder: Callable[..., DCBRecorder]
):
    with pytest.raises(DataError, match=said):
        new_recorder().append([event("X"), refused])
    with pytest.raises(ProgrammingError, match="at least one event"):
        new_recorder().append([])
    assert [] == list(new_recorder().read())


def test_events_are_proven_and_stand_in_the_stream_of_their_first_tag(
    new_recorder: Callable[..., DCBRecorder], database_url: str
):
    new_recorder().append([event("X", "student-7", "course-1", data=b"\xff"), event("Y")])
    with database.connect(database_url, role="counterfoil_reader", name="test") as connection:
        assert () == integrity.verify_log(connection).findings
        assert [("Courses-student-7", 1), ("Courses-~", 1)] == connection.execute(
            "select stream, version from log.event order by position"
        ).fetchall()


def test_the_course_example_never_overbooks_on_the_log(log_address: str):
    with School() as school:
        assert isinstance(school.factory, DCBFactory)
        students = [school.register(f"student {number}") for number in range(6)]
        courses = [school.announce(f"course {number}", places=4) for number in range(4)]
        with ThreadPoolExecutor(8) as threads:
            joined = list(
                threads.map(
                    lambda pair: (pair, school.join(*pair)),
                    [(student, course) for course in courses for student in students],
                )
            )
        taken = [pair for pair, was_taken in joined if was_taken]

        for course in courses:
            assert sorted(student for student, each in taken if each == course) == sorted(
                school.students_of(course)
            )
            assert len(school.students_of(course)) <= 4
        for student in students:
            assert sum(each == student for each, _ in taken) <= COURSES_PER_STUDENT
        assert 4 * 4 >= len(taken) >= 4 * 3
