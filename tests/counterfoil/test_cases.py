"""Cases: what concerns one stream, customer or actor, with shapes to read it by and a page to read it on."""

import json
import secrets
from html.parser import HTMLParser

import jsonschema_rs
import msgspec
import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from domain.ordering.events import Contact
from domain.sealed import KeyId, Sealed
from event_store.log.shapes import schema_of
from event_store.proofs import page
from tests.counterfoil import commanding
from tests.counterfoil.sealed_shop import Shop, recorded
from tests.customer_examples import customer_registered, erasure_requested, personal_data_erased
from tests.event_store.proofs.bundling import changed
from tests.examples import ONE_OF_EACH, placed
from tests.projections.feeding import history

HOSTILE = "</dd><script>alert(1)</script><img src=x onerror=alert(1)> \u202eevil\u200b\u0007 & \"'"
TAGS = {
    "html",
    "head",
    "meta",
    "title",
    "style",
    "body",
    "h1",
    "h2",
    "p",
    "code",
    "section",
    "dl",
    "dt",
    "dd",
    "bdi",
    "em",
}
ADA, EVE = "0198b2f46d0e7c3a9f1b2a4c6e8f0a1b", "b1a0f8e6c4a2b1f9a3c7e0d64f2b8910"
PERSONAL = ("Ada Lovelace", "ada@example.org")
DATA_KEY = AESGCM(bytes(range(32)))


def sealed(text, key_id):
    """As a keyring seals."""
    nonce = secrets.token_bytes(12)
    return Sealed(KeyId(key_id), nonce, DATA_KEY.encrypt(nonce, text.encode(), key_id.encode()))


def registered(customer_id, key_id):
    """A customer, and an order that goes to them."""
    name, email = (sealed(text, key_id) for text in PERSONAL)
    contact = Contact(name=name, email=email)
    customer = customer_registered(customer_id=customer_id, name=name, email=email)
    order = placed(order_id=f"of-{customer_id}", customer_id=customer_id, contact=contact)
    return [(f"customer-{customer_id}", customer), (f"order-of-{customer_id}", order)]


def erasing(customer_id, key_id):
    erased = {"customer_id": customer_id, "key_ids": (key_id,)}
    stream = f"customer-{customer_id}"
    return [(stream, erasure_requested(**erased)), (stream, personal_data_erased(**erased))]


@pytest.fixture(scope="module")
def shop(new_database, tmp_path_factory):
    """Orders of customers, two with personal data, and an event in which somebody tries what a browser might run."""
    shop = Shop(new_database(), tmp_path_factory.mktemp("shop"))
    shop.record(recorded([*registered("ada", ADA), *registered("eve", EVE), *erasing("eve", EVE)]))
    imitation = f"<em>sealed</em> under key <bdi>{EVE}</bdi>"
    hostile = {"name": HOSTILE, HOSTILE: [HOSTILE], "number": 2**80, "other": [imitation]}
    note = json.dumps(hostile).encode()
    shop.record([*recorded(history(5, steps=60)), ("note-<b>", "shop.<i>noted.v1", note)])
    shop.seal()
    return shop


def export(shop, tmp_path, *what):
    path = tmp_path / "a.case"
    exported = shop.run("audit", "export", path, *what)
    assert 0 == exported.exit_code, exported.stderr
    return path


def lines_of(path):
    return [json.loads(line) for line in path.read_bytes().splitlines()]


def events_of(lines):
    return [line["event"] for line in lines if line["line"] == "event"]


def check(shop, path):
    """Kinds of what is wrong, and the exit code, without the database."""
    checked = commanding.run(path.parent, "audit", "check", path, "--key", shop.key, "--json")
    return {each["kind"] for each in commanding.last_json(checked)["findings"]}, checked.exit_code


def customers(shop, tmp_path):
    """Who ordered, and in which streams."""
    path = tmp_path / "all.bundle"
    shop.run("audit", "export", path, "--from", 1, "--to", 40)
    found: dict[str, set[str]] = {}
    for event in events_of(lines_of(path)):
        if customer := json.loads(event["payload"]).get("customer_id"):
            found.setdefault(customer, set()).add(event["stream"])
    return found


def test_a_customers_case_holds_all_of_what_the_customer_is_named_in(shop, tmp_path):
    customer, streams = max(customers(shop, tmp_path).items(), key=lambda each: len(each[1]))
    path = export(shop, tmp_path, "--customer", customer)
    keys = {
        json.loads(event["metadata"]).get("partition_key", event["stream"])
        for event in events_of(lines_of(path))
    }

    assert (set(), 0) == check(shop, path)
    assert streams <= keys
    assert all(customer in path.read_text() for _ in keys)


def test_an_actors_case_holds_what_the_actor_caused(shop, tmp_path):
    path = export(shop, tmp_path, "--actor", "tester")
    events = events_of(lines_of(path))
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([changed(lines[0], subject="operator:nobody"), *lines[1:]]))

    assert len(events) > 60
    assert ({"event-changed", "page-changed"}, 1) == check(shop, path)


def test_nobody_has_a_case_who_is_named_nowhere(shop, tmp_path):
    for what in ("--customer", "--actor", "--stream"):
        refused = shop.run("audit", "export", tmp_path / "a.case", what, "nobody")
        assert 4 == refused.exit_code
        assert not (tmp_path / "a.case").exists()
    assert 64 == shop.run("audit", "export", tmp_path / "a.case", "--actor", "a", "--customer", "b").exit_code


def test_each_payload_has_the_shape_that_stands_before_it(shop, tmp_path):
    shapes, held = {}, set()
    for line in lines_of(export(shop, tmp_path, "--from", 1, "--to", 60)):
        if line["line"] == "shape":
            shapes[line["type"]] = jsonschema_rs.validator_for(json.loads(line["schema"]))
        elif line["line"] == "event":
            payload = json.loads(line["event"]["payload"])
            shapes[line["event"]["type"]].validate(payload)
            assert not shapes[line["event"]["type"]].is_valid({}), line["event"]["type"]
            held.add(line["event"]["type"])

    assert held == set(shapes)


@pytest.mark.parametrize("event", ONE_OF_EACH, ids=lambda event: type(event).__name__)
def test_every_declared_event_has_a_shape_that_says_more_than_json(event):
    name, payload, *_ = recorded([("stream-1", event)])[0][1:]
    schema = schema_of(name)
    assert schema is not None

    assert jsonschema_rs.validator_for(json.loads(schema)).is_valid(json.loads(payload))


@pytest.mark.parametrize("harm", ["changed", "dropped", "doubled", "late"])
def test_shapes_that_are_not_those_that_were_exported_are_found(harm, shop, tmp_path):
    path = export(shop, tmp_path, "--from", 1, "--to", 9)
    lines = path.read_bytes().splitlines(keepends=True)
    at = next(number for number, line in enumerate(lines) if line.startswith(b'{"line":"shape"'))
    harmed = {
        "changed": [*lines[:at], changed(lines[at], schema="{}"), *lines[at + 1 :]],
        "dropped": [*lines[:at], *lines[at + 1 :]],
        "doubled": [*lines[: at + 1], *lines[at:]],
        "late": [*lines[:at], lines[at + 1], lines[at], *lines[at + 2 :]],
    }
    path.write_bytes(b"".join(harmed[harm]))

    assert ({"shapes-changed"}, 1) == check(shop, path)


class Tags(HTMLParser):
    """What a browser would make of a page."""

    def __init__(self):
        super().__init__()
        self.tags, self.attributes, self.text = set(), set(), []

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}

    def handle_data(self, data):
        self.text.append(data)


def test_a_page_says_what_the_events_say_and_runs_nothing_of_theirs(shop, tmp_path):
    path = export(shop, tmp_path, "--stream", "note-<b>")
    (shown,) = [line["html"] for line in lines_of(path) if line["line"] == "page"]
    parsed = Tags()
    parsed.feed(shown)
    text = "".join(parsed.text)

    assert TAGS >= parsed.tags
    assert "em" not in parsed.tags, "no text of an event looks sealed"
    assert {"lang", "charset", "http-equiv", "content"} == parsed.attributes
    assert (
        "</dd><script>alert(1)</script><img src=x onerror=alert(1)> \\u{202e}evil\\u{200b}\\u{7} & \"'"
        in text
    )
    assert "payload.</dd><script>" in text
    assert "shop.<i>noted.v1" in text
    assert "default-src 'none'" in shown
    assert (set(), 0) == check(shop, path)


@pytest.mark.parametrize(
    ("customer", "key_id", "shown", "not_shown"),
    [("ada", ADA, "sealed", "erased"), ("eve", EVE, "erased", "sealed")],
)
def test_sealed_and_erased_values_are_verified_and_shown_as_such(
    customer, key_id, shown, not_shown, shop, tmp_path
):
    path = export(shop, tmp_path, "--customer", customer)
    lines = lines_of(path)
    (html,) = [line["html"] for line in lines if line["line"] == "page"]
    contact = json.loads(events_of(lines)[1]["payload"])["contact"]
    stored = msgspec.convert(contact["name"], Sealed)

    assert (set(), 0) == check(shop, path)
    assert 4 == html.count(f"<dd><em>{shown}</em> under key <bdi>{key_id}</bdi></dd>")
    assert f"<em>{not_shown}</em> under" not in html
    assert "<dt><bdi>payload.contact.email</bdi></dt><dd><em>" in html
    assert "<dt><bdi>payload.contact.address</bdi></dt><dd><bdi>null" in html
    assert contact["name"][2] not in html
    assert not [text for text in PERSONAL if text in path.read_text()]
    assert PERSONAL[0].encode() == DATA_KEY.decrypt(stored.nonce, stored.ciphertext, key_id.encode())


@pytest.mark.parametrize("member", ["name", "email"])
def test_a_sealed_value_that_was_changed_is_found_without_its_key(member, shop, tmp_path):
    path = export(shop, tmp_path, "--stream", "customer-eve")
    lines = path.read_bytes().splitlines(keepends=True)
    at = next(number for number, line in enumerate(lines) if line.startswith(b'{"line":"event"'))
    event = json.loads(lines[at])["event"]
    other = msgspec.json.encode({**json.loads(event["payload"]), member: sealed("Eve", EVE)}).decode()
    path.write_bytes(
        b"".join([*lines[:at], changed(lines[at], event={**event, "payload": other}), *lines[at + 1 :]])
    )

    assert ({"event-changed"}, 1) == check(shop, path)


def test_a_page_that_says_something_else_is_found(shop, tmp_path):
    path = export(shop, tmp_path, "--stream", "note-<b>")
    *lines, last = path.read_bytes().splitlines(keepends=True)
    shown = json.loads(lines[-1])["html"]
    found = []
    for other in (shown.replace("evil", "good"), shown.replace(page.VERSION, "counterfoil.page.v9")):
        path.write_bytes(b"".join([*lines[:-1], changed(lines[-1], html=other), last]))
        printed = commanding.run(tmp_path, "audit", "page", path, "--key", shop.key)
        found.append((check(shop, path), printed.exit_code, printed.stdout))

    assert [(({"page-changed"}, 1), 1, ""), (({"page-changed"}, 3), 3, shown)] == found


def test_the_page_is_printed_of_a_case_that_is_in_order_and_of_no_range(shop, tmp_path):
    path = export(shop, tmp_path, "--actor", "tester")
    printed = commanding.run(tmp_path, "audit", "page", path, "--key", shop.key)
    path.unlink()
    ranged = commanding.run(
        tmp_path, "audit", "page", export(shop, tmp_path, "--from", 1, "--to", 2), "--key", shop.key
    )

    assert (0, 64) == (printed.exit_code, ranged.exit_code)
    assert printed.stdout.startswith(page.BEGINNING)
    assert printed.stdout.count("<section>") > 60


def test_a_page_has_an_end(monkeypatch, shop, tmp_path):
    monkeypatch.setattr(page, "EVENTS_SHOWN_MAX", 3)
    path = export(shop, tmp_path, "--actor", "tester")
    (shown,) = [line["html"] for line in lines_of(path) if line["line"] == "page"]

    assert 3 == shown.count("<section>")
    assert "of which the first 3 are shown" in shown
    assert (set(), 0) == check(shop, path)
