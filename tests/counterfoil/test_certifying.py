"""Certificates of views from the command line: signed from the log, reached again from a bundle, row by row."""

import json

import psycopg
import pytest

from counterfoil.contexts import CONTEXTS
from domain.operations.events import EventSkipped
from event_store.proofs import certificate
from event_store.proofs.note import SignerKey
from projections import verifying
from tests.counterfoil import commanding
from tests.counterfoil.sealed_shop import Shop, recorded
from tests.event_store.proofs.bundling import changed
from tests.event_store.proofs.sealing import damage
from tests.examples import NOW
from tests.projections.feeding import history

VIEWS = ("order_details", "stock_level", "sales_daily", "timers_fulfilment")
STRANGER = SignerKey("counterfoil.test/stranger", bytes(32))


@pytest.fixture(scope="module")
def shop(new_database, tmp_path_factory):
    shop = Shop(new_database(), tmp_path_factory.mktemp("shop"))
    shop.record(recorded(history(21, steps=120)))
    shop.settle()
    return shop


@pytest.fixture(scope="module")
def certificates(shop):
    return {view: shop.certify(view) for view in VIEWS}


@pytest.fixture(scope="module")
def bundle(shop, certificates):
    return shop.export(*certificates.values())


def offline(shop, *arguments):
    """Somebody who has the bundle, the public key and the program."""
    return commanding.run(shop.home / "elsewhere", *arguments, "--key", shop.key)


def recompute(shop, bundle, view, *more):
    result = offline(shop, "audit", "recompute", bundle, "--view", view, "--json", *more)
    return result.exit_code, commanding.last_json(result)


@pytest.mark.parametrize("view", VIEWS)
def test_folding_the_bundle_reaches_the_root(view, shop, bundle):
    code, shown = recompute(shop, bundle, view)

    assert (0, True, []) == (code, shown["ok"], shown["findings"])
    assert shown["certified_root"] == shown["root"]
    assert shown["rows"] > 0 or view == "timers_fulfilment"


def test_memory_that_holds_fewer_rows_takes_more_passes_and_reaches_the_same_root(shop, bundle, monkeypatch):
    monkeypatch.setattr(verifying, "ROWS_PER_PASS_MAX", 5)
    monkeypatch.setattr(verifying, "FOLDED_ROWS_MAX", 12)
    again = shop.certify("order_details").read_text()

    assert (0, True) == (recompute(shop, bundle, "order_details")[0], f'"rows":{rows_of(bundle)}' in again)


def rows_of(bundle):
    (found,) = [each for each in certified_in(bundle) if each.view == "order_details"]
    return found.rows


def certified_in(bundle):
    return [
        certificate.parse(each)[1] for each in json.loads(bundle.read_bytes().splitlines()[0])["certificates"]
    ]


def harmed(lines):
    """Copies of a bundle in which one event was dropped, doubled or swapped with the next, and is numbered anew."""
    events = [at for at, line in enumerate(lines) if line.startswith(b'{"line":"event"')]
    start = next(at for at in events if b"ordering.order_placed" in lines[at] and at + 1 in events)
    dropped = [*lines[:start], *lines[start + 1 :]]
    doubled = [*lines[: start + 1], *lines[start:]]
    swapped = [*lines[:start], lines[start + 1], lines[start], *lines[start + 2 :]]
    for name, copy in (("dropped", dropped), ("doubled", doubled), ("swapped", swapped)):
        yield name, copy
        yield f"{name} and numbered anew", list(numbered(copy))


def numbered(lines):
    position = 0
    for line in lines:
        content = json.loads(line)
        if content["line"] == "event":
            position += 1
            content["position"] = content["event"]["position"] = position
        if content["line"] == "end":
            content["events"] = position
        yield json.dumps(content).encode() + b"\n"


def test_one_event_that_is_dropped_doubled_or_swapped_in_a_copy_changes_it(shop, bundle, tmp_path):
    certified = {each.size: each.log_root for each in certified_in(bundle)}
    for name, lines in harmed(bundle.read_bytes().splitlines(keepends=True)):
        copy = tmp_path / "copy.bundle"
        copy.write_bytes(b"".join(lines))
        code, shown = recompute(shop, copy, "order_details")
        kinds = {each["kind"] for each in shown["findings"]}

        assert 1 == code, name
        assert {"certificate-mismatch", "root-mismatch", "event-changed"} & kinds, name
        if "dropped" in name:  # other folds come to the same rows; the tree of events does not
            assert shown["certified_root"] != shown["root"], name
    assert 1 == len(certified)


def test_any_row_can_be_proven_and_no_other_one(shop, bundle, tmp_path):
    keys = [row for (row,) in query(shop, "select order_id from views.order_details order by order_id")]
    path = tmp_path / "row.proof"
    for key in (keys[0], keys[len(keys) // 2], keys[-1]):
        proven = offline(shop, "audit", "prove", "--row", key, "--view", "order_details", "--bundle", bundle)
        path.write_text(proven.stdout)
        checked = offline(shop, "audit", "check", path, "--json")

        assert (0, 0) == (proven.exit_code, checked.exit_code)
        checked_entry = commanding.last_json(checked)["entry"]
        assert [key] == json.loads(checked_entry)["key"]
    path.write_bytes(changed(path.read_bytes(), entry=checked_entry.replace("order", "0rder")))
    forged = offline(shop, "audit", "check", path)
    stranger = commanding.run(tmp_path, "audit", "check", path, "--key", STRANGER.verifier)
    missing = offline(shop, "audit", "prove", "--row", "none", "--view", "order_details", "--bundle", bundle)

    assert [1, 4, 4] == [forged.exit_code, stranger.exit_code, missing.exit_code]
    assert "row-changed" in forged.stdout
    assert "no row 'none'" in missing.stderr


def query(shop, statement):
    with psycopg.connect(shop.url) as conn:
        return conn.execute(statement).fetchall()


def test_a_bundle_that_ends_before_what_was_certified_is_not_held_against_it(shop, bundle, tmp_path):
    lines = bundle.read_bytes().splitlines(keepends=True)
    short = tmp_path / "short.bundle"
    short.write_bytes(b"".join([changed(lines[0], last=5), *lines[1:6]]))
    refused = offline(shop, "audit", "recompute", short, "--view", "stock_level")

    assert 4 == refused.exit_code
    assert "does not hold all of them" in refused.stderr


def test_a_view_that_is_not_what_the_log_makes_is_not_certified(shop):
    damage(shop.url, "update views.stock_level set on_hand = on_hand + 1 where sku = '85123A'")
    refused = shop.run("audit", "certify", "--view", "stock_level")
    damage(shop.url, "update views.stock_level set on_hand = on_hand - 1 where sku = '85123A'")

    assert (1, "") == (refused.exit_code, refused.stdout)
    assert "not what the log makes" in refused.stderr


def test_a_certificate_that_was_changed_or_is_of_somebody_else_proves_nothing(
    shop, bundle, certificates, tmp_path
):
    forged = tmp_path / "forged"
    forged.write_text(certificates["stock_level"].read_text().replace('"rows":', '"rows":1'))
    lines = bundle.read_bytes().splitlines(keepends=True)
    inside = tmp_path / "inside.bundle"
    inside.write_bytes(b"".join([changed(lines[0], certificates=[forged.read_text()]), *lines[1:]]))
    codes = [
        offline(
            shop, "audit", "recompute", bundle, "--view", "stock_level", "--certificate", forged
        ).exit_code,
        offline(shop, "audit", "recompute", inside, "--view", "stock_level").exit_code,
        offline(shop, "audit", "check", inside).exit_code,
        offline(shop, "audit", "recompute", bundle, "--view", "nothing").exit_code,
        commanding.run(tmp_path, "audit", "recompute", bundle, "--view", "stock_level").exit_code,
    ]

    assert [1, 1, 1, 64, 3] == codes


@pytest.fixture
def parked(database_url, tmp_path):
    """A shop in which one order cannot be folded, and another one could not, and an operator left that event out."""
    shop = Shop(database_url, tmp_path)
    events = recorded(history(21, steps=40))
    one, other = sorted({stream for stream, *_ in events if stream.startswith("order-")})[:2]
    shop.record([*events, *((stream, "ordering.order_confirmed.v1", b"{}") for stream in (one, other))])
    skip = EventSkipped(
        consumer="order_details",
        shape=CONTEXTS.view("order_details").shape,
        partition_key=other,
        position=len(events) + 2,
        actor="operator",
        reason="a test",
        skipped_at=NOW,
    )
    shop.record(recorded([("skips-order_details", skip)]))
    shop.settle()
    return shop, one, len(events)


def test_skips_and_parked_keys_are_named_with_their_reasons(parked):
    shop, stream, events = parked
    path = shop.certify("order_details")
    _, found = certificate.parse(path.read_text())
    bundle = shop.export(path)
    code, shown = recompute(shop, bundle, "order_details")

    assert (events + 2,) == found.skips
    assert [(stream, events + 1)] == [(each.partition_key, each.position) for each in found.parked]
    assert "MalformedEvent" in found.parked[0].reason
    assert (2, []) == (code, shown["findings"])
