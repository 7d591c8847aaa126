"""The OpenAPI documents of both APIs, as they are served; making them needs no server."""

import json
from typing import Any

import pytest
from pydantic import SecretStr

from counterfoil.applications import command_app, query_app
from runtime.settings import Settings

Document = dict[str, Any]
SEEDS: dict[str, int] = {}
"""The seed of the requests that were made for each operation."""
APIS = {"commands": command_app, "queries": query_app}


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if SEEDS:
        terminalreporter.section("seeds of requests made from the OpenAPI documents")
        for label, number in SEEDS.items():
            terminalreporter.line(f"{label}: {number}")


@pytest.fixture(scope="session")
def documents() -> dict[str, Document]:
    """Both documents by the name of their API."""
    settings = Settings(database_url=SecretStr("postgresql://nobody@127.0.0.1:1/none"))
    return {name: json.loads(json.dumps(make(settings).openapi())) for name, make in APIS.items()}


@pytest.fixture(params=APIS)
def document(request: pytest.FixtureRequest, documents: dict[str, Document]) -> Document:
    """One of them, to be changed at will."""
    copy: Document = json.loads(json.dumps(documents[request.param]))
    return copy
