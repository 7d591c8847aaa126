"""`parked retry` and `parked skip` succeed only when the key really went on."""

import threading

import pytest

from counterfoil import auditing, doctor
from counterfoil.acts import requesting
from counterfoil.contexts import CONTEXTS
from event_store.consumers import parking
from event_store.consumers.parking import Failure, Scope
from projections import builds
from runtime import database
from runtime.settings import Settings
from tests.commands.processes.running import register
from tests.counterfoil import commanding

VIEW = next(view for view in CONTEXTS.views if view.name == "order_details")
BUILD = Scope(VIEW.name, VIEW.shape, 1)
KEY = "order-1"
STANDS_AT = 7


@pytest.fixture
def projector(database_url):
    """Its session, in a database where one key is parked."""
    with database.connect(database_url, role="counterfoil_projector", name="test") as conn:
        conn.execute(
            "insert into views.build (view, shape, build, state) values (%s, %s, 1, 'following')",
            [VIEW.name, VIEW.shape],
        )
        park(conn, STANDS_AT)
        yield conn


def park(conn, position):
    parking.park(conn, BUILD, Failure(KEY, position, stream=KEY, version=1, type="t", reason="no such row"))


class Owner(threading.Thread):
    """Acts on the first request, as the worker that owns the key would: lets go, or parks again, and says so."""

    def __init__(self, conn, *, outcome, parks_at):
        super().__init__()
        self._conn, self._outcome, self._parks_at = conn, outcome, parks_at

    def run(self):
        while not (requests := parking.pending(self._conn, [VIEW.name])):
            pass
        parking.unpark(self._conn, BUILD, KEY)
        if self._parks_at is not None:
            park(self._conn, self._parks_at)
        for request in requests:
            parking.close(self._conn, request.request, outcome=self._outcome)


def retried(tmp_path, database_url, conn, *, outcome, parks_at=None):
    owner = Owner(conn, outcome=outcome, parks_at=parks_at)
    owner.start()
    result = commanding.run(tmp_path, "parked", "retry", VIEW.name, KEY, database_url=database_url)
    owner.join()
    return result


def test_a_retry_that_let_the_key_go_exits_0(tmp_path, database_url, projector):
    result = retried(tmp_path, database_url, projector, outcome="continued with 3 events")

    assert (0, "continued with 3 events\n") == (result.exit_code, result.stdout)


def test_a_retry_that_came_to_a_later_event_did_something(tmp_path, database_url, projector):
    result = retried(tmp_path, database_url, projector, outcome="parked again after 1 events", parks_at=8)

    assert 0 == result.exit_code


def test_a_retry_that_parked_the_key_at_the_same_event_exits_1_with_the_reason(
    tmp_path, database_url, projector
):
    words = "parked again after 0 events: KeyError"
    result = retried(tmp_path, database_url, projector, outcome=words, parks_at=STANDS_AT)

    assert (1, f"counterfoil: {words}\n") == (result.exit_code, result.stderr)


def test_a_retry_that_nobody_carries_out_exits_1_and_says_that_it_stays(
    tmp_path, database_url, projector, monkeypatch
):
    monkeypatch.setattr(requesting, "REQUEST_WITHIN_S", 0.4)
    result = commanding.run(tmp_path, "parked", "retry", VIEW.name, KEY, database_url=database_url)

    assert 1 == result.exit_code
    assert "nobody acted within" in result.stderr
    assert 1 == len(parking.pending(projector, [VIEW.name]))


@pytest.mark.parametrize(
    ("named", "actor"), [(("--as", "jo"), "operator:jo"), ((), "operator:{login}@system-user")]
)
def test_a_request_names_its_operator(tmp_path, database_url, projector, monkeypatch, named, actor):
    monkeypatch.setattr(requesting, "REQUEST_WITHIN_S", 0.4)
    monkeypatch.setenv("LOGNAME", "system-user")
    commanding.run(tmp_path, "parked", "retry", VIEW.name, KEY, *named, database_url=database_url)

    (request,) = parking.pending(projector, [VIEW.name])
    assert actor.format(login=projector.info.user) == request.actor


def test_a_name_that_a_log_is_no_place_for_is_refused(tmp_path, database_url, projector):
    result = commanding.run(
        tmp_path, "parked", "retry", VIEW.name, KEY, "--as", "Jo Smith", database_url=database_url
    )

    assert (1, True) == (result.exit_code, "'Jo Smith' is no name of an operator" in result.stderr)
    assert [] == parking.pending(projector, [VIEW.name])


def test_a_key_that_is_parked_in_builds_of_two_shapes_is_requested_for_each_of_them(
    tmp_path, database_url, projector, monkeypatch
):
    monkeypatch.setattr(requesting, "REQUEST_WITHIN_S", 0.4)
    newer = Scope(VIEW.name, VIEW.shape + 1, 2)
    for build in (BUILD, Scope(VIEW.name, VIEW.shape, 3), newer):
        parking.park(
            projector, build, Failure(KEY, STANDS_AT, KEY, version=1, type="t", reason="no such row")
        )
    commanding.run(tmp_path, "parked", "retry", VIEW.name, KEY, database_url=database_url)

    pending = parking.pending(projector, [VIEW.name])
    assert [VIEW.shape, VIEW.shape + 1] == [request.shape for request in pending]


def test_doctor_and_audit_count_keys_of_every_consumer_and_of_live_builds(tmp_path, database_url, projector):
    failure = Failure("order-9", 1, "order-9", version=1, type="t", reason="a defect")
    for consumer in ("nobody-knows", "fulfilment"):
        parking.park(projector, Scope(consumer), failure)
    builds.ensure_builds(projector, [view for view in CONTEXTS.views if view is not VIEW])
    parking.park(projector, builds.live(projector, "product_page").scope, failure)
    register(database_url)
    settings = Settings(home=tmp_path, database_url=database_url, redis_url=None)
    named = {check.name for check in doctor.examine(settings) if "parked keys" in check.message}

    assert {"consumer nobody-knows", "process fulfilment", "view product_page"} == named
    assert 3 == auditing.verify(database_url, contexts=CONTEXTS).parked


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("retry", VIEW.name, "order-2"), "order_details has nothing parked for 'order-2'"),
        (("retry", "fulfilment", "order-2"), "fulfilment has nothing parked for 'order-2'"),
        (("skip", VIEW.name, KEY, 8, "--reason", "gone"), "stands at position 7, not 8: nothing was skipped"),
        (("skip", "fulfilment", KEY, 8, "--reason", "gone"), "fulfilment has nothing parked"),
    ],
)
def test_what_there_is_nothing_to_do_for_exits_1(tmp_path, database_url, projector, arguments, words):
    result = commanding.run(tmp_path, "parked", *arguments, database_url=database_url)

    assert 1 == result.exit_code
    assert words in result.stderr
    assert [] == parking.pending(projector, [VIEW.name, "fulfilment"])
