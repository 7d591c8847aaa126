"""What the OpenAPI document says of a list."""

from typing import Any, Final

from read_api import documentation, parameters
from read_api.lists.declaring import ListOf, usual_sort
from read_api.lists.downloads import CSV, NDJSON, csv, csv_line, ndjson
from read_api.lists.requests import IDS_MAX, sorts_of
from runtime.http import contract
from runtime.http.contract import Document

PROBLEMS: Final = ("malformed-cursor", "not-acceptable", *documentation.ALWAYS)
HEADERS: Final = (*documentation.LIST_HEADERS, "Vary")


def responses(listed: ListOf) -> dict[int | str, Document]:
    """The answers of a list."""
    entry = dict(listed.documented.example)
    headers = (*HEADERS, "Pinned-Position") if listed.can_be_pinned else HEADERS
    problems = (*PROBLEMS, "pin-expired") if listed.can_be_pinned else PROBLEMS
    found = documentation.responses(
        listed.page, example={"items": [entry], "next_cursor": None}, headers=headers, problems=problems
    )
    content = found[200]["content"]
    content[NDJSON] = {"schema": {"type": "string"}, "example": ndjson([entry]).decode()}
    content[CSV] = {"schema": {"type": "string"}, "example": (csv_line(entry) + csv([entry])).decode()}
    return found


def asked(listed: ListOf) -> Document:
    """What a list takes."""
    own = [
        _parameter(each.name, listed.readers[each.name].schema, each.description, each.example)
        for each in listed.filters
    ]
    shared = ["limit", "cursor"] + ["pinned"] * listed.can_be_pinned
    freshness = contract.refer("parameters", *shared) + documentation.FRESHNESS["parameters"]
    return {"parameters": [*own, _sort(listed), *_ids(listed), *freshness]}


def _sort(listed: ListOf) -> Document:
    usual = usual_sort(listed, ())
    assert usual is not None, "a list has a sort without filters"
    combined = "; ".join(
        f"`{each.name}` with {', '.join(f'`{name}`' for name in each.filters) or 'none'}"
        for each in listed.sorts
    )
    described = f"The order; `-` before it turns it round. What it can be combined with: {combined}."
    default = f"{'-' * usual.falling}{usual.name}"
    schema = {"type": "string", "enum": sorts_of(listed)}
    return _parameter(parameters.SORT, schema, f"{described} Usually `{default}`.", default)


def _ids(listed: ListOf) -> list[Document]:
    if not listed.takes_ids:
        return []
    schema = {
        "type": "array",
        "items": {"type": "string", "pattern": listed.id_pattern},
        "minItems": 1,
        "maxItems": IDS_MAX,
    }
    described = (
        f"The entries of these ids, at most {IDS_MAX}, with commas between them; by itself. `missing` names those that"
        " have none."
    )
    return [_parameter(parameters.IDS, schema, described, list(listed.documented.example_ids), explode=False)]


def _parameter(name: str, schema: Any, description: str, example: Any, **more: Any) -> Document:
    return {
        "name": name,
        "in": "query",
        "required": False,
        "description": description,
        "schema": dict(schema),
        "example": example,
        **more,
    }
