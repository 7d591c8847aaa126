"""Defects planted in a copy of the product, each of which the laboratory must find: who judges a shop is judged too."""

import json
import random
import tempfile
from dataclasses import dataclass
from pathlib import Path

from runtime.settings import Settings
from tests.chaos import campaign
from tests.chaos.laboratory import Laboratory, export

COMMANDS = 300
STRIKES = 5
TRIES_MAX = 3
SETTLED_WITHIN_S = 40.0


@dataclass(frozen=True)
class Mutant:
    """A defect: in files these texts are replaced, each of which must stand there; and what brings it to light.

    Where a second guard makes up for the one that is missing, or where no fault would hit the moment, `also` takes
    that guard away too or makes the moment longer.
    """

    name: str
    file: str
    replaced: tuple[tuple[str, str], ...]
    faults: tuple[str, ...]
    also: tuple[tuple[str, str, str], ...] = ()

    def edits(self):
        """(file, old text, new text), one after another."""
        return (*((self.file, old, new) for old, new in self.replaced), *self.also)


MUTANTS = (
    Mutant(
        "a reader over numbers given before the commit",
        "event_store/transport/relay.py",
        (
            (
                "        return paging.page_after(self._conn, position, rows_max=limit)\n",
                (
                    "        import random\n\n"
                    "        rows = paging.page_after(self._conn, position, rows_max=limit)\n"
                    "        return [row for row in rows if random.random() > 0.01]  # some are not committed yet\n"
                ),
            ),
            ("        if event.position != position + 1:\n", "        if event.position <= position:\n"),
        ),
        ("slow_network",),
    ),
    Mutant(
        "a checkpoint after the commit",
        "projections/performing.py",
        (
            ("            moved = self._move(plans)\n", ""),
            ("            moved.check()\n", ""),
            (
                "        moved.committed()\n",
                (
                    "        import time\n\n        time.sleep(0.3)\n        moved = self._move(plans)\n"
                    "        moved.check()\n        moved.committed()\n"
                ),
            ),
        ),
        ("kill_all_workers", "kill_projections", "kill_postgres"),
    ),
    Mutant(
        "prev ignored",
        "event_store/transport/link.py",
        (
            (
                "        elif record.prev <= last:\n",
                "        elif record.prev <= last or record.prev > last:\n",
            ),
        ),
        ("lose_unread_records",),
    ),
    Mutant(
        "repeats applied",
        "event_store/transport/link.py",
        (("        if record.position <= last:\n", "        if record.position <= 0:\n"),),
        ("kill_relay", "two_relays_at_once", "kill_all_workers", "rebalance"),
        (  # a build takes from a feed only what lies behind its checkpoint: that guard goes too
            (
                "projections/step.py",
                "        if reach is None or not reach.after <= cursor.position < reach.position:\n",
                "        if reach is None:\n",
            ),
            (
                "projections/step.py",
                (
                    "            reach.decoded_events\n            if cursor.position == reach.after\n"
                    "            else [decoded for decoded in reach.decoded_events"
                    " if decoded.position > cursor.position]\n"
                ),
                "            reach.decoded_events\n",
            ),
        ),
    ),
    Mutant(
        "a refusal from the cache",
        "commands/execution.py",
        (
            (
                "            if not attempt.fresh:\n",
                "            if False:\n",
            ),
        ),
        ("flush_redis",),
    ),
    Mutant(
        "the cache trusted after its restart",
        "read_api/reading/mirror.py",
        (
            ("        if mirrored[own] < self.required(own):\n            return None\n", ""),
            (
                (
                    "        if token is not None and any(mirrored[p] < at for p, at in token.partitions.items()):\n"
                    "            return None\n"
                ),
                "",
            ),
            (
                "        positions = {p: min(at, stood.positions[p]) for p, at in mirrored.items()}\n",
                "        positions = {p: stood.positions[p] for p in mirrored}\n",
            ),
        ),
        ("bring_redis_back_old", "cut_redis", "kill_redis"),
    ),
    Mutant(
        "a key for each branch",
        "commands/processes/deciding.py",
        (
            (
                "                key=trigger.key,\n",
                (
                    "                key=trigger.key\n"
                    "                if decision.events and not isinstance(decision, Rejected)\n"
                    "                else bytes(reversed(trigger.key)),\n"
                ),
            ),
        ),
        ("kill_processes",),
    ),
    Mutant(
        "the chain ignored and any version accepted",
        "commands/processes/deciding.py",
        (
            ("                chain=batch.number,\n", "                chain=None,\n"),
            (
                "            reached = {stream: folded for",
                (
                    "            from msgspec import structs\n\n"
                    "            anything = tuple(structs.replace(each, version=-2) for each in request.expectations)\n"
                    "            request = structs.replace(request, expectations=anything)\n"
                    "            reached = {stream: folded for"
                ),
            ),
        ),
        ("kill_processes", "kill_all_workers", "pause_processes_beyond_their_lease"),
    ),
    Mutant(
        "an outcome outside the transaction of its events",
        "event_store/sql/functions/append_batch.sql",
        (
            (
                (
                    "            as k (key, fingerprint, verdict, first_position, last_position, versions)\n"
                    "        where k.verdict = 0\n"
                ),
                (
                    "            as k (key, fingerprint, verdict, first_position, last_position, versions)\n"
                    "        where k.verdict = 0 and k.first_position % 23 <> 7\n"
                ),
            ),
        ),
        ("lose_answers", "kill_command_api"),
    ),
    Mutant(
        "position saved before the acknowledgement",
        "event_store/transport/relay.py",
        (
            (
                "        self._publisher.publish(carried.records)\n        self._stored.save(carried.state)\n",
                (
                    "        import time\n\n        self._stored.save(carried.state)\n        time.sleep(0.1)\n"
                    "        self._publisher.publish(carried.records)\n"
                ),
            ),
        ),
        ("kill_all_workers", "kill_relay"),
    ),
    Mutant(
        "a checkpoint moved from wherever it is",
        "projections/checkpoints.py",
        (
            (
                "    and c.partition = m.partition and c.revision = m.revision\n",
                "    and c.partition = m.partition\n",
            ),
            (
                " and c.generation = %(generation)s and c.partition = m.partition and c.revision = m.revision\n",
                " and c.generation = %(generation)s and c.partition = m.partition\n",
            ),
        ),
        ("pause_projections_beyond_their_session",),
        (  # most pauses would strike between two batches
            (
                "projections/performing.py",
                "    def _commit(self, plans: Sequence[Plan]) -> None:\n",
                (
                    "    def _commit(self, plans: Sequence[Plan]) -> None:\n"
                    "        import time\n\n        time.sleep(0.2)\n"
                ),
            ),
        ),
    ),
)


def plant(mutant, directory):
    """A copy of the product with the defect; its folder."""
    tree = export(directory)
    for file, old, new in mutant.edits():
        text = (tree / file).read_text()
        if text.count(old) != 1:
            raise ValueError(f"{mutant.name}: this stands {text.count(old)} times in {file}: {old!r}")
        (tree / file).write_text(text.replace(old, new))
    return tree


def hunt(mutant, *, seed):
    """Inject faults into the defective product; the outcome of the campaign."""
    directory = Path(tempfile.mkdtemp(prefix="counterfoil-mutant-"))
    tree = plant(mutant, directory / "tree")
    with Laboratory(directory, settings=Settings.load(), seed=seed, tree=tree) as laboratory:
        return campaign.run(
            laboratory,
            seed=seed,
            commands=COMMANDS,
            strikes=STRIKES,
            names=mutant.faults,
            settled_within_s=SETTLED_WITHIN_S,
        )


def hunt_all(*, seeds, chosen):
    """Hunt each; whether all were found."""
    missed = []
    for mutant in MUTANTS:
        if chosen and not any(part in mutant.name for part in chosen):
            continue
        for number in range(TRIES_MAX):
            seed = seeds[number] if number < len(seeds) else random.SystemRandom().randrange(2**32)
            outcome = hunt(mutant, seed=seed)
            laws = sorted(
                {violation.law for violation in outcome.violations} - {"settled"}
            )  # slow is not wrong
            print(json.dumps({"mutant": mutant.name, "seed": seed, "found_by": laws}), flush=True)
            for violation in outcome.violations[:2]:
                print("   ", str(violation)[:300], flush=True)
            if laws:
                break
        else:
            missed.append(mutant.name)
    print(f"not found: {missed}" if missed else "every one was found")
    return not missed
