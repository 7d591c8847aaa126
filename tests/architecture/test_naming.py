"""Names that say something, empty packages, docstrings, and sizes one can keep in mind."""

import pytest

from tests.architecture import naming
from tests.architecture.source import Source, broken, planted, product, surroundings


def everything() -> list[Source]:
    return [*product(), *surroundings()]


def test_names_say_what_is_inside():
    assert "" == broken(naming.banned_names, among=everything())


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("commands/utils.py", ""),
        ("commands/order_helpers.py", ""),
        ("runtime/core/settings.py", ""),
        ("runtime/settings.py", "class SettingsManager: ..."),
        ("runtime/settings.py", "class HTTPService: ..."),
        ("runtime/settings.py", "class _OrderData: ..."),
    ],
)
def test_a_name_that_says_nothing_is_found(path: str, text: str):
    assert planted(naming.banned_names, text, path=path)


def test_a_longer_word_that_holds_a_banned_one_is_none():
    assert not planted(naming.banned_names, "class Metadata: ...", path="runtime/database.py")


def test_a_module_has_a_name_of_its_own():
    repeated = naming.repeated_modules(product())

    assert {} == {name: paths for name, paths in repeated.items() if name not in naming.REPEATED}
    assert set() == set(naming.REPEATED) - set(repeated), "names that are used once need no reason"


def test_a_module_named_like_another_is_found():
    twice = [Source(f"{package}/ledger.py", "") for package in ("commands", "projections")]

    assert {"ledger": ["commands/ledger.py", "projections/ledger.py"]} == naming.repeated_modules(twice)


def test_packages_are_empty():
    assert "" == broken(naming.filled_packages)


def test_an_export_from_a_package_is_found():
    text = "from runtime.settings import Settings\n"

    assert planted(naming.filled_packages, text, path="runtime/__init__.py")


def test_modules_and_functions_stay_within_their_limits():
    assert "" == broken(naming.long_code, among=everything())


def test_a_module_past_its_limit_is_found():
    assert planted(naming.long_code, "\n" * (naming.MODULE_LINES_MAX + 1))
    assert not planted(naming.long_code, "\n" * naming.MODULE_LINES_MAX)


@pytest.mark.parametrize("keyword", ["def", "async def"])
def test_a_function_past_its_limit_is_found(keyword: str):
    body = "    pass\n" * naming.FUNCTION_LINES_MAX

    assert planted(naming.long_code, f"{keyword} endless():\n{body}")


def test_what_is_public_is_documented():
    assert "" == broken(naming.missing_docstrings)


@pytest.mark.parametrize(
    "text",
    [
        "x = 1",
        '"""Doc."""\ndef public(): ...',
        '"""Doc."""\nclass Public:\n    x = 1',
        '"""Doc."""\nclass Public:\n    """Doc."""\n    async def method(self): ...',
    ],
)
def test_a_missing_docstring_is_found(text: str):
    assert planted(naming.missing_docstrings, text)
