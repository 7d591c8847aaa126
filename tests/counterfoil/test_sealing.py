"""Sealing from the command line: a key, a checkpoint that somebody keeps, and proofs that need nothing of ours."""

import json
import stat

import msgspec
import pytest

from counterfoil import doctor
from event_store.proofs import key_file, note, receipt
from event_store.proofs.note import SignerKey, VerifierKey
from event_store.proofs.tiles import Directory
from runtime.settings import Settings
from tests.commands.processes.running import append, placed, received
from tests.counterfoil import commanding
from tests.event_store.proofs.sealing import damage, seal
from tests.event_store.proofs.test_sealer import cut, forge

STRANGER = SignerKey("counterfoil.test/stranger", bytes(32))


def order(order_id):
    return placed(order_id, [("85123A", 1)])


class Shop:
    def __init__(self, url, home):
        self.url, self.home = url, home
        self.key_file = home / "seal.key"
        append(url, [received("85123A", 10), order("1001"), order("1002")])

    def run(self, *arguments, **settings):
        return commanding.run(self.home, *arguments, database_url=self.url, **settings)

    def seal(self):
        return seal(self.url, Directory(self.home / "seal"), *key_file.read(self.key_file))

    @property
    def public(self):
        return key_file.read(self.key_file)[0].verifier


@pytest.fixture
def shop(database_url, tmp_path):
    shop = Shop(database_url, tmp_path)
    generated = shop.run("seal-key", "generate")
    assert 0 == generated.exit_code, generated.stderr
    shop.seal()
    return shop


@pytest.fixture
def kept(shop, tmp_path):
    kept = tmp_path / "kept.checkpoint"
    kept.write_text(shop.run("audit", "checkpoint").stdout)
    return kept


def test_a_key_is_named_like_the_installation_and_is_for_its_owner_only(shop):
    shown = shop.run("seal-key", "show", str(shop.key_file)).stdout.strip()
    again = shop.run("seal-key", "generate")

    assert VerifierKey.parse(shown).name.startswith("counterfoil/")
    assert 0o600 == stat.S_IMODE(shop.key_file.stat().st_mode)
    assert "exists" in again.stderr
    assert shop.public == VerifierKey.parse(shown)


def test_no_command_prints_the_secret(shop):
    secret = shop.key_file.read_text().split("+", maxsplit=4)[4].strip()  # it may have a + itself
    assert len(secret) > 40
    for arguments in (
        ("seal-key", "show", shop.key_file),
        ("audit", "checkpoint"),
        ("config", "show"),
        ("status",),
    ):
        result = shop.run(*arguments, COUNTERFOIL_SEAL_KEY=str(shop.key_file))
        assert 0 == result.exit_code, result.stderr
        assert secret not in result.stdout + result.stderr


def test_a_log_that_nobody_touched_holds_against_a_checkpoint_that_was_kept(shop, kept):
    append(shop.url, [order("1003")])
    result = shop.run("audit", "verify", "--against", kept, "--key", shop.public, "--json")
    shown = commanding.last_json(result)

    assert {"size": 3, "holds": True, "vouched": True}.items() <= shown["checkpoint"].items()
    assert [] == shown["findings"]


def test_a_row_that_was_changed_together_with_its_leaf_is_named(shop, kept):
    forge(shop.url, position=2)
    result = shop.run("audit", "verify", "--against", kept, "--json")
    shown = commanding.last_json(result)

    assert 1 == result.exit_code
    assert (2, "seal-broken") in {(each["position"], each["kind"]) for each in shown["findings"]}
    assert not shown["ok"]


def test_without_tiles_it_is_known_that_something_was_changed_and_not_what(shop, kept):
    forge(shop.url, position=2)
    result = shop.run("audit", "verify", "--against", kept, COUNTERFOIL_SEAL_TILES=str(shop.home / "nowhere"))

    assert 1 == result.exit_code
    assert "root-mismatch" in result.stdout


def test_an_end_that_was_cut_off_is_found(shop, kept):
    damage(shop.url, "delete from log.outcome where last_position = 3")
    cut(shop.url, upto=2)
    result = shop.run("audit", "verify", "--against", kept)

    assert 1 == result.exit_code
    assert "DAMAGE at 3: log-cut: the log ends at 2, and 3 events were sealed" in result.stdout


def test_a_checkpoint_of_somebody_else_proves_nothing(shop, kept):
    forged = kept.with_name("forged")
    forged.write_text(kept.read_text().replace("\n3\n", "\n2\n"))
    unknown = shop.run("audit", "verify", "--against", kept, "--key", STRANGER.verifier)
    changed = shop.run("audit", "verify", "--against", forged)
    kept.write_text("no checkpoint")
    none = shop.run("audit", "verify", "--against", kept)

    assert [4, 1, 64] == [unknown.exit_code, changed.exit_code, none.exit_code]
    assert "is not of this text" in changed.stderr


def test_a_receipt_proves_its_event_to_whoever_trusts_the_key(shop, tmp_path):
    path = tmp_path / "order.tlog-proof"
    path.write_text(shop.run("audit", "prove", "--position", 2).stdout)
    append(shop.url, [order("1003")])
    good = commanding.run(tmp_path, "audit", "receipt", path, "--key", shop.public, "--json")
    stranger = commanding.run(tmp_path, "audit", "receipt", path, "--key", STRANGER.verifier)
    path.write_text(path.read_text().replace("index 1\n", "index 0\n"))
    changed = commanding.run(tmp_path, "audit", "receipt", path, "--key", shop.public)

    assert {"position": 2, "stream": "order-1001", "size": 3}.items() <= commanding.last_json(good).items()
    assert [0, 4, 64] == [good.exit_code, stranger.exit_code, changed.exit_code]


def test_a_receipt_of_a_changed_event_is_refused(shop, tmp_path):
    forge(shop.url, position=2)
    refused = shop.run("audit", "prove", "--position", 2)

    assert 1 == refused.exit_code
    assert "position 2" in refused.stderr


def test_what_is_not_sealed_yet_has_no_proof(shop):
    append(shop.url, [order("1003")])
    later = shop.run("audit", "prove", "--position", 4)
    never = shop.run("audit", "prove", "--position", 5)
    nowhere = shop.run("audit", "prove", "--position", 1, COUNTERFOIL_SEAL_TILES=str(shop.home / "nowhere"))

    assert [4, 4, 4] == [later.exit_code, never.exit_code, nowhere.exit_code]
    assert "3 events are sealed" in later.stderr
    assert "no event at position 5" in never.stderr


def test_an_earlier_tree_is_shown_to_be_the_beginning(shop):
    shown = commanding.last_json(shop.run("audit", "prove", "--since", 1))

    assert {"old_size", "old_root", "proof", "checkpoint"} == set(shown)
    assert 3 == int(note.parse(shown["checkpoint"]).text.split("\n")[1])
    assert 2 == len(shown["proof"])


def test_an_auditor_checks_offline_that_a_newer_checkpoint_extends_the_kept_one(shop, kept, tmp_path):
    append(shop.url, [order("1003")])
    shop.seal()
    path, other = tmp_path / "proof.json", tmp_path / "other.checkpoint"
    path.write_text(shop.run("audit", "prove", "--since", 3).stdout)
    proof = json.loads(path.read_text())
    other.write_text(proof["checkpoint"])

    def checked(key=shop.public, against=kept):
        return commanding.run(tmp_path, "audit", "extends", path, "--against", against, "--key", key)

    good, stranger, another = checked(), checked(key=STRANGER.verifier), checked(against=other)
    path.write_text(json.dumps({**proof, "proof": ["00" * 32, *proof["proof"][1:]]}))
    forged = checked()
    path.write_text("{}")

    assert [0, 4, 64, 1, 64] == [each.exit_code for each in (good, stranger, another, forged, checked())]
    assert "the first 3 are those of the kept checkpoint" in good.stdout
    assert "4 events do not begin with the 3 of the kept checkpoint" in forged.stderr


def test_status_and_doctor_say_how_far_the_log_is_sealed_and_why_it_is_not(shop):
    append(shop.url, [order("1003")])
    behind = json.loads(shop.run("status", "--json").stdout)["seal"]
    forge(shop.url, position=2)
    damage(shop.url, "update seal.tree set refusal = 'the log was changed below its seal'")
    lines = shop.run("status").stdout
    checks = {check.name: check for check in doctor.examine(Settings(home=shop.home, database_url=shop.url))}

    assert {"position": 3, "lag_events": 1, "stopped": None}.items() <= behind.items()
    assert "STOPPED at 3, 1 events behind: the log was changed below its seal" in lines
    assert "bad" == checks["seal"].verdict


def test_status_and_doctor_say_what_witnesses_do(shop):
    origin = shop.public.name
    damage(
        shop.url,
        "insert into seal.witness (origin, key, size, cosigned_at, failure, refusal) values"
        f" ('{origin}', 'w1+00+AA', 3, now() - interval '5 s', null, null),"
        f" ('{origin}', 'w2+00+AA', null, null, 'it does not answer', null),"
        f" ('{origin}', 'w3+00+AA', 2, now(), null, 'w3 refuses this history')",
    )
    damage(shop.url, "update seal.tree set published = null")
    lines = shop.run("status").stdout
    shown = json.loads(shop.run("status", "--json").stdout)["seal"]
    listed = ",".join(f"w{number} http://127.0.0.1" for number in (1, 2))
    settings = Settings(home=shop.home, database_url=shop.url, witnesses=listed, require_witness=2)
    checks = {check.name: check for check in doctor.examine(settings)}
    waiting = shop.run("audit", "checkpoint")

    assert (0, ["w1", "w2", "w3"]) == (shown["published"], [each["name"] for each in shown["witnesses"]])
    assert 5 <= shown["witnesses"][0]["age_seconds"] < 60
    for line in (
        "cosigned 3, ",
        "FAILS: it does not answer (nothing cosigned yet)",
        "REFUSES: w3 refuses this",
    ):
        assert line in lines
    assert ["ok", "note", "bad", "bad"] == [
        checks[name].verdict for name in ("witness w1", "witness w2", "witness w3", "published")
    ]
    assert (4, True) == (waiting.exit_code, "no checkpoint is cosigned" in waiting.stderr)


def test_where_nothing_is_sealed_nothing_is_said(database_url, tmp_path):
    status = commanding.run(tmp_path, "status", "--json", database_url=database_url)
    none = commanding.run(tmp_path, "audit", "checkpoint", database_url=database_url)
    unset = commanding.run(tmp_path, "sealer", database_url=database_url)

    assert commanding.last_json(status)["seal"] is None
    assert (4, "nothing was ever sealed here") == (none.exit_code, none.stderr.split(": ")[1])
    assert "COUNTERFOIL_SEAL_KEY" in unset.stderr


def test_a_new_key_takes_over_and_a_checkpoint_of_the_old_one_still_counts(shop, kept):
    old = shop.public
    rotated = VerifierKey.parse(shop.run("seal-key", "rotate", shop.key_file).stdout.strip())
    shop.seal()
    append(shop.url, [order("1003")])
    shop.seal()
    for key in (old, rotated):
        result = shop.run("audit", "verify", "--against", kept, "--key", key)
        assert "holds" in result.stdout, result.stderr

    assert rotated == shop.public != old


def test_a_key_that_was_made_before_takes_over_if_it_is_one_of_this_log(shop, tmp_path):
    old, made = shop.public, tmp_path / "next.key"
    shop.run("seal-key", "generate", made)
    rotated = shop.run("seal-key", "rotate", shop.key_file, "--to", made)
    again = shop.run("seal-key", "rotate", shop.key_file, "--to", made)
    shop.run("seal-key", "generate", tmp_path / "other.key", "--origin", "other.test/log")
    other = shop.run("seal-key", "rotate", shop.key_file, "--to", tmp_path / "other.key")
    shop.seal()

    assert str(shop.public) == rotated.stdout.strip() == str(key_file.read(made)[0].verifier) != str(old)
    assert "is in" in again.stderr
    assert "holds a key of other.test/log" in other.stderr


def test_a_bundle_is_checked_where_nothing_else_of_the_log_is(shop, tmp_path):
    whole, case = tmp_path / "whole.bundle", tmp_path / "case.bundle"
    assert 0 == shop.run("audit", "export", whole, "--from", 1, "--to", 3).exit_code
    assert 0 == shop.run("audit", "export", case, "--stream", "order-1002").exit_code
    public = tmp_path / "public.keys"
    public.write_text(f"{shop.public}\n")
    checked = [
        commanding.run(tmp_path, "audit", "check", each, "--key", public, "--json") for each in (whole, case)
    ]

    assert [(0, 3), (0, 1)] == [(each.exit_code, commanding.last_json(each)["events"]) for each in checked]
    assert "exists" in shop.run("audit", "export", whole, "--from", 1, "--to", 3).stderr


def test_a_file_of_keys_without_one_is_refused(shop, kept, tmp_path):
    (tmp_path / "empty.keys").write_text("\n")
    refused = shop.run("audit", "verify", "--against", kept, "--key", tmp_path / "empty.keys")

    assert (64, True) == (refused.exit_code, "names no key" in refused.stderr)


def test_a_file_that_is_no_text_is_no_damage(shop, kept, tmp_path):
    other = tmp_path / "other"
    other.write_bytes(bytes(range(256)))
    key = ("--key", shop.public)
    codes = [
        shop.run("audit", *arguments).exit_code
        for arguments in (
            ("verify", "--against", other),
            ("receipt", other, *key),
            ("extends", kept, "--against", other, *key),
            ("export", tmp_path / "a.bundle", "--certificate", other),
        )
    ]

    assert {64} == {*codes}


@pytest.mark.parametrize(
    "statement", ["set published = 'garbage'", "set published = replace(published, 'counterfoil/', 'other/')"]
)
def test_no_checkpoint_is_printed_to_be_kept_that_no_key_signed(statement, shop):
    damage(shop.url, f"update seal.tree {statement}")
    refused = shop.run("audit", "checkpoint")

    assert (True, "") == (refused.exit_code != 0, refused.stdout)


def test_tiles_that_cannot_be_read_are_no_damage(shop, kept):
    (shop.home / "seal" / "checkpoint").unlink()
    (shop.home / "seal" / "checkpoint").mkdir()
    refused = shop.run("audit", "verify", "--against", kept, "--key", shop.public)

    assert (4, True) == (refused.exit_code, "seal/checkpoint: Is a directory" in refused.stderr)


def test_an_export_follows_no_link_that_somebody_else_put_there(shop, tmp_path):
    other = tmp_path / "of another"
    other.write_text("kept")
    (tmp_path / "whole.bundle.unfinished").symlink_to(other)

    assert 0 == shop.run("audit", "export", tmp_path / "whole.bundle", "--from", 1, "--to", 3).exit_code
    assert "kept" == other.read_text()


def test_a_check_ends_with_the_codes_of_the_table(shop, tmp_path):
    bundle = tmp_path / "a.bundle"
    shop.run("audit", "export", bundle, "--from", 1, "--to", 3)

    def code(*arguments):
        return commanding.run(tmp_path, "audit", "check", bundle, *arguments).exit_code

    unvouched, stranger = code(), code("--key", STRANGER.verifier)
    lines = bundle.read_text().splitlines(keepends=True)
    bundle.write_text("".join(lines[:-1]))
    cut_off = code("--key", shop.public)
    bundle.write_text("".join(lines).replace("85123A", "85123B"))
    damaged = code("--key", shop.public)
    bundle.write_text("no bundle")

    assert [3, 4, 3, 1, 64] == [unvouched, stranger, cut_off, damaged, code("--key", shop.public)]
    assert 64 == shop.run("audit", "export", bundle, "--from", 1).exit_code


def test_a_bundle_of_a_changed_log_names_what_was_changed(shop, tmp_path):
    forge(shop.url, position=2)
    bundle = tmp_path / "a.bundle"
    shop.run("audit", "export", bundle, "--from", 1, "--to", 3)
    checked = commanding.run(tmp_path, "audit", "check", bundle, "--key", shop.public)

    assert 1 == checked.exit_code
    assert "DAMAGE at 2: event-changed: the event was changed after it was sealed" in checked.stdout
    assert checked.stdout.endswith("this is not what was sealed\n")


def test_what_is_not_sealed_yet_is_not_exported(shop, tmp_path):
    refused = shop.run("audit", "export", tmp_path / "a.bundle", "--from", 1, "--to", 9)

    assert 4 == refused.exit_code
    assert [] == list(tmp_path.glob("a.bundle*"))


def test_a_receipt_whose_event_was_changed_proves_nothing(shop, tmp_path):
    path = tmp_path / "order.tlog-proof"
    path.write_text(shop.run("audit", "prove", "--position", 2).stdout)
    found = receipt.parse(path.read_text())
    forged = msgspec.structs.replace(found.event, payload=found.event.payload.replace("1001", "1009"))
    path.write_text(msgspec.structs.replace(found, event=forged).encode())
    checked = commanding.run(tmp_path, "audit", "receipt", path, "--key", shop.public)

    assert (1, "counterfoil: leaf 1 is not in the tree of 3 leaves with this root\n") == (
        checked.exit_code,
        checked.stderr,
    )


def test_a_bit_that_flipped_in_a_tile_is_found_though_the_log_holds(shop, kept):
    append(shop.url, [order(str(number)) for number in range(2000, 2300)])
    shop.seal()
    whole = shop.home / "seal" / "tile/0/000"
    content = whole.read_bytes()
    whole.write_bytes(content[:40] + bytes([content[40] ^ 1]) + content[41:])
    kept.write_text(shop.run("audit", "checkpoint").stdout)
    result = shop.run("audit", "verify", "--against", kept)

    assert 1 == result.exit_code
    assert "tile-damaged: the leaf of position 2 in its tile" in result.stdout
