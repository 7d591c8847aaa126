"""An older copy of the database is put back under a running shop, appended to, and only then fenced (P12).

No process is informed: APIs, relays, projections and process managers run through all of it. The copy consists of
files of a stopped server. What was acknowledged behind the copy is gone; everything else must hold on the new log and
in the new generation of topics.
"""

import contextlib
import json
import random
import shutil
import subprocess
import time
from dataclasses import dataclass

from tests.chaos import dumping
from tests.chaos.campaign import Campaign
from tests.chaos.checker import Violation
from tests.chaos.clients import Connection
from tests.chaos.laboratory import wait_until

COMMANDS = 250
STRIKES = 3
FAULTS = ("kill_all_workers", "kill_command_api", "kill_redis", "restart_postgres", "two_relays_at_once")
UNFENCED = 12
REFUSED_WITHIN_S = 60.0
NOTHING_MORE_S = 3.0
TOKENS_TRIED = 40
REPEATED = 5
REFUSES_FORK = "consumer_refuses_fork"


@dataclass
class Cut:
    """What a restore took away: what was remembered between two moments, and the log behind a position."""

    position: int
    attempts_from: int
    reads_from: int
    attempts_to: int = 0
    reads_to: int = 0

    def close(self, history):
        self.attempts_to, self.reads_to = len(history.attempts), len(history.reads)

    def lost(self, history):
        """Attempts that were accepted and are no more."""
        between = history.attempts[self.attempts_from : self.attempts_to]
        return [each for each in between if each["outcome"] == "ok" and each["position"] > self.position]

    def kept(self, history):
        """Attempts and reads that the new log must stand by."""
        return (
            history.attempts[: self.attempts_from] + history.attempts[self.attempts_to :],
            history.reads[: self.reads_from] + history.reads[self.reads_to :],
        )


def run(laboratory, *, seed):
    """Trade, copy, trade, put the copy back, append, fence, trade; the outcome of it all."""
    begun = time.monotonic()
    campaign = Campaign(laboratory)
    campaign.trade(seed=seed, commands=COMMANDS, strikes=0)
    cut = _copy(laboratory, campaign.history)
    campaign.trade(seed=seed + 1, commands=COMMANDS, strikes=STRIKES, names=list(FAULTS))
    _sent_again(campaign, rest="before")
    wrong = [dumping.settle(laboratory)]
    cut.close(campaign.history)
    carried, refusals = _ends(laboratory), _refusals(laboratory)
    _put_back(laboratory)
    wrong += _without_a_fence(laboratory, campaign, carried, refusals=refusals)
    first = _head(laboratory) + 1
    laboratory.run("log", "fence", "--reason", "the copy was put back", "--yes")
    laboratory.keep_alive()
    laboratory.wait_ready()
    wrong += _lost_positions_are_refused(laboratory, cut.lost(campaign.history), first=first)
    wrong += _sent_again(campaign, rest="after")
    campaign.trade(seed=seed + 2, commands=COMMANDS, strikes=STRIKES, names=list(FAULTS))
    outcome = campaign.judged(seed=seed, cut=cut, generation=2, topic_start=first)
    wrong += _records_of_the_old_topics(laboratory, carried)
    outcome.violations += [Violation("restore", what) for what in wrong if what]
    outcome.notes.append(
        f"restored to {cut.position}, fenced at {first}: {len(cut.lost(campaign.history))} accepted commands were lost"
    )
    outcome.seconds = time.monotonic() - begun
    return outcome


def _copy(laboratory, history):
    """The data of a server that was stopped for it; every owner and mode as it is."""
    position = _head(laboratory)
    laboratory.postgres.stop()
    _copy_files(_data(laboratory), laboratory.directory / "copy")
    laboratory.postgres.start()
    return Cut(position, len(history.attempts), len(history.reads))


def _put_back(laboratory):
    laboratory.postgres.stop()
    shutil.rmtree(_data(laboratory))
    _copy_files(laboratory.directory / "copy", _data(laboratory))
    laboratory.postgres.start()


def _data(laboratory):
    return laboratory.postgres.directory / "data"


def _copy_files(source, target):
    subprocess.run(["cp", "-a", str(source), str(target)], check=True)


def _head(laboratory):
    with laboratory.admin() as conn:
        return conn.execute("select position from log.head").fetchone()[0]


def _ends(laboratory):
    """How many records each partition of the first generation holds."""
    return dumping.ends_of(laboratory, generation=1)


def _refusals(laboratory):
    """How often a relay said that it refuses a fork."""
    return sum(process.log.read_text().count(REFUSES_FORK) for process in laboratory.of("relay"))


def _without_a_fence(laboratory, campaign, carried, *, refusals):
    """The shop goes on as if nothing were wrong: relays must see it, say so, and carry nothing."""
    client = campaign._client("unfenced", number=0)
    begun = time.monotonic()
    for number in range(UNFENCED):  # new things: what the lost end knew is contended until there is a fence
        client.send("/v1/products", {"sku": f"U{number}", "title": "SAUCER", "stocked": True})
    client.close()
    try:
        wait_until(
            lambda: _refusals(laboratory) > refusals,
            within_s=REFUSED_WITHIN_S,
            what="a relay refuses the fork",
        )
    except TimeoutError:
        yield f"no relay refused the fork within {REFUSED_WITHIN_S:.0f} s"
    campaign.history.note(
        f"the fork was refused {time.monotonic() - begun:.1f} s after the restored log was up"
    )
    time.sleep(NOTHING_MORE_S)
    if _ends(laboratory) != carried:
        yield "records of a forked log were published"


def _lost_positions_are_refused(laboratory, lost, *, first):
    """A position that is gone is answered as lost; positions that were taken again cannot be distinguished."""
    gone = [each for each in lost if each["position"] >= first]
    if not gone:
        yield "nothing was lost behind the fence: this shows nothing"
    chosen = random.Random(first).sample(gone, min(TOKENS_TRIED, len(gone)))
    with contextlib.closing(Connection(laboratory.of("query-api")[0].port)) as connection:
        wait_until(
            lambda: _answers(connection), within_s=REFUSED_WITHIN_S, what="the query API sees the fence"
        )
        for each in chosen:
            status, _, text = connection.ask("GET", "/v1/stock/P1", headers={"Min-Position": each["token"]})
            found = json.loads(text).get("code")
            if (status, found) != (410, "position-lost"):
                yield f"position {each['position']} is gone, and was answered {status} {found}"


def _answers(connection):
    status, _, _ = connection.ask("GET", "/v1/stock/P1")
    return status == 200


def _sent_again(campaign, *, rest):
    """The same commands before the restore and after it: what is gone is done again, once, as if for the first time."""
    client = campaign._client("again", number=1)
    found = []
    for number in range(REPEATED):
        client._numbers = iter([number])
        found.append(client.send(f"/v1/stock/P{number}/receipts", {"quantity": 2}))
    client.close()
    return [
        f"{rest}: {each['command']} was answered {each['answered']}"
        for each in found
        if each["outcome"] != "ok"
    ]


def _records_of_the_old_topics(laboratory, carried):
    if _ends(laboratory) != carried:
        yield "records were published to topics of the lost history"
