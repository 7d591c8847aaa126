"""What commands say to a user: where views stand, what a verification found, who caused an event."""

import secrets
from types import SimpleNamespace

import pytest

from counterfoil import replaying, status, viewing
from counterfoil.contexts import CONTEXTS
from event_store.log.appending import wire
from event_store.log.envelope import (
    NEW,
    AppendRequest,
    Expectation,
    Metadata,
    NewEvent,
    encode_metadata,
    new_nonce,
)
from runtime import database
from runtime.version import version
from tests.counterfoil import commanding

STANDS = {"position": 5_000, "lag_events": 0, "lag_seconds": 0.0, "parked": 0, "stopped": None}
FOLLOWS = {"name": "order_details", "shape": 1, "build": 2, "live": True, "state": "following"}
FOLLOWS |= {"declared": True, **STANDS}


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({}, "at 5,000"),
        ({"lag_events": 1_200, "lag_seconds": 3.14}, "at 5,000, 1,200 events, 3.1 s behind"),
        ({"stopped": "it forked"}, "STOPPED at 5,000: it forked"),
        ({"stopped": "it forked", "lag_events": 7}, "STOPPED at 5,000, 7 events behind: it forked"),
    ],
)
def test_a_stopped_view_is_never_said_to_be_nothing_behind(changed, words):
    assert words == status.position_of(STANDS | changed)


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({}, "live  at 5,000"),
        ({"parked": 2}, "live  at 5,000, 2 parked"),
        ({"live": False}, "following"),
        ({"declared": False}, "live  at 5,000  DECLARED BY NO CONTEXT: nobody feeds it"),
        ({"live": False, "state": "folding", "folded_to": 3, "fold_to": 9}, "folding, 3 of 9"),
        ({"live": False, "stopped": "it forked"}, "STOPPED: it forked"),
    ],
)
def test_a_build_is_one_line(changed, words):
    (line,) = viewing.lines([FOLLOWS | changed])

    assert line.startswith("order_details s1 b2 ")
    assert line.endswith(words)


VERIFIED = {"shape": 1, "build": 2, "keys": 1_234, "digest": "ab" * 32, "position": 5_000, "differing": 0}


class Rebuilding:
    """Operators' acts of which one is a rebuild that was this far each time somebody asked."""

    def __init__(self, *seen):
        self._seen = iter(seen)

    def ask(self, _command, _target, _body):
        return 7

    def came_of(self, _position):
        state, folded_to = next(self._seen)
        return SimpleNamespace(state=state, folded_to=folded_to, fold_to=9, shape=1, build=2, outcome="")


@pytest.mark.parametrize(
    "seen",
    [[("requested", None), ("running", 3), ("done", 9)], [("done", 9)], [("running", 9), ("done", None)]],
)
def test_a_rebuild_ends_with_the_positions_that_it_folded(seen, capsys):
    viewing.rebuild(Rebuilding(*seen), "order_details")

    assert "rebuilding order_details: 9 positions in " in capsys.readouterr().err


def test_a_verification_is_shown_in_sentences():
    matches = VERIFIED | {"matches": True, "differences": []}
    differs = VERIFIED | {
        "build": 3,
        "matches": False,
        "differing": 1_500,
        "differences": ["view order_details, key 7: a row is missing"],
    }

    assert [
        "order_details s1 b2 matches the log up to 5,000: 1,234 keys, digest abababababababab",
        "order_details s1 b3 DIFFERS from the log in 1,500 keys, the first 1 are:",
        "  view order_details, key 7: a row is missing",
    ] == viewing.verified_lines({"view": "order_details", "builds": [matches, differs]})


def append(url, metadata):
    request = AppendRequest(
        key=secrets.token_bytes(16),
        fingerprint=bytes(32),
        events=(NewEvent("thing-1", "thing.happened.v1", b"{}", metadata),),
        expectations=(Expectation("thing-1", NEW),),
    )
    with database.connect(url, role="counterfoil_writer", name="test") as conn:
        wire.register(conn)
        conn.execute(wire.CALL, wire.arguments([request], epoch=1)).fetchall()


def test_a_replay_names_actor_command_and_causation(database_url, tmp_path):
    metadata = Metadata("clerk-7", "place_order", "c" * 32, new_nonce(), causation="1.42")
    append(database_url, encode_metadata(metadata))
    (step,) = replaying.history(database_url, "thing-1", contexts=CONTEXTS)
    result = commanding.run(tmp_path, "replay", "thing-1", database_url=database_url)
    as_json = commanding.run(tmp_path, "replay", "thing-1", "--json", database_url=database_url)

    assert step.metadata == metadata
    cause = f"by    clerk-7 with place_order, caused by the event at 42 (epoch 1), correlation {'c' * 32}"
    assert cause in result.stdout
    found = commanding.last_json(as_json)
    assert ("clerk-7", "place_order", "1.42") == (found["actor"], found["command"], found["causation"])


def test_metadata_that_cannot_be_read_does_not_end_a_replay(database_url, tmp_path):
    append(database_url, b"{}")
    result = commanding.run(tmp_path, "replay", "thing-1", database_url=database_url)

    assert 0 == result.exit_code
    assert "by    ? (metadata cannot be read" in result.stdout


def test_the_version_is_printed(tmp_path):
    result = commanding.run(tmp_path, "--version")

    assert (0, f"counterfoil {version()}\n") == (result.exit_code, result.stdout)
