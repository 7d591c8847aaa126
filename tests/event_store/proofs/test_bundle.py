"""Bundles: whatever was done to the log after it was sealed, a check finds it with the public key and nothing else."""

import io
import json
import random
from collections import Counter

import pytest

from event_store.proofs import bundle, checking, examining, proving
from event_store.proofs.note import MalformedNote, SignerKey, UnknownSigner
from event_store.proofs.tiles import Directory
from tests.event_store.proofs.bundling import DAMAGE, changed, exported, fill, harm
from tests.event_store.proofs.sealing import KEY, NEXT, ORIGIN, RELEAF, damage, seal


@pytest.fixture(scope="module")
def filled(new_database, tmp_path_factory):
    """A sealed log that no test changes, of 20 requests."""
    url, store = new_database(), Directory(tmp_path_factory.mktemp("tiles"))
    fill(url)
    seal(url, store)
    return url, store


def check(lines, *keys):
    return checking.check(lines, keys=[key.verifier for key in keys or (KEY,)])


def found(log, **what):
    return {(each.position, each.kind) for each in check(exported(log, **what)).found.listed}


def size(log):
    return proving.published(log[1]).checkpoint.size


def test_every_range_of_a_log_that_nobody_touched_is_in_order(filled):
    last = size(filled)
    chance = random.Random(7)
    ranges = [(1, last), (1, 1), (last, last), (2, 3)]
    ranges += [tuple(sorted(chance.sample(range(1, last + 1), 2))) for _ in range(60)]
    for first, end in ranges:
        checked = check(exported(filled, first=first, last=end))
        assert ((), end - first + 1) == (checked.found.listed, checked.events), (first, end)
    assert ORIGIN == checked.origin
    assert checked.vouched


@pytest.mark.parametrize("stream", [*(f"stock-{number}" for number in range(5)), "order-0", "order-18"])
def test_every_case_of_a_log_that_nobody_touched_is_in_order(filled, stream):
    checked = check(exported(filled, stream=stream))

    assert () == checked.found.listed
    assert checked.events > 0


@pytest.mark.parametrize("kind", DAMAGE)
def test_it_is_found_that(kind, log):
    expected, last = DAMAGE[kind][1], size(log)
    assert set() == found(log)
    harm(log, kind)
    checked = check(exported(log))
    kinds = {(each.position, each.kind) for each in checked.found.listed}

    assert checked.damaged
    assert expected is None or expected <= kinds, kinds
    assert all(0 <= position <= last for position, _ in kinds)


@pytest.mark.parametrize(
    ("statement", "kind"),
    [
        ("update log.event set payload = '{}' where stream = 'stock-1' and version = 2", "event-changed"),
        (
            (
                "delete from log.tag where position ="
                " (select position from log.event where stream = 'stock-1' and version = 2)"
            ),
            "tags-changed",
        ),
        ("delete from log.event where stream = 'stock-1' and version = 2", "version-missing"),
        ("delete from log.outcome", "outcome-missing"),
        ("update log.outcome set fingerprint = sha256('forged')", "outcome-changed"),
        ("update log.outcome set versions = '{77}'", "outcome-changed"),
    ],
)
def test_in_a_case_it_is_found_that(statement, kind, log):
    damage(log[0], "alter table log.tag drop constraint tag_position_fkey")
    damage(log[0], statement)
    damage(log[0], RELEAF)

    assert kind in {kind for _, kind in found(log, stream="stock-1")}


@pytest.fixture
def lines(filled):
    return exported(filled, first=5, last=20)


def checkpoint_of(lines):
    return json.loads(lines[0])["checkpoint"]


def test_a_bundle_that_was_changed_itself_is_found_out(lines):
    other = "00" * 32
    harmed = {
        "a line dropped": [*lines[:4], *lines[5:]],
        "a line doubled": [*lines[:4], lines[3], *lines[4:]],
        "two lines swapped": [*lines[:4], lines[5], lines[4], *lines[6:]],
        "the last line gone": lines[:-1],
        "half of it gone": lines[:8],
        "a line cut": [*lines[:4], lines[4][:50], *lines[5:]],
        "another leaf": [*lines[:4], changed(lines[4], leaf=other), *lines[5:]],
        "no leaf": [*lines[:4], changed(lines[4], leaf="xy"), *lines[5:]],
        "another beginning": [changed(lines[0], before=[other]), *lines[1:]],
        "no beginning": [changed(lines[0], before=[]), *lines[1:]],
        "another end": [changed(lines[0], after=[]), *lines[1:]],
        "another count": [*lines[:-1], changed(lines[-1], events=3)],
        "more behind the end": [*lines, lines[3]],
        "another origin": [changed(lines[0], origin="another"), *lines[1:]],
        "a first position that it has not": [changed(lines[0], first=6), *lines[1:]],
        "a last position that it has not": [changed(lines[0], last=25), *lines[1:]],
        "a changed checkpoint": [
            changed(lines[0], checkpoint=checkpoint_of(lines).replace("\n34\n", "\n35\n")),
            *lines[1:],
        ],
    }
    for kind, each in harmed.items():
        checked = check(each)
        assert checked.found.listed, kind
        assert checked.damaged or not checked.complete, kind


def test_a_bundle_that_no_trusted_key_signed_proves_nothing(lines):
    with pytest.raises(UnknownSigner):
        check(lines, NEXT)
    with pytest.raises(UnknownSigner):
        check(lines, SignerKey("counterfoil.test/other", KEY.seed))


def test_without_a_key_a_bundle_is_not_complete(lines):
    checked = checking.check(lines, keys=[])

    assert (False, False, False) == (checked.complete, checked.damaged, checked.vouched)


def test_damage_is_not_hidden_behind_more_than_is_listed_of_what_cannot_be_checked(filled, monkeypatch):
    monkeypatch.setattr(examining, "FINDINGS_MAX", 3)
    header, *rest = exported(filled, stream="stock-1")
    pages = [b'{"line":"page","html":"of another version"}\n'] * 5
    place = next(number for number, line in enumerate(rest) if line.startswith(b'{"line":"event"'))
    rest[place] = changed(rest[place], leaf="00" * 32)
    checked = check([header, *pages, *rest])

    assert (True, False) == (checked.damaged, checked.complete)
    assert {"damage": 2, "incomplete": 3} == Counter(each.severity for each in checked.found.listed)
    assert 5 == checked.found.in_all["incomplete"]


DEEP = '{"unknown":' * 5_000 + "1" + "}" * 5_000


def nested(line):
    """The line with one more member, which a check passes over, and which is nested deeply."""
    return line.replace(b"{", f'{{"more":{DEEP},'.encode(), 1)


def test_lines_and_metadata_that_are_nested_deeply_end_no_check(lines):
    at = next(number for number, line in enumerate(lines) if line.startswith(b'{"line":"event"'))
    event = json.loads(lines[at])["event"]
    metadata = event["metadata"].replace("{", f'{{"more":{DEEP},', 1)
    with_metadata = changed(lines[at], event={**event, "metadata": metadata})
    kinds = [
        {each.kind for each in check([*lines[:at], line, *lines[at + 1 :]]).found.listed}
        for line in (nested(lines[at]), with_metadata)
    ]

    assert [True, True] == ["line-unreadable" in kinds[0], "event-changed" in kinds[1]]
    with pytest.raises(MalformedNote):
        check([nested(lines[0]), *lines[1:]])


def test_no_more_of_a_line_is_read_than_a_bundle_has_in_one(lines, monkeypatch):
    monkeypatch.setattr(bundle, "LINE_BYTES_MAX", 100_000)
    content = io.BytesIO(b"".join([*lines[:3], b" " * 1_000_000]))
    read = list(bundle.lines_of(content))

    assert lines[:3] == read[:3]
    assert bundle.LINE_BYTES_MAX + 1 == max(map(len, read))
    assert {"line-unreadable", "cut-off"} <= {each.kind for each in check(read).found.listed}


@pytest.mark.parametrize("content", [[], [b"\n"], [b"{}\n"], [b'{"line":"end","events":0}\n']])
def test_what_is_no_bundle_is_refused(content):
    with pytest.raises(MalformedNote):
        check(content)


def test_what_is_not_sealed_is_not_exported(filled):
    for what in ({"first": 5, "last": 4}, {"first": 1, "last": 99}, {"stream": "stock-99"}):
        with pytest.raises(proving.NotSealedYet):
            exported(filled, **what)
