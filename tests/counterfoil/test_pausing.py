"""`counterfoil pause` and `resume` on a database on which nothing runs: acts that name the operator."""

import re

from event_store.consumers import pausing
from event_store.log import reading
from event_store.log.envelope import decode_metadata
from runtime import database
from tests.counterfoil import commanding


def paused(url):
    with database.connect(url, role="counterfoil_reader", name="test") as conn:
        return pausing.names(conn)


def test_a_consumer_is_paused_and_resumed_from_the_command_line(database_url, tmp_path):
    def run(*arguments):
        return commanding.run(tmp_path, *arguments, database_url=database_url)

    first = run("pause", "timers", "--as", "jo", "--reason", "a drill")
    meanwhile, shown = paused(database_url), run("status").stdout
    again = run("pause", "timers")
    resumed = run("resume", "timers", "--as", "jo")
    refused = [run("resume", "timers"), run("pause", "acts")]

    assert ("timers is paused\n", "timers is paused\n", "timers goes on\n") == (
        first.stdout,
        again.stdout,
        resumed.stdout,
    )
    assert re.search(r"^paused +timers +since .*, by the act at 1$", shown, re.MULTILINE)
    assert "paused" not in run("status").stdout
    assert ({"timers"}, set()) == (meanwhile, paused(database_url))
    assert [1, 1] == [each.exit_code for each in refused]
    assert "timers is not paused" in refused[0].stderr
    assert "there is no consumer acts that can be paused; there are " in refused[1].stderr
    with database.connect(database_url, role="counterfoil_reader", name="test") as conn:
        events = reading.read_stream(conn, "pauses-timers")
    assert ["operator:jo"] * 2 == [decode_metadata(each.metadata).actor for each in events]
