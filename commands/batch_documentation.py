"""Batches in the OpenAPI document: each entry is typed by its command, each result by its outcome."""

from collections.abc import Iterable
from typing import Any, Final

from fastapi import FastAPI

from commands import limits
from commands.documentation import (
    ANSWER_HEADERS,
    KEY,
    OF_A_BATCH,
    REQUEST_HEADERS,
    TARGET,
    problem_responses,
)
from commands.identity import oauth_routes
from commands.routing import CommandRoute
from runtime.http import contract
from runtime.http.contract import Components, Document
from runtime.http.deprecation import deprecation_of

_EXAMPLE: Final[Document] = {
    "commands": [
        {
            "key": "product-1",
            "command": "create_product",
            "body": {"sku": "71053", "title": "White metal lantern", "stocked": True},
        },
        {
            "key": "price-1",
            "command": "change_price",
            "target": "71053",
            "body": {"unit_price": "3.39", "currency": "GBP"},
        },
    ]
}
_RESULTS_EXAMPLE: Final[Document] = {
    "results": [
        {
            "key": "product-1",
            "status": 201,
            "stream": "product-71053",
            "version": 1,
            "position": 1,
            "id": "71053",
        }
    ]
}

REQUEST_BODY: Final[Document] = {
    "required": True,
    "content": {"application/json": {"schema": contract.schema("Batch")}},
}
RESPONSES: Final[dict[int | str, dict[str, Any]]] = {
    **problem_responses(OF_A_BATCH),
    200: {
        "description": "One result per command, in order.",
        "headers": contract.headers("Position"),
        "content": {"application/json": {"schema": contract.schema("Results"), "example": _RESULTS_EXAMPLE}},
    },
}


def complete(document: Document, app: FastAPI) -> None:
    """Complete the document of the command API."""
    routes = [route for route in app.routes if isinstance(route, CommandRoute)]
    bodies = {route.command.name: _describe(document, route) for route in routes}
    schemas = document["components"]["schemas"]
    entries = {
        _type_name(route.command.name): _entry(route, schema=bodies[route.command.name], schemas=schemas)
        for route in routes
    }
    contract.complete(
        document,
        app,
        schemas={
            **oauth_routes.SCHEMAS,
            **entries,
            "Batch": _batch(),
            "BatchEntry": _one_of(route.command.name for route in routes),
            **_results(schemas["Accepted"]),
        },
        headers=ANSWER_HEADERS,
        parameters=REQUEST_HEADERS,
    )


def _describe(document: Document, route: CommandRoute) -> Document:
    """Correct what FastAPI says of one command; the reference to its payload."""
    operation = document["paths"][route.path]["post"]
    for parameter in operation["parameters"]:
        if parameter.get("in") == "path":
            parameter["schema"] = TARGET
    body: Document = operation["requestBody"]["content"]["application/json"]["schema"]
    if not _needs_body(body, document["components"]["schemas"]):
        operation["requestBody"].pop("required")
    return body


def _needs_body(body: Document, schemas: Components) -> bool:
    return bool(schemas[body["$ref"].rpartition("/")[2]].get("required"))


def _type_name(command: str) -> str:
    return "Batched" + command.title().replace("_", "")


def _entry(route: CommandRoute, *, schema: Document, schemas: Components) -> Document:
    command = route.command
    deprecated = {} if deprecation_of(route.endpoint) is None else {"deprecated": True}
    needed = ["target"] * (command.target is not None) + ["body"] * _needs_body(schema, schemas)
    target = {"target": {**TARGET, "description": f"The {command.target} in the address of its own route."}}
    return {
        "type": "object",
        "description": f"The command {command.name}, with a key of its own.",
        **deprecated,
        "additionalProperties": False,
        "required": ["key", "command", *needed],
        "properties": {
            "key": {**KEY, "description": "The command's idempotency key."},
            "command": {"type": "string", "const": command.name},
            **(target if command.target is not None else {}),
            "body": schema,
            "if_match": {
                "type": ["integer", "null"],
                "minimum": 0,
                "description": "The version that its stream must be at.",
            },
        },
    }


def _batch() -> Document:
    return {
        "type": "object",
        "description": "Commands that are independent of each other: each gets its own answer.",
        "additionalProperties": False,
        "required": ["commands"],
        "properties": {
            "commands": {
                "type": "array",
                "minItems": 1,
                "maxItems": limits.BATCH_COMMANDS_MAX,
                "items": contract.schema("BatchEntry"),
            }
        },
        "example": _EXAMPLE,
    }


def _one_of(commands: Iterable[str]) -> Document:
    mapping = {command: contract.schema(_type_name(command))["$ref"] for command in commands}
    return {
        "oneOf": [{"$ref": reference} for reference in mapping.values()],
        "discriminator": {"propertyName": "command", "mapping": mapping},
    }


def _results(accepted: Document) -> Components:
    """The answer of its own route, with `key` and `status`."""
    key = {"type": "string", "description": "The command's idempotency key."}
    also = {"key": key, "deprecation": contract.schema("BatchedDeprecation")}
    return {
        "Results": {
            "type": "object",
            "description": "One result per command, in order: the answer of its own route, or a problem.",
            "required": ["results"],
            "properties": {"results": {"type": "array", "items": contract.schema("Result")}},
        },
        "Result": {"oneOf": contract.refer("schemas", "BatchedAccepted", "BatchedProblem")},
        "BatchedAccepted": {
            "type": "object",
            "description": "A command of a batch was accepted.",
            "required": ["key", "status", *accepted["required"]],
            "properties": {
                **also,
                "status": {"type": "integer", "const": 201},
                **accepted["properties"],
                "replayed": {"type": "boolean", "description": "The key was known."},
            },
        },
        "BatchedProblem": {
            **contract.PROBLEM,
            "description": "A command of a batch was refused, or could not be answered.",
            "required": ["key", *contract.PROBLEM["required"]],
            "properties": {**also, **contract.PROBLEM["properties"]},
        },
        "BatchedDeprecation": {
            "type": "object",
            "description": "The command will go: what the headers of its own route would say.",
            "required": ["since"],
            "properties": {
                "since": _day("Since when it is not to be used any more."),
                "sunset": _day("When it goes."),
                "successor": {
                    "type": "string",
                    "format": "uri-reference",
                    "description": "What takes its place.",
                },
            },
        },
    }


def _day(description: str) -> Document:
    return {"type": "string", "format": "date", "description": description}
