"""The other sides of gateways answer from threads of the process of a test."""

from collections.abc import Iterator

import pytest

from commands.gateways import outside

PATIENCE_S = 60.0


@pytest.fixture(autouse=True)
def patient() -> Iterator[None]:
    """Each has a minute to answer: a busy machine may be slower than they are. Tests of limits set those they need."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(outside, "CONNECT_TIMEOUT_S", PATIENCE_S)
        patched.setattr(outside, "ANSWER_TIMEOUT_S", PATIENCE_S)
        yield
