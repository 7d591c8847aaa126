"""The library's own test cases of persistence modules and applications, unchanged, on a real log.

Its remaining one, of transcoders, asks nothing of a persistence module.
"""

import os
from typing import ClassVar
from unittest import TestCase
from uuid import UUID, uuid4

import pytest
from eventsourcing.application import Application
from eventsourcing.persistence import (
    AggregateRecorder,
    ApplicationRecorder,
    InfrastructureFactory,
    ProcessRecorder,
    TrackingRecorder,
)
from eventsourcing.tests import application as application_cases
from eventsourcing.tests import persistence as persistence_cases
from eventsourcing.tests import projection as projection_cases
from eventsourcing.utils import Environment

from event_store.eventsourcing.recorders import (
    LogAggregateRecorder,
    LogApplicationRecorder,
    LogProcessRecorder,
    LogTrackingRecorder,
)
from event_store.eventsourcing_module import Factory

pytestmark = pytest.mark.usefixtures("log_address")


class OnALog(TestCase):
    """The factory of one application, for the life of a test."""

    name = "Cases"
    variables: ClassVar[dict[str, str]] = {}

    def setUp(self):
        self.factory = InfrastructureFactory.construct(
            Environment(self.name, {**os.environ, **self.variables})
        )
        super().setUp()

    def tearDown(self):
        super().tearDown()
        self.factory.close()


class TestEventsOfAggregates(OnALog, persistence_cases.AggregateRecorderTestCase):
    def create_recorder(self) -> AggregateRecorder:
        return self.factory.aggregate_recorder()


class TestEventsOfAggregatesWithIdsOfText(TestEventsOfAggregates):
    variables: ClassVar[dict[str, str]] = {"ORIGINATOR_ID_TYPE": "text"}

    def new_originator_id(self) -> UUID | str:
        return f"account-{uuid4()}"


class TestSnapshots(OnALog, persistence_cases.AggregateRecorderTestCase):
    def create_recorder(self) -> AggregateRecorder:
        return self.factory.aggregate_recorder(purpose="snapshots")


class TestSnapshotsWithIdsOfText(TestSnapshots):
    variables: ClassVar[dict[str, str]] = {"ORIGINATOR_ID_TYPE": "text"}

    def new_originator_id(self) -> UUID | str:
        return f"account-{uuid4()}"


class TestEventsOfAnApplication(OnALog, persistence_cases.ApplicationRecorderTestCase):
    def create_recorder(self) -> ApplicationRecorder:
        return self.factory.application_recorder()

    def test_insert_subscribe(self):
        self.optional_test_insert_subscribe()


class TestEventsOfAnApplicationWithIdsOfText(TestEventsOfAnApplication):
    variables: ClassVar[dict[str, str]] = {"ORIGINATOR_ID_TYPE": "text"}

    def new_originator_id(self) -> UUID | str:
        return f"account-{uuid4()}"


class TestNotificationsDoNotInterleave(OnALog, persistence_cases.NonInterleavingNotificationIDsBaseCase):
    def create_recorder(self) -> ApplicationRecorder:
        return self.factory.application_recorder()


class TestTracking(OnALog, persistence_cases.TrackingRecorderTestCase):
    def create_recorder(self) -> TrackingRecorder:
        return self.factory.tracking_recorder()


class TestEventsWithTracking(OnALog, persistence_cases.ProcessRecorderTestCase):
    def create_recorder(self) -> ProcessRecorder:
        return self.factory.process_recorder()


class TestEventsWithTrackingAreEventsOfAnApplication(TestEventsOfAnApplication):
    def create_recorder(self) -> ApplicationRecorder:
        return self.factory.process_recorder()


class TestEventsWithTrackingTrack(TestTracking):
    def create_recorder(self) -> TrackingRecorder:
        return self.factory.process_recorder()


class Tracker(LogTrackingRecorder):
    pass


class TestFactory(persistence_cases.InfrastructureFactoryTestCase[Factory]):
    def setUp(self):
        self.env = Environment("Cases", os.environ)
        super().setUp()

    def expected_factory_class(self) -> type[Factory]:
        return Factory

    def expected_aggregate_recorder_class(self) -> type[AggregateRecorder]:
        return LogAggregateRecorder

    def expected_application_recorder_class(self) -> type[ApplicationRecorder]:
        return LogApplicationRecorder

    def expected_tracking_recorder_class(self) -> type[TrackingRecorder]:
        return LogTrackingRecorder

    def tracking_recorder_subclass(self) -> type[TrackingRecorder]:
        return Tracker

    def expected_process_recorder_class(self) -> type[ProcessRecorder]:
        return LogProcessRecorder


class TestExampleApplication(application_cases.ExampleApplicationTestCase):
    expected_factory_topic = "event_store.eventsourcing_module:Factory"


@pytest.mark.filterwarnings("always:'log' is deprecated:DeprecationWarning")
class TestApplication(application_cases.ApplicationTestCase):
    def test_they_run_on_the_log(self):
        with Application[UUID]() as application:
            assert isinstance(application.factory, Factory)


class TestEventSourcedProjection(projection_cases.EventSourcedProjectionTestCase):
    pass
