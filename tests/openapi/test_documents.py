"""Both OpenAPI documents keep rules that a generated client builds on. Each rule is shown to bite."""

import re

import pytest

METHODS = {"get", "head", "post"}
VERBS = {
    "abort",
    "add",
    "adjust",
    "apply",
    "archive",
    "assign",
    "attach",
    "authorise",
    "cancel",
    "capture",
    "change",
    "check",
    "choose",
    "complete",
    "create",
    "discontinue",
    "define",
    "drop",
    "end",
    "erase",
    "exchange",
    "export",
    "get",
    "grant",
    "head",
    "hold",
    "issue",
    "lift",
    "list",
    "lock",
    "merge",
    "move",
    "open",
    "pause",
    "place",
    "promote",
    "publish",
    "quote",
    "rebuild",
    "receive",
    "record",
    "refund",
    "redeem",
    "register",
    "release",
    "remove",
    "reprice",
    "request",
    "resume",
    "retire",
    "retry",
    "revise",
    "revoke",
    "roll",
    "send",
    "set",
    "settle",
    "ship",
    "start",
    "skip",
    "store",
    "unlink",
    "unlock",
    "unpublish",
    "void",
    "withdraw",
}
OBJECT = {"type": "object", "properties": {"placed_at": {"type": "string"}}}


def operations(document):
    for path, item in document["paths"].items():
        for method, operation in item.items():
            yield f"{method} {path}", operation


def nodes(value, place=""):
    """Every object of a document, with where it stands."""
    if isinstance(value, dict):
        yield place, value
        for name, member in value.items():
            yield from nodes(member, f"{place}/{name}")
    elif isinstance(value, list):
        for index, member in enumerate(value):
            yield from nodes(member, f"{place}/{index}")


def resolve(document, reference):
    found = document
    for step in reference.removeprefix("#/").split("/"):
        found = found.get(step, {})
    return found


def parameters(document, operation):
    return [resolve(document, each["$ref"]) if "$ref" in each else each for each in operation["parameters"]]


def dangling_references(document):
    for place, node in nodes(document):
        if "$ref" in node and not resolve(document, node["$ref"]):
            yield place


def inlined_schemas(document):
    """Bodies are a component, a list of one, or text."""
    for where, operation in operations(document):
        bodies = [operation.get("requestBody", {}), *operation["responses"].values()]
        for body in bodies:
            for content in body.get("content", {}).values():
                schema = content["schema"].get("items", content["schema"])
                if "$ref" not in schema and schema.get("type") != "string":
                    yield where
    for name, component in document["components"]["schemas"].items():
        yield from (f"{name}{place}" for place, node in nodes(component) if place and "properties" in node)


def second_problems(document):
    for where, operation in operations(document):
        for status, response in operation["responses"].items():
            if status < "4" or "content" not in response:
                continue
            if response["content"].keys() != {"application/problem+json"} or [
                content["schema"] for content in response["content"].values()
            ] != [{"$ref": "#/components/schemas/Problem"}]:
                yield f"{where} {status}"


def headers_in_place(document):
    """Headers are components, and none is a list."""
    for where, operation in operations(document):
        for response in operation["responses"].values():
            yield from (f"{where} {name}" for name, each in response["headers"].items() if "$ref" not in each)
        for each in operation["parameters"]:
            if each.get("in") == "header":
                yield f"{where} {each['name']}"
    for name, each in document["components"]["parameters"].items():
        if each["in"] == "header" and each["schema"].get("type") != "string":
            yield name


def unnamed_operations(document):
    """An operation has an id of its own that begins with a verb, and a tag that the document declares."""
    tags = {each["name"] for each in document["tags"]}
    seen = set()
    for where, operation in operations(document):
        name = operation["operationId"]
        if name in seen or name.partition("_")[0] not in VERBS or not tags.issuperset(operation["tags"]):
            yield where
        seen.add(name)


def times_without_format(document):
    formats = {"_at": "date-time", "day": "date"}
    for place, node in nodes(document["components"]["schemas"]):
        for name, member in node.get("properties", {}).items():
            for ending, form in formats.items():
                if re.search(rf"(^|\w){ending}$", name) and "days" not in name and form not in str(member):
                    yield f"{place}/{name}"


def unbounded_ids(document):
    for where, operation in operations(document):
        for each in parameters(document, operation):
            if each["in"] == "path" and not {"pattern", "maxLength"} & each["schema"].keys():
                yield where
    for place, node in nodes(document["components"]["schemas"]):
        if node.get("additionalProperties") is False:  # bodies
            for name, member in node["properties"].items():
                if (name == "sku" or name.endswith("_id")) and not re.search("pattern|maximum", str(member)):
                    yield f"{place}/{name}"


def undeclared_statuses(document):
    """What the pipeline may answer is declared for every route, and so is what a read by id may."""
    for where, operation in operations(document):
        always = {"400", "403", "500", "503"}
        named = {each["name"] for each in parameters(document, operation)}
        if "If-None-Match" in named:
            always |= {"304", "404"}
        if not always <= operation["responses"].keys():
            yield where
    for path, item in document["paths"].items():
        if "304" in item.get("get", {}).get("responses", {}) and "head" not in item:
            yield f"head {path}"


def callers_unsaid(document):
    """Without accounts anybody may call, with them holders of a token; a document says both."""
    if document.get("security") != [{}, {"token": []}]:
        yield "security"


def plant(document, path, value):
    *steps, last = path
    for step in steps:
        document = next(iter(document.values())) if step == "*" else document[step]
    document[last] = value


KEY = {"$ref": "#/components/parameters/Idempotency-Key"}
SCHEMAS = ("components", "schemas")
OPERATION = ("paths", "*", "*")
PROBLEM = (*OPERATION, "responses", "400", "content", "application/problem+json", "schema")
RULES = [
    (dangling_references, PROBLEM, {"$ref": "#/components/schemas/Nothing"}),
    (inlined_schemas, PROBLEM, OBJECT),
    (second_problems, PROBLEM, {"$ref": "#/components/schemas/Fault"}),
    (headers_in_place, ("components", "parameters", "traceparent", "schema"), {"type": "array"}),
    (unnamed_operations, (*OPERATION, "operationId"), "order_details"),
    (times_without_format, (*SCHEMAS, "Planted"), OBJECT),
    (unbounded_ids, (*OPERATION, "parameters"), [{"name": "id", "in": "path", "schema": {}}]),
    (undeclared_statuses, (*OPERATION, "responses"), {"200": {}}),
    (callers_unsaid, ("security",), []),
]
NAMES = [rule.__name__ for rule, _, _ in RULES]


@pytest.mark.parametrize(
    ("shape", "member"),
    [("PlaceOrder", "order_id"), ("OpenCart", "cart_id"), ("CreatePayment", "payment_id")],
)
def test_an_id_that_no_buyer_chooses_says_so(documents, shape, member):
    described = documents["commands"]["components"]["schemas"][shape]["properties"][member]

    assert "customers and guests leave it out" in described["description"]


@pytest.mark.parametrize("rule", [rule for rule, _, _ in RULES], ids=NAMES)
def test_a_document_keeps_every_rule(document, rule):
    assert [] == list(rule(document))


@pytest.mark.parametrize(("rule", "path", "fault"), RULES, ids=NAMES)
def test_every_rule_finds_what_breaks_it(document, rule, path, fault):
    plant(document, path, fault)

    assert list(rule(document))


def test_every_command_has_an_entry_of_its_own_in_a_batch(documents):
    document = documents["commands"]
    schemas = document["components"]["schemas"]
    bodies = {
        operation["operationId"]: operation["requestBody"]["content"]["application/json"]["schema"]
        for _, operation in operations(document)
        if not {"identity", "media"} & set(operation["tags"]) and KEY in operation["parameters"]
    }
    entries = [resolve(document, each["$ref"])["properties"] for each in schemas["BatchEntry"]["oneOf"]]

    assert bodies == {each["command"]["const"]: each["body"] for each in entries}
    assert bodies.keys() == schemas["BatchEntry"]["discriminator"]["mapping"].keys()
