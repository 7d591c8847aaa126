"""The shipped program finds it, as a process of its own, for somebody with the public key and an earlier checkpoint."""

import json
import random

import pytest

from tests import sizes
from tests.acceptance import running
from tests.tampering.manipulations import ALL
from tests.tampering.shop import KEY
from tests.tampering.tampering import tamper

CHOSEN = ALL if sizes.FULL else random.SystemRandom().sample(ALL, 3)


def ran(shop, *arguments):
    """The exit code of a command and what it says."""
    settings = {"COUNTERFOIL_DATABASE_URL": shop.url, "COUNTERFOIL_SEAL_TILES": str(shop.tiles)}
    finished = running.run(shop.tiles.parent, *arguments, **settings)
    return finished.returncode, finished.stdout


def found(shop):
    """Whether the log is found out by `audit verify --against`, or by an export and its check offline."""
    code, said = ran(shop, "audit", "verify", "--against", shop.kept, "--key", KEY.verifier, "--json")
    if code == 1:
        assert json.loads(said.splitlines()[-1])["findings"]
        return True
    bundle = shop.tiles.parent / "log.bundle"
    last = json.loads(said.splitlines()[-1])["checkpoint"]["size"]
    assert 0 == ran(shop, "audit", "export", bundle, "--from", 1, "--to", last)[0]
    return ran(shop, "audit", "check", bundle, "--key", KEY.verifier)[0] == 1


def test_a_shop_that_nobody_touched_is_not_accused(copied):
    assert not found(copied())


@pytest.mark.parametrize("manipulation", CHOSEN, ids=lambda each: each.name)
def test_it_finds_that(manipulation, copied):
    for seed in range(sizes.TAMPERINGS.full if sizes.FULL else 1):
        shop = copied()
        tamper(shop, manipulation, seed=seed)

        assert found(shop), seed
