"""One laboratory for the tests of the gate: starting it takes longer than most of them."""

import random
import shutil
import tempfile
from pathlib import Path

import pytest

from tests.chaos.laboratory import Laboratory


@pytest.fixture(scope="session")
def fresh_seed():
    return random.SystemRandom().randrange(2**32)


@pytest.fixture(scope="module")
def laboratory(settings, fresh_seed):
    directory = Path(tempfile.mkdtemp(prefix="counterfoil-chaos-"))
    with Laboratory(directory, settings=settings, seed=fresh_seed) as made:
        yield made
    shutil.rmtree(directory, ignore_errors=True)
