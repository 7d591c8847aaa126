"""The OpenAPI documents of both APIs, as they are served; making them needs no server."""

import json
from typing import Any

import pytest

from tests.openapi import frozen

Document = dict[str, Any]
SEEDS: dict[str, int] = {}
"""The seed of the requests that were made for each operation."""
ADDED: dict[str, list[str]] = {}
"""What each document has and its published contract has not."""


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if SEEDS:
        terminalreporter.section("seeds of requests made from the OpenAPI documents")
        for label, number in SEEDS.items():
            terminalreporter.line(f"{label}: {number}")
    if any(ADDED.values()):
        terminalreporter.section(f"added to the contracts since they were published ({frozen.COMMAND})")
        for api, additions in ADDED.items():
            for each in additions:
                terminalreporter.line(f"{api}: {each}")


@pytest.fixture(scope="session")
def documents() -> dict[str, Document]:
    """Both documents by the name of their API."""
    return {api: frozen.current(api) for api in frozen.APIS}


@pytest.fixture(params=frozen.APIS)
def document(request: pytest.FixtureRequest, documents: dict[str, Document]) -> Document:
    """One of them, to be changed at will."""
    copy: Document = json.loads(json.dumps(documents[request.param]))
    return copy
