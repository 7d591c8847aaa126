"""Requests made from both OpenAPI documents, well and badly formed: every answer is one that its document declares.

Half of those that an operation gets are well formed. The
seed of each operation is printed at the end of the run and hangs on that of pytest-randomly alone.
"""

import copy
import random

import pytest
import schemathesis
from anyio.from_thread import start_blocking_portal
from hypothesis import HealthCheck, given, seed, settings
from schemathesis import GenerationMode
from schemathesis.checks import CHECKS
from schemathesis.core.failures import FailureGroup

from counterfoil.contexts import CONTEXTS
from tests.commands.serving import serving
from tests.openapi.conftest import SEEDS
from tests.projections.feeding import append, feeding, history, publish, settle
from tests.sizes import REQUESTS

EXAMPLES = REQUESTS.chosen
MODES = (GenerationMode.POSITIVE, GenerationMode.NEGATIVE)
ROLES = {"commands": "command-api", "queries": "query-api"}

# No schema says that a SKU exists, that a price needs a currency, or which text is a token that was issued here.
UNSAYABLE = ["positive_data_acceptance"]
# A batch answers 200, and each of its commands with a status of its own.
OF_ENTRIES = ["negative_data_rejection"]


@pytest.fixture(scope="module")
def addresses(new_database):
    """Both APIs as processes on the log of a small shop, by name."""
    url = new_database()
    settle(url)
    append(url, history(seed=7))
    with feeding(url, CONTEXTS.views) as feeder, start_blocking_portal() as portal:
        publish(url)
        feeder.catch_up()
        with (
            portal.wrap_async_context_manager(serving(url, role=ROLES["commands"])) as commands,
            portal.wrap_async_context_manager(serving(url, role=ROLES["queries"])) as queries,
        ):
            yield {"commands": commands.url, "queries": queries.url}


def operations_of(document):
    return [result.ok() for result in schemathesis.openapi.from_dict(document).get_all_operations()]


def examine(operation, address):
    """Send examples of both kinds and hold every answer against the document; how many there were."""
    number = random.randrange(2**32)
    SEEDS[operation.label] = number
    left_out = UNSAYABLE + (OF_ENTRIES if operation.path == "/v1/commands" else [])
    checks = CHECKS.get_by_names([name for name in CHECKS.get_all_names() if name not in left_out])
    sent = 0
    for mode in MODES:

        @seed(number)
        @settings(
            max_examples=EXAMPLES // len(MODES),
            deadline=None,
            database=None,
            suppress_health_check=list(HealthCheck),
        )
        @given(case=operation.as_strategy(generation_mode=mode))
        def ask(case):
            nonlocal sent
            sent += 1
            case.call_and_validate(base_url=address, checks=checks)

        ask()
    return sent


@pytest.mark.parametrize("api", ROLES)
def test_every_answer_is_one_that_the_document_declares(documents, addresses, api):
    for operation in operations_of(documents[api]):
        assert EXAMPLES <= examine(operation, addresses[api]), operation.label


def test_a_status_that_is_not_declared_is_found(documents, addresses):
    planted = copy.deepcopy(documents["queries"])
    get = planted["paths"]["/v1/orders/{order_id}"]["get"]
    del get["responses"]["404"]
    planted["paths"] = {"/v1/orders/{order_id}": {"get": get}}
    [operation] = operations_of(planted)

    with pytest.raises(FailureGroup, match=r"Undocumented status code\s+Received: 404"):
        examine(operation, addresses["queries"])
