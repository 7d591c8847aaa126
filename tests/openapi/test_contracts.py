"""What clients were made for goes on working: the documents are compared with those that were published last."""

import copy
import datetime as dt
import json

import pytest

from runtime.version import version
from tests.openapi import frozen
from tests.openapi.comparing import compare
from tests.openapi.conftest import ADDED

TODAY = dt.date(2026, 7, 1)
ORDERS = ("paths", "/v1/orders", "get")
HISTORY = ("paths", "/v1/streams/{stream}/events", "get")
PLACE = ("paths", "/v1/orders", "post")
SCHEMAS = ("components", "schemas")
ORDER = (*SCHEMAS, "OrderDetails")
LINE = (*SCHEMAS, "Line")
PRODUCT = (*SCHEMAS, "CreateProduct")
GONE = object()


@pytest.mark.parametrize("api", frozen.APIS)
def test_nothing_that_clients_rely_on_has_changed_since_the_contract_was_published(api, documents):
    published = frozen.frozen(api)
    changes = compare(published, documents[api], today=dt.datetime.now(dt.UTC).date())
    additions = [str(each) for each in changes if not each.breaking]
    ADDED[api] = additions

    assert [] == [str(each) for each in changes if each.breaking], (
        "give the paths a new version, or leave the old one as it is"
    )
    if published["info"]["version"] != documents[api]["info"]["version"]:
        assert not additions, f"a release publishes what was added: {frozen.COMMAND}"


@pytest.mark.parametrize("api", frozen.APIS)
def test_a_document_says_which_version_serves_it(api, documents):
    assert version() == documents[api]["info"]["version"]


@pytest.mark.parametrize("api", frozen.APIS)
def test_a_published_contract_is_kept_as_the_command_writes_it(api):
    text = frozen.path_of(api).read_text()

    assert text == frozen.text_of(json.loads(text))


def planted(document, path, value):
    changed = copy.deepcopy(document)
    *steps, last = path
    place = changed
    for step in steps:
        place = place[step]
    if value is GONE:
        del place[last]
    elif isinstance(place, list):
        place.insert(last, value)
    else:
        place[last] = value
    return changed


OPTIONAL = {"name": "colour", "in": "query", "schema": {"type": "string"}}
BREAKING = {
    "an operation is removed": ("queries", ORDERS, GONE, "GET /v1/orders: the operation is gone"),
    "a path is renamed": ("commands", ("paths", "/v1/credit-notes"), GONE, "the operation is gone"),
    "a function of clients is renamed": ("queries", (*ORDERS, "operationId"), "orders", "operationId is orders"),
    "a module of clients is renamed": ("queries", (*ORDERS, "tags"), ["sales"], "tags is ['sales']"),
    "a parameter is removed": ("queries", (*ORDERS, "parameters", 0), GONE, "the parameter query customer is gone"),
    "a parameter becomes required": (
        "queries", (*ORDERS, "parameters", 0, "required"), True, "query customer is required now",
    ),
    "a required parameter is new": (
        "queries", (*ORDERS, "parameters", 0), OPTIONAL | {"required": True}, "a new required parameter query colour",
    ),
    "a parameter takes fewer values": (
        "queries", (*ORDERS, "parameters", 1, "schema", "enum"), ["placed"], "values are gone: ['cancelled'",
    ),
    "a limit is lowered": ("queries", (*HISTORY, "parameters", 2, "schema", "maximum"), 50, "maximum is 50 instead"),
    "a limit appears": ("queries", (*ORDERS, "parameters", 0, "schema", "maxLength"), 9, "maxLength is 9 instead"),
    "a default is another": ("queries", (*HISTORY, "parameters", 2, "schema", "default"), 50, "the default is 50"),
    "a pattern is another": ("commands", (*LINE, "properties", "sku", "pattern"), "^a$", "the pattern is ^a$"),
    "a member of a body is removed": ("commands", (*LINE, "properties", "unit_price"), GONE, "the member is gone"),
    "a member of a body becomes required": (
        "commands", (*LINE, "required"), ["sku", "quantity", "unit_price"], "unit_price: the member is always there",
    ),
    "a member of a body has another type": (
        "commands", (*LINE, "properties", "quantity", "type"), "string", "the type is string instead of integer",
    ),
    "a member of a body may no longer be null": (
        "commands", (*PRODUCT, "properties", "unit_price"), {"type": "string"}, "null is no alternative any more",
    ),
    "a body has another media type": (
        "commands", (*PLACE, "requestBody", "content"), {"text/csv": {"schema": {}}}, "application/json is gone",
    ),
    "a command of a batch is removed": ("commands", (*SCHEMAS, "BatchEntry", "oneOf", 0), GONE, "no alternative any"),
    "a member of an answer is removed": ("queries", (*ORDER, "properties", "total"), GONE, "the member is gone"),
    "a member of an answer may be absent": ("queries", (*ORDER, "required", 0), GONE, "may be left out now"),
    "a member of an answer may be null": (
        "queries", (*ORDER, "properties", "total"), {"anyOf": [{"type": "integer"}, {"type": "null"}]},
        "null is an alternative now",
    ),
    "a member of an answer has more values": (
        "queries", (*ORDER, "properties", "status", "enum", 0), "lost", "values are added: ['lost']",
    ),
    "a time of an answer is any text": (
        "queries", (*ORDER, "properties", "placed_at", "format"), GONE, "the format is None instead of date-time",
    ),
    "a type of an answer is renamed": (
        "queries", (*ORDERS, "responses", "200", "content", "application/json", "schema", "$ref"),
        "#/components/schemas/OrderDetails", "the type is called OrderDetails instead of OrdersPage",
    ),
    "a success is answered otherwise": ("commands", (*PLACE, "responses", "201"), GONE, "201 is no longer answered"),
    "a header of an answer is removed": (
        "commands", (*PLACE, "responses", "201", "headers", "Position"), GONE, "the header Position is gone",
    ),
    "a problem is renamed": (
        "commands",
        (*PLACE, "responses", "422", "content", "application/problem+json", "examples", "unknown-sku"),
        GONE, "the problem unknown-sku is no longer 422",
    ),
    "callers have to say who they are": ("queries", ("security",), [{"token": []}], "have to say who they are"),
}  # fmt: skip
ADDITIONS = {
    "an operation": ("queries", ("paths", "/v1/planted"), {"get": {"operationId": "get_planted"}}),
    "a parameter that may be absent": ("queries", (*ORDERS, "parameters", 0), OPTIONAL),
    "a member of a body that may be absent": ("commands", (*LINE, "properties", "colour"), {"type": "string"}),
    "a member of an answer": ("queries", (*ORDER, "properties", "colour"), {"type": "string"}),
    "a value that is taken": ("queries", (*ORDERS, "parameters", 1, "schema", "enum", 0), "lost"),
    "a higher limit": ("queries", (*HISTORY, "parameters", 2, "schema", "maximum"), 500),
    "a header of an answer": ("queries", (*ORDERS, "responses", "200", "headers", "Colour"), {"schema": {}}),
    "a problem": (
        "queries", (*ORDERS, "responses", "400", "content", "application/problem+json", "examples", "new"), {},
    ),
    "fewer values of an answer": ("queries", (*ORDER, "properties", "status", "enum"), ["placed"]),
}  # fmt: skip


@pytest.mark.parametrize(("api", "path", "value", "said"), BREAKING.values(), ids=BREAKING)
def test_what_would_break_a_client_is_found(api, path, value, said, documents):
    changed = planted(documents[api], path, value)

    broken = [str(each) for each in compare(documents[api], changed, today=TODAY) if each.breaking]

    assert any(said in each for each in broken), broken


@pytest.mark.parametrize(("api", "path", "value"), ADDITIONS.values(), ids=ADDITIONS)
def test_what_is_added_breaks_no_client_and_is_named(api, path, value, documents):
    changed = planted(documents[api], path, value)

    found = compare(documents[api], changed, today=TODAY)

    assert found
    assert [] == [str(each) for each in found if each.breaking]


def test_words_for_people_are_no_part_of_the_contract(document):
    changed = json.loads(json.dumps(document).replace('"description": "', '"description": "Lo, '))

    assert [] == compare(document, changed, today=TODAY)
    assert frozen.text_of(document) == frozen.text_of(changed)


@pytest.mark.parametrize(("sunset", "breaking"), [("2026-07-02", True), ("2026-07-01", False)])
def test_an_operation_may_go_when_the_day_has_come_that_was_announced(sunset, breaking, documents):
    announced = planted(documents["queries"], (*ORDERS, "x-sunset"), sunset)

    [change] = compare(announced, planted(announced, ORDERS, GONE), today=TODAY)

    assert breaking is change.breaking
