"""The course example of dynamic consistency boundaries, as users of `eventsourcing.dcb` write it."""

from typing import ClassVar

from eventsourcing.dcb.application import DCBApplication
from eventsourcing.dcb.domain import EnduringObject, Group
from eventsourcing.dcb.msgpack import Decision, InitialDecision
from eventsourcing.domain import event
from eventsourcing.persistence import IntegrityError

COURSES_PER_STUDENT = 3


class Full(Exception):
    """The course has no place left, or the student has no time."""


class Joined(Decision):
    student: str
    course: str


class Student(EnduringObject[Decision, str]):
    class Registered(InitialDecision):
        student_id: str
        name: str

    def __init__(self, name: str) -> None:
        self.name = name
        self.courses: list[str] = []

    @event(Joined)
    def _(self, course: str) -> None:
        self.courses.append(course)


class Course(EnduringObject[Decision, str]):
    class Announced(InitialDecision):
        course_id: str
        title: str
        places: int

    def __init__(self, title: str, places: int) -> None:
        self.title = title
        self.places = places
        self.students: list[str] = []

    @event(Joined)
    def _(self, student: str) -> None:
        self.students.append(student)


class Enrolment(Group[Decision]):
    def __init__(self, student: Student, course: Course) -> None:
        self.student = student
        self.course = course

    def join(self) -> None:
        if (
            len(self.course.students) >= self.course.places
            or len(self.student.courses) >= COURSES_PER_STUDENT
        ):
            raise Full
        self.trigger_event(Joined, student=self.student.id, course=self.course.id)


class School(DCBApplication):
    env: ClassVar[dict[str, str]] = {"MAPPER_TOPIC": "eventsourcing.dcb.msgpack:MessagePackMapper"}

    def register(self, name: str) -> str:
        student = Student(name=name)
        self.repository.save(student)
        return student.id

    def announce(self, title: str, *, places: int) -> str:
        course = Course(title=title, places=places)
        self.repository.save(course)
        return course.id

    def join(self, student: str, course: str) -> bool:
        """Whether there was a place; a decision that others have overtaken is made again."""
        while True:
            enrolment = self.repository.get_group(Enrolment, student, course)
            try:
                enrolment.join()
                self.repository.save(enrolment)
            except IntegrityError:
                continue
            except Full:
                return False
            return True

    def students_of(self, course: str) -> list[str]:
        found = self.repository.get(course)
        assert isinstance(found, Course)
        return found.students
