"""Requests made from both OpenAPI documents, well and badly formed: every answer is one that its document declares.

Callers are known, and every request is the owner's, who may use every route: where callers are anonymous, the same
routes are there, and those of identity answer 404. An operation gets requests of both kinds at full size, and in the
gate of one, drawn by lot: to find out how they are made takes longer than to send them. The seed of each operation is
printed at the end of the run and hangs on that of pytest-randomly alone, as the lot does.
"""

import copy
import random
import time

import httpx
import pytest
import schemathesis
from anyio.from_thread import start_blocking_portal
from hypothesis import HealthCheck, given, seed, settings
from schemathesis import GenerationMode
from schemathesis.checks import CHECKS
from schemathesis.config import SchemathesisConfig
from schemathesis.core.failures import FailureGroup

from counterfoil import accounts
from counterfoil.contexts import CONTEXTS
from tests.commands.serving import serving
from tests.identity.conftest import accounts_on
from tests.identity.shop import EMAIL, PASSWORD, bearer
from tests.openapi.conftest import SEEDS
from tests.projections.feeding import append, feeding, history, publish, settle
from tests.sizes import FULL, REQUESTS

MODES = (GenerationMode.POSITIVE, GenerationMode.NEGATIVE)
KINDS = len(MODES) if FULL else 1
"""Of both, how many an operation gets."""
EXAMPLES_MIN = 2
"""Of each kind, however many operations share the requests of a run."""
ROLES = {"commands": "command-api", "queries": "query-api"}

# No schema says that a SKU exists, that a price needs a currency, or which text is a token that was issued here.
UNSAYABLE = ["positive_data_acceptance"]
# A batch answers 200, and each of its commands with a status of its own.
OF_ENTRIES = ["negative_data_rejection"]

# A body that is too long is refused as such, unread.
REFUSALS = ["400", "401", "403", "404", "405", "406", "409", "413", "415", "422", "428", "429", "503"]
OF_EVERY_ANSWER = {
    *("cache-control", "connection", "content-encoding", "content-length", "content-type", "date", "vary"),
    *("content-security-policy", "referrer-policy", "transfer-encoding", "x-content-type-options"),
    *("accept-ranges", "content-disposition", "last-modified"),
}
"""Headers of the protocol and of what browsers may do with an answer: no client of the document needs them."""
CONFIG = SchemathesisConfig.from_dict(
    {"checks": {"negative_data_rejection": {"expected-statuses": REFUSALS}}}
)

TOKEN_KEPT_S = 300.0
"""Half of what a token is good for."""


class Owner:
    """Who sends every request, and logs in again before a token is over."""

    def __init__(self, commands):
        self._commands = commands
        self._logged_in_at = float("-inf")
        self._token = ""

    def headers(self):
        if time.monotonic() - self._logged_in_at > TOKEN_KEPT_S:
            self._logged_in_at = time.monotonic()
            credentials = {"email": EMAIL, "password": PASSWORD}
            url = f"{self._commands}/v1/sessions"
            answer = httpx.post(url, json=credentials, trust_env=False, timeout=60)
            self._token = answer.raise_for_status().json()["access_token"]
        return bearer(self._token)


@pytest.fixture(scope="module")
def addresses(new_database, tmp_path_factory):
    """Both APIs as processes on the log of a small shop, by name."""
    url = new_database()
    settings = accounts_on(url, home=tmp_path_factory.mktemp("shop"))
    accounts.create_owner(settings, email=EMAIL, password=PASSWORD)
    given = {
        "COUNTERFOIL_HOME": str(settings.home),
        "COUNTERFOIL_IDENTITY": "accounts",
        "COUNTERFOIL_PASSWORD_MEMORY_MB": str(settings.password_memory_mb),
    }
    settle(url)
    append(url, history(seed=7))
    with feeding(url, CONTEXTS.views) as feeder, start_blocking_portal() as portal:
        publish(url)
        feeder.catch_up()
        with (
            portal.wrap_async_context_manager(serving(url, role=ROLES["commands"], given=given)) as commands,
            portal.wrap_async_context_manager(serving(url, role=ROLES["queries"], given=given)) as queries,
        ):
            yield {"commands": commands.url, "queries": queries.url}


@pytest.fixture(scope="module")
def owner(addresses):
    return Owner(addresses["commands"])


def operations_of(document):
    return [
        result.ok() for result in schemathesis.openapi.from_dict(document, config=CONFIG).get_all_operations()
    ]


@pytest.fixture(scope="module")
def examples(documents):
    """How many requests of each kind an operation gets: those of a run are shared by all operations there are."""
    operations = sum(len(operations_of(document)) for document in documents.values())
    return max(EXAMPLES_MIN, REQUESTS.chosen // operations // KINDS)


def examine(operation, address, owner, *, examples, modes=MODES):
    """Send so many examples of each kind and hold every answer against the document; how many there were."""
    number = random.randrange(2**32)
    SEEDS[operation.label] = number
    left_out = UNSAYABLE + (OF_ENTRIES if operation.path == "/v1/commands" else [])
    checks = CHECKS.get_by_names([name for name in CHECKS.get_all_names() if name not in left_out])
    sent = 0
    for mode in modes:

        @seed(number)
        @settings(
            max_examples=examples,
            deadline=None,
            database=None,
            suppress_health_check=list(HealthCheck),
        )
        @given(case=operation.as_strategy(generation_mode=mode))
        def ask(case):
            nonlocal sent
            sent += 1
            answer = case.call_and_validate(base_url=address, headers=owner.headers(), checks=checks)
            known = answer.status_code not in {401, 403} or b'"bad-credentials"' in answer.content
            assert known, "the owner may use every route"
            assert set() == undeclared_headers(operation, answer)

        ask()
    return sent


def undeclared_headers(operation, answer):
    """Headers of an answer that its document does not have; of undeclared methods it has nothing."""
    declared = operation.definition.raw["responses"].get(str(answer.status_code))
    if declared is None:
        return set()
    return {*map(str.lower, answer.headers)} - OF_EVERY_ANSWER - {*map(str.lower, declared["headers"])}


@pytest.mark.parametrize("api", ROLES)
def test_every_answer_is_one_that_the_document_declares(documents, addresses, owner, examples, api):
    for operation in operations_of(documents[api]):
        modes = random.sample(MODES, KINDS)
        sent = examine(operation, addresses[api], owner, examples=examples, modes=modes)

        assert KINDS * examples <= sent, operation.label


def test_a_status_that_is_not_declared_is_found(documents, addresses, owner, examples):
    planted = copy.deepcopy(documents["queries"])
    get = planted["paths"]["/v1/orders/{order_id}"]["get"]
    del get["responses"]["404"]
    planted["paths"] = {"/v1/orders/{order_id}": {"get": get}}
    [operation] = operations_of(planted)

    with pytest.raises(FailureGroup, match=r"Undocumented status code\s+Received: 404"):
        examine(operation, addresses["queries"], owner, examples=examples)
