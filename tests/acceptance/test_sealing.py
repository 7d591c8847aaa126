"""`counterfoil sealer`, killed with -9 at any moment while the log grows: all that left it is one history."""

import itertools
import random
import subprocess
import time

import pytest

from event_store.proofs import checkpoint, merkle, note
from event_store.proofs.merkle import Leaves
from tests import forking
from tests.acceptance import running
from tests.acceptance.running import PROJECT, command, environment
from tests.event_store.proofs.sealing import damage, leaves
from tests.event_store.transport.carrying import append, wait_until

pytestmark = [pytest.mark.faults, pytest.mark.slow]

KILLS = 4


def test_a_sealer_that_is_killed_again_and_again_signs_one_history(database_url, tmp_path):
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    chance = random.Random(seed)
    settings = {"COUNTERFOIL_DATABASE_URL": database_url, "COUNTERFOIL_SEAL_KEY": str(tmp_path / "seal.key")}
    generated = running.run(tmp_path, "seal-key", "generate", **settings)
    assert 0 == generated.returncode, generated.stderr
    key = note.VerifierKey.parse(generated.stdout.splitlines()[-1])
    published, seen = tmp_path / "seal" / "checkpoint", set()

    def read_published():
        if published.exists():
            seen.add(checkpoint.verified(note.parse(published.read_bytes()), [key]))
        return len(seen)

    for number in range(KILLS + 1):
        damage(database_url, "update runtime.lease set owner = null")  # instead of waiting until it runs out
        with forking.popen(
            command("sealer"),
            env=environment(tmp_path, **settings),
            cwd=PROJECT,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        ) as sealer:
            try:
                before = read_published()
                append(database_url, 700)
                wait_until(lambda before=before: read_published() > before, what="a checkpoint")
                deadline = time.monotonic() + chance.uniform(0, 1.5)
                while number < KILLS and time.monotonic() < deadline:
                    append(database_url, 400)
                    read_published()
                if number == KILLS:
                    head = len(leaves(database_url))
                    wait_until(
                        lambda head=head: read_published() and max(one.size for one in seen) == head,
                        what="the head",
                    )
            finally:
                sealer.kill()
    tree = Leaves(leaves(database_url))

    assert len(seen) > KILLS
    for each in seen:
        assert merkle.root(each.size, tree) == each.root
    for old, new in itertools.pairwise(sorted(seen, key=lambda each: each.size)):
        merkle.verify_consistency(
            old=old.size,
            old_root=old.root,
            size=new.size,
            root=new.root,
            proof=merkle.consistency_proof(old.size, new.size, tree),
        )
