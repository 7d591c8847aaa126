import pytest

from read_api.searching.correcting import nearest


@pytest.mark.parametrize(
    ("typed", "candidates", "expected"),
    [
        ("latnern", ["lateral", "lantern", "later"], ["lantern"]),
        ("yelow", ["below", "yellow"], ["yellow"]),
        ("lantr", ["lantern", "land"], ["lantern"]),
        ("boks", ["box", "books", "book"], ["books"]),
        ("bals", ["balls", "bails", "bowls", "bells", "bald"], ["balls", "bails"]),
        ("xyzzy", ["cosy", "xylophone"], []),
        ("xyzzy", [], []),
    ],
)
def test_the_words_that_have_most_letters_in_common_come_nearest_in_their_order(typed, candidates, expected):
    assert nearest(typed, candidates) == expected
