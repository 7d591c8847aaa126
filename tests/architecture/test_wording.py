"""One word for one thing, and the field's: see `wording`."""

import re

import pytest

from tests.architecture import wording
from tests.architecture.source import ROOT, Source, broken, kept_files, planted, product, surroundings
from tests.documentation.pages import Page, pages

HISTORY = {"CHANGELOG.md"}
METRICS = re.compile(r"\"(counterfoil_[a-z_]+)\"")


def test_identifiers_use_the_words_of_the_field():
    assert not broken(wording.identifiers)
    assert not broken(wording.identifiers, among=surroundings())


def test_a_class_name_means_one_thing():
    repeated = wording.repeated_classes(product())

    assert set() == set(repeated) - set(wording.REPEATED), repeated
    assert set() == set(wording.REPEATED) - set(repeated), "names that are used once need no reason"


def test_a_class_name_that_means_two_things_is_found():
    twice = [Source(f"{package}/planted.py", "class Ledger: pass") for package in ("commands", "projections")]

    assert {"Ledger": ["commands/planted.py", "projections/planted.py"]} == wording.repeated_classes(twice)


@pytest.mark.parametrize(
    "text",
    [
        "class Standing: pass",
        "def next_look(): pass",
        "def f(*, beside): pass",
        "LOOK_EVERY_S = 1",
        "self.watch = 1",
    ],
)
def test_an_identifier_of_another_dialect_is_found(text: str):
    assert planted(wording.identifiers, text)


def test_docstrings_comments_and_messages_use_the_words_of_the_field():
    rules = ("tests/architecture/wording.py", "tests/architecture/test_wording.py")

    assert not broken(wording.comments)
    assert not broken(wording.comments, among=[each for each in surroundings() if each.path not in rules])


@pytest.mark.parametrize(
    "text",
    [
        '"""Told of it.\n\nBy whoever asks.\n"""',
        "x = 1  # beside it",
        'raise Refused("stands twice")',
        'log.info(f"{x} is believed")',
    ],
)
def test_a_comment_or_message_in_another_dialect_is_found(text: str):
    assert planted(wording.comments, text)


def test_file_names_use_the_words_of_the_field():
    named = {path.relative_to(ROOT): word for path in kept_files() if (word := wording.file_name(path))}

    assert {} == named
    assert wording.file_name(ROOT / "tests" / "fire" / "test_gate.py")


def test_metrics_use_the_words_of_the_field():
    declared = {name for source in product() for name in METRICS.findall(source.text)}

    assert declared
    assert set() == {name for name in declared if wording.metric(name)}
    assert wording.metric("counterfoil_watch_looks")


@pytest.mark.parametrize(
    "page", [page for page in pages() if page.name not in HISTORY], ids=lambda page: page.name
)
def test_pages_use_the_words_of_the_field(page: Page):
    assert [] == list(wording.prose(page.prose))


def test_a_page_in_another_dialect_is_found():
    assert ["1: beside", "2: a person"] == list(wording.prose("beside it\nuntil a person comes"))


@pytest.mark.parametrize(
    "page", [page for page in pages() if page.name not in HISTORY], ids=lambda page: page.name
)
def test_sentences_of_pages_have_nouns_for_subjects(page: Page):
    assert [] == list(wording.subjects(page.prose))


def test_a_sentence_that_begins_with_a_clause_is_found():
    text = "It ends. Who asks\ngets none. What then? Wait.\n\n- What is left stays.\n\n| Who asks | gets |"

    assert ["Who asks gets none.", "What is left stays.", "Who asks"] == list(wording.subjects(text))


def test_an_entry_of_the_glossary_begins_with_the_word_of_the_field():
    glossary = (ROOT / "docs" / "glossary.md").read_text()

    assert len(wording.entries(glossary)) > 80
    assert [] == list(wording.unknown_terms(glossary))


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("| read model, also called view |", "| view |"),
        ("| read model, also called view |", "| view, also called read model |"),
        ("| lag |", "| front |"),
        ("| lag |", "| lag (of a consumer) |"),
    ],
)
def test_an_entry_that_begins_with_another_word_is_found(before: str, after: str):
    glossary = (ROOT / "docs" / "glossary.md").read_text()

    assert list(wording.unknown_terms(glossary.replace(before, after)))
